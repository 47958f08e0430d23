"""What jobs and answers are made of: messages, sampling, tools, calls, chances of tokens, and what is asked besides.

`workers.protocol` and `gateway.protocol` hand these on, so that a part means and is written the same on both wires: as
a map whose fields may be left out. Numbers and sizes are checked where clients' messages are read. Pure.
"""

from typing import Annotated, Any, Literal

import msgspec

Think = bool | Literal["low", "medium", "high"] | None  # None: as the model's template does when nobody says
AUTO, NONE, REQUIRED = "auto", "none", "required"
Word = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # what a word of the table can hold, whoever says it
NAMED = "="  # a tool choice that begins so names the one function to call


class Tool(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function that the model may call. `parameters`: JSON schema of its arguments, an object; {}: any.

    `strict`: a call of it must meet the schema even where the model is free to call nothing.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool = False


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call that stands in a conversation. `arguments`: a JSON object as text. `id` "": the dialect knows none."""

    name: str
    arguments: str
    id: str = ""


class Sampling(msgspec.Struct, array_like=True, frozen=True):
    """How tokens are chosen. `temperature` 0 is greedy. `seed` is always set: the gateway draws one if none is given.

    top_k 0, top_p 1, min_p 0, repeat_penalty 1, presence/frequency_penalty 0 switch the filter off.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0


class ChatMessage(msgspec.Struct, array_like=True, frozen=True):
    """`images` are base64; only for backends that read them. `tool_calls` and `thinking` are of an assistant's turn,
    `tool_call_id` and `name` (of the function) of a tool's.
    """

    role: str
    content: str
    images: list[str] = []
    tool_calls: list[ToolCall] = []
    tool_call_id: str = ""
    name: str = ""
    thinking: str = ""


class Remote(msgspec.Struct, array_like=True, frozen=True):
    """What a relay needs besides. `model`: what its server calls it. `hop`: what it tells its server, 1 or more.

    `session`: the conversation as the caller calls it; "" for none. `max_steps` 0: the server's own. `priority`: the
    class of the request, by name. `traceparent`: its place in a distributed trace; "" for none.
    """

    model: str
    hop: Word
    request_id: str
    session: str = ""
    max_steps: Word = 0
    priority: str = "medium"
    traceparent: str = ""


class CallPiece(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a call in an answer. The first of each `index` has `id` and `name`; the `arguments` of all pieces of an
    index together are a JSON object as text.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class TokenLogprob(msgspec.Struct, frozen=True, omit_defaults=True):
    """Natural logarithm of a token's probability as the model gave it: after penalties, bias and mask, before
    temperature and filters. `piece`: its bytes, which need not be whole characters. `top`: the likeliest tokens at
    this place, likeliest first, without tops of their own.
    """

    id: int
    piece: bytes
    logprob: float
    top: list["TokenLogprob"] = []


class Extras(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a job asks for besides words.

    tools, tool_choice, parallel_tools   `tool_choice`: AUTO, NONE, REQUIRED, or NAMED and a name
    schema        JSON schema that the answer must meet (true: any JSON); None: free
    think         should the model reason first
    logprobs      None: off; else how many of the likeliest tokens are told at each place, 0 or more
    logit_bias    added to the logits of these ids
    template      a prompt template in Ollama's syntax instead of the model's; "": the model's
    suffix        what comes after the answer (fill in the middle); None: not asked
    num_ctx       tokens of context that this job wants at most; 0: what the worker has
    truncate      a prompt that is too long loses its oldest part and is not refused; num_keep: first tokens it keeps
    shift         an answer that fills the context goes on with the older half of the context forgotten
    """

    tools: list[Tool] = []
    tool_choice: str = AUTO
    parallel_tools: bool = True
    schema: dict[str, Any] | bool | None = None
    think: Think = None
    logprobs: int | None = None
    logit_bias: dict[int, float] = {}
    template: str = ""
    suffix: str | None = None
    num_ctx: int = 0
    truncate: bool = False
    num_keep: int = 0
    shift: bool = False


NO_EXTRAS = Extras()


class More(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a step said besides the words of the answer. `vectors`: embeddings, each float32 little-endian."""

    thinking: str = ""
    calls: list[CallPiece] = []
    logprobs: list[TokenLogprob] = []
    vectors: list[bytes] = []
