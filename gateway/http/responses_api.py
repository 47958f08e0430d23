"""OpenAI's Responses API: /v1/responses, stateless, and /v1/responses/input_tokens, which counts and asks nothing.

What a request may say is in `responses_read`, what an answer looks like in `responses_face`. Each request stands for
itself: no response is kept, so there is none to be read, continued, cancelled or deleted later.
"""

import time
from typing import Any

import msgspec


from gateway.http.answering import stream_answer, whole_answer
from gateway.http.asking import how_asked
from gateway.http.call import Call
from gateway.http.count_tokens import count
from gateway.http.errors import Problem
from gateway.http.fields import Asks
from gateway.http.heard import Heard
from gateway.http.responses_face import ResponsesFace
from gateway.http.responses_read import (
    REFUSED,
    STATELESS,
    AskedTool,
    Format,
    Item,
    Part,
    Reasoning,
    ResponseAsked,
    Text,
    logprobs_of,
    messages_of,
    refuse,
    sampling_of,
    tools_of,
)
from gateway.http.tools import MODES, choose, response_schema, think_of_effort
from gateway.protocol import NONE, CallPiece, Done, Message, Think, Timings, TokenLogprob, Tokens, Tool, Usage

NAMES = {"schema": "text.format.schema", "messages": "input", "prompt": "input", "logprobs": "top_logprobs",
         "think": "reasoning.effort"}  # of what the gateway and workers may find wrong


async def responses(call: Call) -> None:
    asked, messages, tools, think = await read(call)
    allowed, choice = choose(asked.tool_choice, tools)
    answer = call.services.client.ask(
        model=asked.model, messages=messages, options=sampling_of(asked), tools=allowed, tool_choice=choice,
        parallel_tools=asked.parallel_tool_calls is not False, schema=schema_of(asked), think=think,
        logprobs=logprobs_of(asked), truncate=asked.truncation == "auto", **how_asked(call))
    face = ResponsesFace(call.request_id, int(time.time()), settings_of(asked, tools))
    await (stream_answer if asked.stream else whole_answer)(call, face, answer)


async def input_tokens(call: Call) -> None:
    """How many tokens this input would be. The model need not be loaded."""
    asked, messages, tools, think = await read(call)
    allowed, choice = choose(asked.tool_choice, tools)
    counted = await count(call, model=asked.model, messages=messages, tools=[] if choice == NONE else allowed,
                          think=think)
    if counted is None:
        return
    await call.reply_json({"object": "response.input_tokens", "input_tokens": counted.tokens})


async def absent(call: Call) -> None:
    """What is done to responses that were kept. Raises: Problem."""
    raise Problem("not_offered", f"{call.scope['path'][:200]}: responses are not kept; {STATELESS}")


absent.offered = False  # for `openapi`


async def read(call: Call) -> tuple[ResponseAsked, list[Message], list[Tool], Think]:
    """Raises: Problem."""
    asked = await call.read_json(ResponseAsked)
    call.model, call.names = asked.model, NAMES
    refuse(asked)
    effort = asked.reasoning.effort if asked.reasoning is not None else None
    return asked, messages_of(asked), tools_of(asked), think_of_effort(effort, "reasoning.effort")


def schema_of(asked: ResponseAsked) -> dict[str, Any] | bool | None:
    """Raises: Problem."""
    given = asked.text.format if asked.text is not None else None
    return response_schema(given.type, given.schema, "text.format") if given is not None else None


def settings_of(asked: ResponseAsked, tools: list[Tool]) -> dict[str, Any]:
    """What the response repeats of its request. What was not asked and the model decides is null."""
    text = asked.text or Text()
    reasoning = asked.reasoning or Reasoning()
    return {
        "background": False, "store": False, "previous_response_id": None,
        "instructions": asked.instructions, "metadata": asked.metadata or {},
        "max_output_tokens": asked.max_output_tokens, "temperature": asked.temperature, "top_p": asked.top_p,
        "top_logprobs": asked.top_logprobs or 0, "truncation": asked.truncation or "disabled",
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "tools": [{"type": "function", "name": tool.name, "description": tool.description,
                   "parameters": tool.parameters, "strict": tool.strict} for tool in tools],
        "tool_choice": choice_shown(asked),
        "text": {"format": format_shown(text.format or Format()), "verbosity": text.verbosity or "medium"},
        "reasoning": {"effort": reasoning.effort, "summary": None},
        "service_tier": "default",
    }


def choice_shown(asked: ResponseAsked) -> object:
    given = asked.tool_choice
    if given is None or isinstance(given, str):
        return given or "auto"
    if given.type in MODES:
        return given.type
    if given.type != "allowed_tools":
        return {"type": "function", "name": given.function.name if given.function is not None else given.name}
    allowed = given.allowed_tools or given
    return {"type": given.type, "mode": allowed.mode,
            "tools": [{"type": tool.type, "name": tool.name or (tool.function and tool.function.name)}
                      for tool in allowed.tools]}


def format_shown(given: Format) -> dict[str, Any]:
    if given.type != "json_schema":
        return {"type": given.type or "text"}
    return {"type": given.type, "name": given.name or "answer", "schema": given.schema, "strict": bool(given.strict)}


def example() -> dict[str, Any]:
    """An answer with an item of each kind, for the description of answers."""
    heard = Heard()
    heard.add(Tokens("", 0, [], "no", "hm", [CallPiece(0, "c1", "look", "{}")],
                     [TokenLogprob(0, b"no", -1.0, [TokenLogprob(0, b"no", -1.0)])]))
    face = ResponsesFace("1", 0, settings_of(ResponseAsked(), []) | {"tool_choice": None})  # a text or an object
    done = Done("", "stop", "", Usage(1, 1), Timings(0.0, 0.0, 0.0, 0.0, 0.0), "medium")
    shown = msgspec.json.decode(face.whole(heard, done, "1970-01-01T00:00:00Z"))
    return shown | {"completed_at": None}  # or a number


HI = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
IMAGE = {"type": "message", "role": "user", "content": [
    {"type": "input_image", "image_url": "data:image/png;base64,aGk="}]}
REFUSAL = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "dark"}
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object"}}
FORMAT = {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}}
IGNORED = {
    "store": "nothing is kept; answers say false",
    "reasoning.summary": "reasoning is shown as it is",
    "text.verbosity": "",
    "text.format.strict": "a schema is always kept to",
    "stream_options": "", "user": "the key says who asks", "safety_identifier": "", "service_tier": "there is one",
    "max_tool_calls": "is of tools that run on the server", "prompt_cache_key": "", "prompt_cache_retention": "",
}
ASKS = (
    Asks("openai", "/v1/responses", ResponseAsked, {"input": "hi"},
         parts={"input[]": Item, "input[].content[]": Part, "tools[]": AskedTool, "text": Text, "text.format": Format,
                "reasoning": Reasoning},
         notes={"input": "a text, or items: messages, reasoning, `function_call`, `function_call_output`",
                "include": "`message.output_text.logprobs`; others have no effect",
                "tools[].strict": "a call of it keeps to the schema",
                "top_k": "ours", "min_p": "ours", "seed": "ours", "stop": "ours", "repetition_penalty": "ours",
                "metadata": "shown again", "text.format.name": "shown again",
                "truncation": "`auto`: the oldest messages go if the prompt is too long",
                "reasoning.effort": "`none`: no reasoning, where the template can",
                "input[].content[].image_url": "`data:` only, for a relay that reads images"},
         ignored=IGNORED, refused=REFUSED,
         values={"input[].type": ("`item_reference`, and what OpenAI's own tools say", "web_search_call"),
                 "input[].content[].type": ("`input_file`, `input_audio`", "input_file"),
                 "tools[].type": ("not `function`; beside functions they are left out", "web_search"),
                 "tool_choice": ("a tool that is no function", {"type": "web_search"})},
         examples={"input": [HI], "tool_choice": "auto", "reasoning.effort": "low"},
         bodies={"input[]": {"input": [HI]}, "input[].content[].image_url": {"input": [IMAGE]},
                 "input[].content[].refusal": {"input": [REFUSAL]}, "input[].output": {"input": [OUTPUT]},
                 "input[].summary": {"input": [THOUGHT, HI]}, "tools": {"input": "hi", "tools": [TOOL]},
                 "text": {"input": "hi", "text": FORMAT},
                 **dict.fromkeys(("input[].call_id", "input[].name", "input[].arguments"), {"input": [CALL, OUTPUT]})},
         answer=example()),
    Asks("openai", "/v1/responses/input_tokens", ResponseAsked, {"input": "hi"}, same_as="/v1/responses",
         answer={"object": "response.input_tokens", "input_tokens": 1}),
)
