"""What jobs and answers are made of besides text: tools, calls, chances of tokens, and what a job asks for besides.

`workers.protocol` and `gateway.protocol` hand these on, so that a part means and is written the same on both wires: as
a map whose fields may be left out. Numbers and sizes are checked where clients' messages are read. Pure.
"""

from typing import Any, Literal

import msgspec

Think = bool | Literal["low", "medium", "high"] | None  # None: as the model's template does when nobody says
AUTO, NONE, REQUIRED = "auto", "none", "required"
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
