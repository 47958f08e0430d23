"""Anthropic's /v1/messages/count_tokens: how many tokens a prompt would have. The model need not be loaded.

Whatever makes the prompt counts: system, messages, tools. Images do not: only servers that relays ask can tell.
"""

import msgspec

from gateway.http.anthropic_api import refuse
from gateway.http.anthropic_fields import ASKS_OF_COUNT, REFUSED
from gateway.http.anthropic_messages import read_messages
from gateway.http.anthropic_read import Prompted, choice_of, schema_of, think_of, tools_of
from gateway.http.call import Call
from gateway.http.count_tokens import count

ASKS = (ASKS_OF_COUNT,)

async def count_tokens(call: Call) -> None:
    asked = await call.read_json(Prompted)
    call.model = asked.model
    refuse(asked, REFUSED)
    tools = tools_of(asked)
    choice_of(asked, tools)  # neither is part of the prompt, but what is wrong there is told here as it would be later
    schema_of(asked)
    messages = [msgspec.structs.replace(message, images=[]) for message in read_messages(asked.system, asked.messages)]
    counted = await count(call, model=asked.model, messages=messages, tools=tools, think=think_of(asked))
    if counted is None:
        return
    await call.reply_json({"input_tokens": counted.tokens}, headers={"x-warden-model": counted.model})
