"""/v1/chat/completions of the OpenAI dialect: what is read of a request, and how it is asked.

Unknown fields are accepted, wrong types refused by name, and what we do not have (sound, searching the web) is refused
with 501 rather than ignored, unless the field is empty. `ASKS` declares it for the README and the tests.

The old form of tools (`functions`, `function_call`) is read as the new one and answered in the old one. How much to
reason is said by `reasoning_effort`, or by `chat_template_kwargs` as clients of vLLM and mlx_lm.server say it.
"""

import time
from typing import Annotated

import msgspec

from gateway import protocol
from gateway.http.asking import how_asked
from gateway.http.call import Call
from gateway.http.choices import answer_choices
from gateway.http.errors import Problem
from gateway.http.fields import Asks
from gateway.http.openai_face import ChatCompletionFace
from gateway.http.openai_messages import ImageUrl, OpenAIMessage, Part, message_of
from gateway.http.openai_models import MAKER
from gateway.http.openai_options import IGNORED, Sampled, StreamOptions, bias_of, of_choice, options_of
from gateway.http.tools import (
    Called,
    Choice,
    Function,
    FunctionCall,
    FunctionTool,
    check_mode,
    choose,
    function_tools,
    named,
    response_schema,
    think_of_effort,
)
from gateway.http.wrong_fields import is_given

UNSET = msgspec.Raw()
Tops = Annotated[int, msgspec.Meta(ge=0, le=protocol.LOGPROBS_MAX)]


class JsonSchema(msgspec.Struct):
    """`strict` or not, the schema is enforced."""

    schema: dict | bool | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    """`schema` beside json_object, without a `json_schema` around it, is llama.cpp's way."""

    type: str = "text"
    json_schema: JsonSchema | None = None
    schema: dict | bool | None = None


class TemplateOptions(msgspec.Struct):
    enable_thinking: bool | None = None
    thinking: bool | None = None


class Completion(Sampled):
    messages: Annotated[list[OpenAIMessage], msgspec.Meta(max_length=protocol.MESSAGES_MAX)]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: Tops | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: str | Choice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Function] | None = None
    function_call: str | Function | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: TemplateOptions | None = None
    modalities: list[str] | None = None
    audio: msgspec.Raw = UNSET
    web_search_options: msgspec.Raw = UNSET


REFUSED = {"audio": "no sound is made", "web_search_options": "nothing is searched"}


def said(*content: dict) -> dict:
    return {"messages": [{"role": "user", "content": list(content)}]}


HI = {"messages": [{"role": "user", "content": "hi"}]}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
BODIES = {
    "messages[].content[]": said({"type": "text", "text": "hi"}),
    "messages[].content[].refusal": said({"type": "refusal", "refusal": "no"}),
    "messages[].content[].image_url": said({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}),
    "messages[].tool_calls": {"messages": [{"role": "assistant", "tool_calls": [CALL]},
                                           {"role": "tool", "content": "dark", "tool_call_id": "c1"}]},
    "tools": HI | {"tools": [{"type": "function", "function": {"name": "look"}}]},
    "top_logprobs": HI | {"logprobs": True},
}
ASKS = (Asks(
    "openai", "/v1/chat/completions", Completion,
    body=HI,
    bodies=BODIES,
    parts={"messages[]": OpenAIMessage, "messages[].content[]": Part, "messages[].content[].image_url": ImageUrl,
           "messages[].tool_calls[]": FunctionCall, "messages[].tool_calls[].function": Called,
           "stream_options": StreamOptions, "tools[]": FunctionTool, "tools[].function": Function,
           "response_format": ResponseFormat, "response_format.json_schema": JsonSchema,
           "chat_template_kwargs": TemplateOptions},
    notes={"n": "each choice is a request of its own; a seed counts on from choice to choice",
           "max_tokens": "-1: as much as there is", "max_completion_tokens": "beats max_tokens",
           "functions": "the old form of tools", "function_call": "the old form of tool_choice",
           "top_logprobs": "with logprobs", "reasoning_effort": "none, minimal, low, medium, high, xhigh, max",
           "chat_template_kwargs": "enable_thinking or thinking",
           "messages[].content[].image_url": "data: URLs alone, and where a backend reads images"},
    ignored={**IGNORED, "verbosity": "no model knows it", "prediction": "it would only save time",
             "messages[].content[].image_url.detail": "a backend decides",
             "response_format.json_schema.name": "the schema says all",
             "response_format.json_schema.description": "the schema says all",
             "response_format.json_schema.strict": "a schema is always enforced"},
    refused=REFUSED,
    values={"modalities": ("anything but text", ["text", "audio"]),
            "messages[].content": ("parts of type input_audio or file", [{"type": "file", "file": {}}]),
            "tools[].type": ("anything but function", "custom"),
            "messages[].content[].image_url.url": ("addresses, which are not fetched", "https://example.org/cat.png")},
    examples={"response_format.type": "json_object", "response_format.json_schema.schema": {"type": "object"},
              "reasoning_effort": "low", "modalities": ["text"], "tool_choice": "auto", "function_call": "auto",
              "logit_bias": {"5": 1}, "messages[].role": "user", "tools[].type": "function",
              "tools[].function.parameters": {"type": "object"}},
),)


async def chat_completions(call: Call) -> None:
    asked = await call.read_json(Completion)
    call.model = asked.model
    refuse(asked)
    if asked.max_completion_tokens is None:
        options = options_of(asked, asked.max_tokens)
    else:
        options = options_of(asked, asked.max_completion_tokens, {"max_tokens": "max_completion_tokens"})
    tools, choice = tools_of(asked)
    call.names = {"schema": schema_field(asked), "prompt": "messages"}
    fields = {
        **how_asked(call),
        "model": asked.model,
        "messages": [message_of(number, message) for number, message in enumerate(asked.messages)],
        "tools": tools,
        "tool_choice": choice,
        "parallel_tools": asked.parallel_tool_calls is not False and not asked.functions,
        "schema": schema_of(asked),
        "think": think_of(asked),
        "logprobs": (asked.top_logprobs or 0) if asked.logprobs else None,
        "logit_bias": bias_of(asked.logit_bias),
    }
    count = asked.n or 1
    answers = [call.services.client.ask(options=of_choice(options, number), **fields) for number in range(count)]
    face = ChatCompletionFace(f"chatcmpl-{call.request_id}", int(time.time()), include_usage=asked.include_usage,
                              maker=MAKER, function_call=bool(asked.functions))
    await answer_choices(call, face, answers, per_prompt=count, stream=bool(asked.stream))


def refuse(asked: Completion) -> None:
    """Raises: Problem."""
    if not asked.messages:
        raise Problem("invalid_request", "messages: give at least one", "messages")
    for field, why in REFUSED.items():
        if is_given(getattr(asked, field)):
            raise Problem("not_offered", f"{field}: {why}; leave it out", field)
    for kind in asked.modalities or ():
        if kind != "text":
            raise Problem("not_offered", f"modalities: {kind[:40]!r} is not offered; answers are text", "modalities")
    if asked.top_logprobs and not asked.logprobs:
        raise Problem("invalid_request", "top_logprobs: needs `logprobs: true`", "top_logprobs")


def tools_of(asked: Completion) -> tuple[list[protocol.Tool], str]:
    """Those that may be called, and the choice among them. Raises: Problem."""
    if not asked.functions:
        return choose(asked.tool_choice, function_tools(asked.tools), "tool_choice")
    if asked.tools:
        raise Problem("invalid_request", "functions: is the old form of `tools`; give one of them", "functions")
    tools = function_tools([FunctionTool(function=function) for function in asked.functions], "functions")
    given = asked.function_call
    if isinstance(given, Function):
        return tools, named(given.name, tools, "function_call")
    return tools, check_mode(given or protocol.AUTO, tools, "function_call")


def schema_of(asked: Completion) -> dict | bool | None:
    """Raises: Problem."""
    given = asked.response_format
    if given is None:
        return None
    return response_schema(given.type, given.json_schema.schema if given.json_schema else given.schema,
                           schema_field(asked))


def schema_field(asked: Completion) -> str:
    """Where the schema of the answer stands, for errors about it."""
    given = asked.response_format
    if given is None or given.type != "json_schema":
        return "response_format"
    return "response_format.json_schema.schema"


def think_of(asked: Completion) -> protocol.Think:
    """What the template is told directly beats the effort. Raises: Problem."""
    effort = think_of_effort(asked.reasoning_effort)
    told = asked.chat_template_kwargs or TemplateOptions()
    direct = told.thinking if told.enable_thinking is None else told.enable_thinking
    if direct is None:
        return effort
    return (effort or True) if direct else False
