"""Anthropic's dialect: /v1/messages. Counting and lists of models are next door.

What a body may say is in `anthropic_read` and `anthropic_messages`, what an answer looks like in `anthropic_face`.
Unknown fields are accepted, so are marks for a cache (`cache_control`) and beta headers; wrong types are refused by
name. `max_tokens` is required, as by Anthropic; without a `model` the default one answers.
"""

from collections.abc import Mapping

import msgspec

from gateway import protocol
from gateway.http.anthropic_face import AnthropicFace
from gateway.http.anthropic_fields import ASKS_OF_MESSAGES, REFUSED_OF_MESSAGES
from gateway.http.anthropic_messages import read_messages
from gateway.http.anthropic_read import MessagesAsked, Prompted, choice_of, schema_of, think_of, tools_of
from gateway.http.answering import stream_answer, whole_answer
from gateway.http.asking import how_asked
from gateway.http.call import Call
from gateway.http.common_fields import bounded
from gateway.http.errors import Problem
from gateway.http.wrong_fields import invalid, is_given

ASKS = (ASKS_OF_MESSAGES,)
NAMES = {"stop": "stop_sequences", "think": "thinking"}  # of what is found further on


async def messages(call: Call) -> None:
    asked = await call.read_json(MessagesAsked)
    call.model = asked.model
    refuse(asked, REFUSED_OF_MESSAGES)
    tools = tools_of(asked)
    choice, parallel = choice_of(asked, tools)
    schema, field = schema_of(asked)
    call.names = {**NAMES, "schema": field}
    answer = call.services.client.ask(
        model=asked.model, messages=read_messages(asked.system, asked.messages), options=options_of(asked),
        tools=tools, tool_choice=choice, parallel_tools=parallel, schema=schema, think=think_of(asked),
        **how_asked(call))
    face = AnthropicFace(asked.model, call.request_id)
    if asked.stream:
        await stream_answer(call, face, answer)
    else:
        await whole_answer(call, face, answer)


def refuse(asked: Prompted, refused: Mapping[str, str]) -> None:
    """Raises: Problem `not_offered`."""
    for field, why in refused.items():
        if is_given(getattr(asked, field)):
            raise Problem("not_offered", f"{field}: is not offered: {why}", field)


def options_of(asked: MessagesAsked) -> protocol.Options:
    """Raises: Problem `invalid_request`."""
    try:
        return msgspec.convert({
            "max_tokens": bounded(asked.max_tokens),
            "temperature": asked.temperature,
            "top_p": asked.top_p,
            "top_k": None if asked.top_k is None else max(asked.top_k, 0),  # -1: off
            "stop": [text for text in asked.stop_sequences or () if text],
        }, protocol.Options)
    except msgspec.ValidationError as problem:
        raise invalid(problem, names=NAMES) from None
