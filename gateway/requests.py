"""From a decoded `submit` to a request that may be admitted, or to a refusal that names the field and the remedy.

Guarantee: after `make_request` nothing about the request is unchecked: the model exists, exactly one kind of prompt is
given, it is not larger than the limits, and every sampling value is set (from the request, else from the model's
configuration, else the built-in default). Only what needs the tokenizer (context length) is left to the worker.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from control.config import Config, ModelConfig
from control.states import Priority
from gateway import protocol
from gateway.admission import Ticket
from workers.protocol import ChatMessage, Sampling

PRIORITY_BY_NAME = {"high": Priority.HIGH, "medium": Priority.MEDIUM, "low": Priority.LOW}
SAMPLING_FIELDS = tuple(name for name in Sampling.__struct_fields__ if name != "seed")


class Refusal(Exception):
    """A request that is answered by an error at once. `code` is a key of `protocol.ERRORS`."""

    def __init__(self, code: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


@dataclass(slots=True, eq=False)
class Request:
    """One admitted request, from its submit to its one terminal event. Times are monotonic seconds."""

    client: bytes
    id: str
    model: ModelConfig
    ticket: Ticket
    messages: list[ChatMessage] | None
    prompt: str | None
    tokens: list[int] | None
    sampling: Sampling
    max_tokens: int
    stop: list[str]
    keep_alive_s: float | None = None
    attempt: int = 0
    worker: bytes = b""  # identity of the worker that holds it now; b"" while it waits
    accepted: bool = False
    dispatched_at: float = 0.0
    next_position: int = 0
    cancelling: bool = False
    cancel_sent: bool = False
    given_up: bool = False  # its client is gone or does not read
    load_ms: float = 0.0
    told_at: float = field(default=0.0)  # when the caller last heard a `progress`


def make_request(
    submit: protocol.Submit,
    client: bytes,
    config: Config,
    *,
    number: int,
    now: float,
    draw_seed: Callable[[], int],
) -> Request:
    """Check `submit` against `config` and complete it.

    Raises:
        Refusal: `invalid_request` or `model_not_found`.
    """
    model = find_model(config, submit.model)
    check_prompt(submit, config)
    options = submit.options
    given = {name: getattr(options, name) for name in SAMPLING_FIELDS if getattr(options, name) is not None}
    defaults = {name: getattr(model, name) for name in SAMPLING_FIELDS}
    seed = options.seed if options.seed is not None else draw_seed()
    ticket = Ticket(
        id=number,
        priority=PRIORITY_BY_NAME[submit.priority],
        target=model.slug,
        caller=submit.caller or client.hex(),
        arrived=now,
        deadline=now + min(submit.deadline_s or config.queue_deadline_s, config.queue_deadline_s),
    )
    return Request(
        client=client,
        id=submit.id,
        model=model,
        ticket=ticket,
        messages=[ChatMessage(m.role, m.content) for m in submit.messages] if submit.messages else None,
        prompt=submit.prompt,
        tokens=submit.tokens,
        sampling=Sampling(**{**defaults, **given}, seed=seed % 2**63),
        max_tokens=options.max_tokens or model.max_tokens,
        stop=list(options.stop or ()),
        keep_alive_s=submit.keep_alive_s,
    )


def find_model(config: Config, name: str) -> ModelConfig:
    """Raises: Refusal `model_not_found`, with the nearest names."""
    model = config.find(name)
    if model is None:
        near = config.close_names(name)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `warden ls` lists the configured models"
        raise Refusal("model_not_found", f'model "{name}" not found{hint}')
    return model


def check_prompt(submit: protocol.Submit, config: Config) -> None:
    """Raises: Refusal `invalid_request` unless exactly one kind of prompt is given, within the limits."""
    given = [name for name in ("messages", "prompt", "tokens") if getattr(submit, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise Refusal("invalid_request", f"give exactly one of messages, prompt, tokens; found {found}")
    chars = len(submit.prompt or "") + sum(len(m.content) for m in submit.messages or ())
    if chars > config.body_max_bytes:
        raise Refusal("invalid_request", f"{given[0]}: {chars} characters; the limit is {config.body_max_bytes}")
    if submit.prompt == "":
        raise Refusal("invalid_request", "prompt: must not be empty; send `load` to load a model without asking")
