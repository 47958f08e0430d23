"""What a client asks an answer with: messages, options, and what the answer must be like.

`gateway.protocol` hands it on; the limits of every field stand here. Pure.
"""

from typing import Annotated, Any, Literal

import msgspec

from workers.job_parts import AUTO, CallPiece, Think, TokenLogprob, Tool, ToolCall

__all__ = ["CallPiece", "TokenLogprob"]

ID_MAX_CHARS = 128
KEY_MAX_CHARS = 256
USER = "user "  # what `caller` begins with if it is a user that a front end has named, and no address
STOP_MAX = 16
STOP_MAX_CHARS = 256
MESSAGES_MAX = 4096
IMAGES_MAX = 64
TOKENS_MAX = 1_048_576
OPTION_TOKENS_MAX = 10_000_000
BODY_MAX_BYTES = 32 * 1024 * 1024
KEEP_ALIVE_MAX_S = 1e15  # in milliseconds it still fits into a word of the table

Key = Annotated[str, msgspec.Meta(max_length=KEY_MAX_CHARS)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_MAX_CHARS)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
Traceparent = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})?$")]
TokenId = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Input = str | Annotated[list[TokenId], msgspec.Meta(min_length=1, max_length=TOKENS_MAX)]
OneModel = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]  # an order never means the default model
KeepAlive = Annotated[float, msgspec.Meta(ge=-KEEP_ALIVE_MAX_S, le=KEEP_ALIVE_MAX_S)] | None
TOOLS_MAX = 512
INPUTS_MAX = 2048
LOGPROBS_MAX = 20
BIASES_MAX = 1024
PRIORITIES = ("high", "medium", "low")


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """`images` are base64 (PNG, JPEG or what the backend reads). An assistant's turn may have `tool_calls` and its
    `thinking`; a tool's says the `tool_call_id` that it answers, or the `name` of the function.
    """

    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str
    images: Annotated[list[str], msgspec.Meta(max_length=IMAGES_MAX)] = []
    tool_calls: Annotated[list[ToolCall], msgspec.Meta(max_length=TOOLS_MAX)] = []
    tool_call_id: Name = ""
    name: Name = ""
    thinking: str = ""


def _within(low: float, high: float, kind: type = float):
    """An optional number with limits; the decoder's message names the field and the limit."""
    return Annotated[kind, msgspec.Meta(ge=low, le=high)] | None


class Options(msgspec.Struct, frozen=True):
    """Every field optional; what is not given comes from the model's configuration. `seed` not given: drawn.

    `num_ctx`: use no more context than this, in tokens. `num_keep`: see `Submit.truncate`.
    """

    max_tokens: _within(1, OPTION_TOKENS_MAX, int) = None
    temperature: _within(0, 10) = None
    top_p: _within(0, 1) = None
    top_k: _within(0, 1_000_000, int) = None
    min_p: _within(0, 1) = None
    repeat_penalty: _within(0.01, 100) = None
    repeat_last_n: _within(-1, 1_000_000, int) = None
    presence_penalty: _within(-100, 100) = None
    frequency_penalty: _within(-100, 100) = None
    seed: _within(-(2**63), 2**63 - 1, int) = None
    stop: Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=STOP_MAX_CHARS)]],
                    msgspec.Meta(max_length=STOP_MAX)] | None = None
    num_ctx: _within(0, OPTION_TOKENS_MAX, int) = None
    num_keep: _within(0, OPTION_TOKENS_MAX, int) = None


class Submit(msgspec.Struct, tag="submit", tag_field="type", frozen=True, omit_defaults=True):
    """Ask for an answer. Exactly one of `messages`, `prompt` (taken as it is, no template), `tokens`, or `inputs`:
    texts or token ids to embed, answered by `Vectors` instead of tokens.

    Without `model` the `category` chooses one, without either the default answers. `kind` chooses the chain of
    backends, `victoria` the one for a chat with that agent; `session` is what the agent calls the conversation.
    `demanding`: tools, a schema or reasoning are asked, so this is no simple work. `hop`: how often the request was
    handed on already. `key`: the API key; `caller`: whose share of the queue it counts for (heard from http alone).
    `trace`: what other servers are told that this request is called; not given: something unique. `traceparent`: where
    it stands in a distributed trace (W3C Trace Context), for other servers.
    `keep_alive_s`: how long the model should stay loaded after this answer; negative: for ever, 0: unload it as soon
    as it is idle, not given: as configured. Of several requests the newest decides.

    What the answer must be like:
    `tools` may be called; `tool_choice` is "auto", "none", "required", or "=" and the name of the one to call.
    `schema`: JSON schema that the answer meets (True: any JSON). `think`: reason first, or not. `logprobs`: how many of
    the likeliest tokens are told at each place. `logit_bias`: token id -> what is added to its logit. `template`: a
    prompt template in Ollama's syntax instead of the model's. `suffix`: what comes after the answer, with a `prompt`
    alone. `truncate`: a prompt that is too long loses its oldest messages, then tokens after the first `num_keep`;
    without it, it is refused. `shift`: an answer that fills the context forgets the older half of it and goes on.
    """

    id: Id
    model: Name = ""
    messages: Annotated[list[Message], msgspec.Meta(min_length=1, max_length=MESSAGES_MAX)] | None = None
    prompt: str | None = None
    tokens: Annotated[list[TokenId], msgspec.Meta(min_length=1, max_length=TOKENS_MAX)] | None = None
    options: Options = Options()
    priority: Literal["high", "medium", "low"] = "medium"
    caller: Name = ""
    deadline_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    keep_alive_s: KeepAlive = None
    category: Name = ""
    kind: Literal["chat", "task", "batch", "agent"] = "task"
    victoria: bool = False
    session: Name = ""
    max_steps: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    demanding: bool = False
    hop: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    trace: Name = ""
    traceparent: Traceparent = ""
    key: Key = ""
    inputs: Annotated[list[Input], msgspec.Meta(min_length=1, max_length=INPUTS_MAX)] | None = None
    tools: Annotated[list[Tool], msgspec.Meta(max_length=TOOLS_MAX)] = []
    tool_choice: Name = AUTO
    parallel_tools: bool = True
    schema: dict[str, Any] | bool | None = None
    think: Think = None
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=LOGPROBS_MAX)] | None = None
    logit_bias: Annotated[dict[TokenId, Annotated[float, msgspec.Meta(ge=-1000, le=1000)]],
                          msgspec.Meta(max_length=BIASES_MAX)] = {}
    template: str = ""
    suffix: str | None = None
    truncate: bool = False
    shift: bool = False


class Route(Submit, tag="route", tag_field="type", frozen=True, omit_defaults=True):
    """Who would answer this request, and why. Nothing is asked of anybody; answered by a result (`RouteInfo`)."""
