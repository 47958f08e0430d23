"""What /api/generate and /api/chat may be asked with in the Ollama dialect, and what of it means what to the gateway.

Clients send `""`, `null`, `[]`, `{}` and `false` for "not asked", and whole numbers as 8192.0; both are taken. A wrong
type is refused by the name of its field. Options that only another engine has are accepted without effect; so are
unknown ones, which are told to the journal. `ASKS` says all of it field by field. Pure.
"""

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from gateway import protocol
from gateway.http.common_fields import NamesModel, bounded
from gateway.http.errors import Problem
from gateway.http.fields import Asks
from gateway.http.images import check_images
from gateway.http.tools import JSON_OBJECT, FunctionCall, FunctionTool, check_depth, function_calls, function_tools
from gateway.http.wrong_fields import invalid, is_given

UNSET = msgspec.Raw()
Images = Annotated[list[str], msgspec.Meta(max_length=protocol.IMAGES_MAX)] | None
Name = Annotated[str, msgspec.Meta(max_length=256)] | None
T = TypeVar("T")
OUR_NAMES = {"max_tokens": "num_predict"}
NAMES = {"schema": "format", "max_tokens": "options.num_predict", "num_ctx": "options.num_ctx",
         "num_keep": "options.num_keep", "stop": "options.stop"}  # of what is found further on
ANY_JSON = "json"
WHOLE = re.compile(rb"(-?\d+)\.0+")  # a whole number, as clients write it that know no others


class OllamaOptions(msgspec.Struct):
    """The options that have an effect. Ranges are those of the client protocol."""

    num_predict: int | None = None
    num_ctx: int | None = None
    num_keep: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class Asked(NamesModel, kw_only=True):
    """What /api/generate and /api/chat have in common."""

    stream: bool | None = None
    format: msgspec.Raw = UNSET
    think: msgspec.Raw = UNSET
    options: msgspec.Raw = UNSET
    keep_alive: float | str | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=protocol.LOGPROBS_MAX)] | None = None
    category: str | None = None  # ours: chooses a model where none is named


class GenerateRequest(Asked):
    prompt: str | None = None
    suffix: str | None = None
    images: Images = None
    system: str | None = None
    template: str | None = None
    raw: bool | None = None
    context: msgspec.Raw = UNSET


class OllamaMessage(msgspec.Struct):
    """`tool_name` (older clients: `name`) and `tool_call_id` are of a tool's answer."""

    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str | None = None
    thinking: str | None = None
    images: Images = None
    tool_calls: msgspec.Raw = UNSET
    tool_name: Name = None
    tool_call_id: Name = None
    name: Name = None


class ChatRequest(Asked):
    messages: Annotated[list[OllamaMessage], msgspec.Meta(max_length=protocol.MESSAGES_MAX)] | None = None
    tools: msgspec.Raw = UNSET


KNOWN_OPTIONS = set(OllamaOptions.__struct_fields__)
ELSEWHERE = "is a matter of another engine"
OTHER_OPTIONS = {
    **dict.fromkeys(("num_batch", "num_gpu", "main_gpu", "num_thread", "numa", "low_vram", "use_mmap", "use_mlock",
                     "f16_kv", "logits_all", "vocab_only", "embedding_only", "rope_frequency_base",
                     "rope_frequency_scale", "draft_num_predict"), ELSEWHERE),
    **dict.fromkeys(("mirostat", "mirostat_eta", "mirostat_tau", "tfs_z", "typical_p", "penalize_newline"),
                    "this way of sampling is not offered"),
}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
SAID = {"role": "user", "content": "hi"}
COMMON: dict[str, Any] = {
    "notes": {
        "model": "absent: the one of `category`, else the default",
        "format": "\"json\" or a JSON schema",
        "think": "true, false, \"low\", \"medium\", \"high\"",
        "keep_alive": "bounded by `keep_alive_max`",
        "truncate": "absent: true",
        "shift": "absent: false, and the answer ends with `length` where the context is full",
        "category": "ours",
        "options.num_predict": "-1 and -2: to the end of the context",
        "options.num_ctx": "at most what the worker has",
        "options.num_keep": "negative: 0",
        "options.seed": "negative: drawn",
    },
    "examples": {"format": ANY_JSON, "think": True, "keep_alive": "5m", "options": {"top_k": 40},
                 "options.stop": ["END"]},
    "ignored": {f"options.{name}": why for name, why in OTHER_OPTIONS.items()},
}
ASKS = (
    Asks("ollama", "/api/generate", GenerateRequest, {"model": "tiny", "prompt": "hi"},
         parts={"options": OllamaOptions},
         notes={**COMMON["notes"], "prompt": "empty: load, or unload with `keep_alive: 0`",
                "suffix": "for models that fill in the middle, else 400",
                "template": "Ollama's syntax: fields, if, else, range over .Messages",
                "images": "answered by a relay that reads them, else 501",
                "raw": "with `system` or `template`: 400"},
         examples={**COMMON["examples"], "template": "{{ .Prompt }}", "images": ["aGk="]},
         ignored={**COMMON["ignored"], "context": "keep the conversation in the messages of /api/chat"},
         values={"images": ("with `raw` or `suffix`, which leave them no place", None)}),
    Asks("ollama", "/api/chat", ChatRequest, {"model": "tiny", "messages": [SAID]},
         parts={"options": OllamaOptions, "messages[]": OllamaMessage, "tools[]": FunctionTool,
                "messages[].tool_calls[]": FunctionCall},
         notes={**COMMON["notes"], "messages": "empty: load, or unload with `keep_alive: 0`",
                "tools": "where the template knows none, as a system text",
                "messages[].images": "answered by a relay that reads them, else 501",
                "messages[].name": "as `tool_name`"},
         examples={**COMMON["examples"], "tools": [TOOL], "messages": [SAID], "messages[].images": ["aGk="],
                   "messages[].tool_calls": [{"function": {"name": "get_weather", "arguments": {}}}],
                   "messages[].tool_calls[].type": "function", "tools[].type": "function"},
         ignored=COMMON["ignored"],
         values={"tools[].type": ("anything but \"function\"", "web_search")}),
)


def optional(given: msgspec.Raw, kind: type[T], field: str, *, dot: str = "") -> T | None:
    """None if it is not given. `dot`: "." if the value is an object. Raises: Problem that names the field."""
    if not is_given(given):
        return None
    try:
        return msgspec.json.decode(given, type=kind)
    except msgspec.ValidationError as problem:
        raise invalid(problem, field + dot, kind=kind) from None


def asked_of_the_answer(asked: Asked) -> dict[str, Any]:
    """Fields of `Submit`. Raises: Problem."""
    return {"schema": schema_of(asked.format), "think": think_of(asked.think), "truncate": asked.truncate is not False,
            "shift": bool(asked.shift), "logprobs": (asked.top_logprobs or 0) if asked.logprobs else None}


def schema_of(given: msgspec.Raw) -> dict[str, Any] | None:
    """Of `format`. Raises: Problem."""
    found = optional(given, str | dict[str, Any], "format")
    if isinstance(found, dict):
        return check_depth(found, "format")
    if found not in (None, ANY_JSON):
        raise Problem("invalid_request", f'format: {found[:40]!r} is not "json" or a JSON schema', "format")
    return found and JSON_OBJECT


def think_of(given: msgspec.Raw) -> protocol.Think:
    """Raises: Problem."""
    if bytes(given).strip() == b"false":
        return False
    return optional(given, bool | Literal["low", "medium", "high"], "think")


def tools_of(given: msgspec.Raw) -> list[protocol.Tool]:
    """Raises: Problem."""
    return function_tools(optional(given, list[FunctionTool], "tools"))


def messages_of(messages: list[OllamaMessage]) -> list[protocol.Message]:
    """Raises: Problem."""
    found = []
    for number, said in enumerate(messages):
        field = f"messages[{number}]"
        calls = optional(said.tool_calls, list[FunctionCall], f"{field}.tool_calls")
        found.append(protocol.Message(
            said.role, said.content or "", check_images(said.images, f"{field}.images"),
            function_calls(calls, f"{field}.tool_calls"), said.tool_call_id or "", said.tool_name or said.name or "",
            said.thinking or ""))
    return found


def read_options(given: msgspec.Raw) -> tuple[protocol.Options, list[str]]:
    """And the names of those that nobody knows. Raises: Problem `invalid_request` that names the option."""
    said = optional(given, dict[str, msgspec.Raw], "options") or {}
    known = {name: whole(said[name]) for name in said.keys() & KNOWN_OPTIONS}
    try:
        values = msgspec.structs.asdict(msgspec.json.decode(msgspec.json.encode(known), type=OllamaOptions))
        stop = values.pop("stop")
        options = msgspec.convert({
            **values,
            "max_tokens": over_zero(values.pop("num_predict")),  # -1, -2: all there is
            "seed": values["seed"] if (values["seed"] or 0) >= 0 else None,  # -1: draw one
            "top_k": values["top_k"] and max(values["top_k"], 0),  # -1: off
            "num_ctx": over_zero(values["num_ctx"]),
            "num_keep": over_zero(values["num_keep"]),
            "stop": [text for text in ([stop] if isinstance(stop, str) else stop or ()) if text],
        }, protocol.Options)
    except msgspec.ValidationError as problem:
        raise invalid(problem, "options.", OUR_NAMES) from None
    return options, sorted(said.keys() - KNOWN_OPTIONS - OTHER_OPTIONS.keys())


def whole(number: msgspec.Raw) -> msgspec.Raw:
    """8192.0 as 8192; anything else as it is."""
    found = WHOLE.fullmatch(number)
    return msgspec.Raw(found[1]) if found else number


def over_zero(number: int | None) -> int | None:
    return bounded(number) if number is not None and number > 0 else None
