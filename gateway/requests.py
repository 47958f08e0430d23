"""From a decoded `submit` to a request that may be admitted, or to a refusal that names the field and the remedy.

Guarantee: after `make_request` nothing about the request is unchecked: the model exists, the caller may use it, exactly
one kind of prompt is given, it is not larger than the limits, and every sampling value is set (from the request, else
from the model's configuration, else the built-in default). Only what needs the tokenizer (context length) is left to
the worker, and where it goes to `gateway.hops`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from control.config import Config, ModelConfig
from control.routing import HOP_MAX, Kind, Step, Work, chain_of, is_simple
from control.states import LOCAL
from gateway import protocol
from gateway.callers import AGENT, Caller
from gateway.refusal import PRIORITY_BY_NAME, Refusal
from gateway.tickets import Ticket
from workers.job_parts import AUTO, NAMED, NO_EXTRAS, NONE, REQUIRED, Extras, Tool
from workers.protocol import ChatMessage, Remote, Sampling

if TYPE_CHECKING:
    from gateway.pauses import Pause

KINDS_OF_PROMPT = ("messages", "prompt", "tokens", "inputs")
EXTRAS_OF_SUBMIT = ("tools", "tool_choice", "parallel_tools", "schema", "think", "logprobs", "logit_bias", "template",
                    "suffix", "truncate", "shift")
JSON_MAX_DEPTH, JSON_MAX_PARTS = 128, 100_000  # of a schema, and of those of all tools
JSON_TYPES = (str, int, float, type(None))
sampling_values = attrgetter(*(name for name in Sampling.__struct_fields__ if name != "seed"))  # all but the last
extras_values = attrgetter(*EXTRAS_OF_SUBMIT)
NOTHING_MORE = extras_values(NO_EXTRAS)


@dataclass(slots=True, eq=False)
class Request:
    """One admitted request, from its submit to its one terminal event. Times are monotonic seconds."""

    client: bytes
    id: str
    model: ModelConfig
    caller: Caller
    work: Work
    ticket: Ticket
    messages: list[ChatMessage] | None
    prompt: str | None
    tokens: list[int] | None
    sampling: Sampling
    max_tokens: int
    stop: list[str]
    inputs: list[str | list[int]] | None = None
    extras: Extras | None = None
    category: str = ""
    trace: str = ""
    traceparent: str = ""
    session: str = ""
    max_steps: int = 0
    keep_alive_s: float | None = None
    attempt: int = 0
    attempts_before: int = 0  # of the attempts, those at backends that failed it and those that a dropped pause ended
    worker: bytes = b""  # identity of the worker that holds it now; b"" while it waits
    accepted: bool = False
    dispatched_at: float = 0.0  # the answer began, or might have, in the last attempt that was not a continuation
    sent_at: float = 0.0  # its newest job
    next_position: int = 0
    emitted: array = field(default_factory=partial(array, "q"))  # ids of its answer so far
    pause: Pause | None = None
    pauses: int = 0  # so far
    cancelling: bool = False
    cancel_sent: bool = False
    given_up: bool = False  # its client is gone or does not read
    step: Step | None = None  # the backend that it waits for or runs at
    route: str = "mlx"
    reason: str = ""
    tried: tuple[str, ...] = ()  # backends that failed it
    failures: tuple[str, ...] = ()  # what they said
    load_ms: float = 0.0
    told_at: float = field(default=0.0)  # when the caller last heard a `progress`

    @property
    def is_relayed(self) -> bool:
        """Its answer is or will be another server's."""
        return self.step is not None and self.step.backend not in LOCAL


def make_request(
    submit: protocol.Submit, client: bytes, caller: Caller, config: Config, *, number: int, now: float,
    draw_seed: Callable[[], int],
) -> Request:
    """Check `submit` against `config` and complete it. Where it goes is not decided yet.

    Raises:
        Refusal: `invalid_request`, `model_not_found`, `model_reserved`, `model_not_allowed` or `loop_detected`.
    """
    if submit.hop > HOP_MAX:
        raise Refusal("loop_detected", f"this request was handed on {submit.hop} times, so it goes in a circle; look "
                      "where the servers that it passed hand on their work")
    model, work = resolve_model(submit, caller, config), work_of(submit, caller, config)
    if (refusal := caller.why_not(model)) is not None and not may_be_elsewhere(refusal, work, config):
        raise refusal
    check_prompt(submit, config)
    options = submit.options
    seed = options.seed if options.seed is not None else draw_seed()
    patience_s = min(submit.deadline_s or config.queue_deadline_s, config.queue_deadline_s)
    ticket = Ticket(number, caller.clamp(PRIORITY_BY_NAME[submit.priority]), model.slug, caller.id, now,
                    now + patience_s, called_back=submit.hop > 0)
    return Request(
        client=client,
        id=submit.id,
        model=model,
        caller=caller,
        work=work,
        ticket=ticket,
        messages=chat_messages(submit.messages),
        prompt=submit.prompt,
        tokens=submit.tokens,
        sampling=Sampling(*[given if given is not None else default for given, default in
                            zip(sampling_values(options), sampling_values(model), strict=True)], seed=seed % 2**63),
        max_tokens=options.max_tokens or model.max_tokens,
        stop=list(options.stop or ()),
        inputs=submit.inputs,
        extras=extras_of(submit),
        category=submit.category.lower(),
        trace=submit.trace or f"{client.hex()[:16]}-{number}",  # ids are counted anew by each client
        traceparent=submit.traceparent,
        session=submit.session,
        max_steps=submit.max_steps,
        keep_alive_s=submit.keep_alive_s,
    )


def resolve_model(submit: protocol.Submit, caller: Caller, config: Config) -> ModelConfig:
    """By name, else by category, else the default. Raises: Refusal `model_not_found`."""
    name = submit.model or config.categories.get(submit.category.lower(), "")
    return find_model(config, name, caller)


def work_of(submit: protocol.Submit, caller: Caller, config: Config) -> Work:
    """What routing needs to know. A plain call of an agent is work between agents."""
    images = any(message.images for message in submit.messages or ())
    kind = Kind(submit.kind)
    if kind is Kind.TASK and caller.audience == AGENT:
        kind = Kind.AGENT
    demanding = bool(submit.demanding or images or submit.tools or submit.think or submit.inputs
                     or submit.schema is not None)
    simple = is_simple(prompt_chars(submit), submit.category, needs_more=demanding, config=config)
    named = bool(submit.model or submit.category.lower() in config.categories)
    return Work(kind, submit.victoria, simple and submit.tokens is None, images, submit.hop, named)


def may_be_elsewhere(refusal: Refusal, work: Work, config: Config) -> bool:
    """Nobody asked for that model, and the key may be for what a relay's server has: `gateway.hops` looks."""
    return refusal.code == "model_not_allowed" and not work.named and any(
        each in config.relays for each in chain_of(work, config))


def remote_of(request: Request) -> Remote | None:
    """What a relay needs besides; None for MLX."""
    if not request.is_relayed:
        return None
    return Remote(request.step.model, request.work.hop + 1, request.trace, request.session, request.max_steps,
                  request.ticket.priority.name.lower(), request.traceparent)


def chat_messages(messages: list[protocol.Message] | None) -> list[ChatMessage] | None:
    return [ChatMessage(m.role, m.content, m.images, m.tool_calls, m.tool_call_id, m.name, m.thinking)
            for m in messages] if messages else None


def extras_of(submit: protocol.Submit) -> Extras | None:
    """None if nothing is asked beyond words: then the job carries nothing. Raises: Refusal `invalid_request`."""
    asked, num_ctx, num_keep = extras_values(submit), submit.options.num_ctx or 0, submit.options.num_keep or 0
    if asked == NOTHING_MORE and not (num_ctx or num_keep):
        return None  # nearly always
    choice = submit.tool_choice
    names = [tool.name for tool in submit.tools]
    if choice not in (AUTO, NONE, REQUIRED) and not (choice[:1] == NAMED and choice[1:] in names):
        raise Refusal("invalid_request", f"tool_choice: {choice!r} is not auto, none, required or = and the name of "
                      f"one of the tools ({', '.join(names) or 'there are none'})")
    if choice == REQUIRED and not names:
        raise Refusal("invalid_request", "tool_choice: a call is required, but there are no tools to call")
    if submit.suffix is not None and submit.prompt is None:
        raise Refusal("invalid_request", "suffix: goes with prompt alone, for what is between the two is asked")
    check_json("schema", submit.schema)
    check_tools(submit.tools)
    return Extras(**dict(zip(EXTRAS_OF_SUBMIT, asked, strict=True)), num_ctx=num_ctx, num_keep=num_keep)


def check_tools(tools: list[Tool]) -> None:
    """Raises: Refusal `invalid_request`."""
    if tools:
        check_json("tools", [tool.parameters for tool in tools])


def check_json(field: str, value: Any) -> None:
    """Whoever writes or walks through it later needs no limit of its own; MessagePack holds more than JSON.

    Raises: Refusal `invalid_request`.
    """
    level, parts = [value], 0
    for _ in range(JSON_MAX_DEPTH):
        parts += len(level)
        if parts > JSON_MAX_PARTS:
            raise Refusal("invalid_request", f"{field}: it has more than {JSON_MAX_PARTS} parts; give less")
        inner: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                inner += part.keys()
                inner += part.values()
            elif isinstance(part, list):
                inner += part
            elif not isinstance(part, JSON_TYPES) or isinstance(part, float) and not isfinite(part):
                raise Refusal("invalid_request", f"{field}: holds {type(part).__name__}, which is no JSON")
        if not inner:
            return
        level = inner
    raise Refusal("invalid_request", f"{field}: it is nested deeper than {JSON_MAX_DEPTH} levels; give a flatter one")


def prompt_chars(submit: protocol.Submit) -> int:
    chars = len(submit.prompt or "") + len(submit.suffix or "")
    for message in submit.messages or ():
        chars += len(message.content) + len(message.thinking)
        for call in message.tool_calls:
            chars += len(call.arguments)
    return chars


def find_model(config: Config, name: str, caller: Caller | None = None) -> ModelConfig:
    """Raises: Refusal `model_not_found`, with the nearest names of those that this caller may know of."""
    model = config.find(name)
    if model is None:
        near = [each for each in config.close_names(name) if caller is None or caller.may_use(config.find(each))]
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `warden ls` lists the configured models"
        raise Refusal("model_not_found", f'model "{name}" not found{hint}')
    return model


def check_prompt(submit: protocol.Submit, config: Config) -> None:
    """Raises: Refusal `invalid_request` unless exactly one kind of prompt is given, within the limits."""
    given = [name for name in KINDS_OF_PROMPT if getattr(submit, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise Refusal("invalid_request", f"give exactly one of {', '.join(KINDS_OF_PROMPT)}; found {found}")
    chars = prompt_chars(submit)
    if chars > config.body_max_bytes:
        raise Refusal("invalid_request", f"{given[0]}: {chars} characters; the limit is {config.body_max_bytes}")
    if submit.prompt == "" and not submit.suffix:
        raise Refusal("invalid_request", "prompt: must not be empty; send `load` to load a model without asking")
