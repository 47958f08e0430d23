"""The family "agent" of `random_model`: added tokens for reasoning, calls and fill in the middle, and habits. Pure.

A model with random weights never reasons or calls by itself, so tests of those paths would need a real model. This
family has habits instead: after certain tokens exactly one token can come. Its chat template ends a prompt in such a
token where the request asks for it:

    think absent or true-by-default    plain random text, as the family "plain"
    `thinking` said to be true         the prompt itself opens the reasoning with <think>
    `reasoning_effort` said            the model opens the reasoning with <think>
    enable_thinking false              the prompt holds an empty block of reasoning
    tools, and CALL_WORDS in the last  the model calls CALL_NAME with CALL_ARGUMENTS and ends
    message

Reasoning is always REASONING, and random text follows it. Outside a habit none of the added tokens ever comes.
"""

import json
from itertools import pairwise

THINK, END_THINK, CALL, END_CALL = "<think>", "</think>", "<tool_call>", "</tool_call>"
FIM = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
PONDER, DIAL = "<|ponder|>", "<|dial|>"  # at the end of a prompt: the model begins to reason, or to call
CALL_WORDS = "call a tool"
CALL_NAME, CALL_ARGUMENTS = "get_weather", {"city": "Paris"}

_THOUGHTS = ("\nHmm, ", "let me see:\n", "a thought.\n")
_CALLING = (f'\n{{"name": "{CALL_NAME}", ', f'"arguments": {json.dumps(CALL_ARGUMENTS)}}}\n')
REASONING = "".join(_THOUGHTS)
ADDED = (THINK, END_THINK, CALL, END_CALL, *FIM, PONDER, DIAL, *_THOUGHTS, *_CALLING)


def habits(end: str) -> list[tuple[str, str]]:
    """Pairs of a token and the only one that can follow it. `end`: the token that ends an answer."""
    return [*pairwise((PONDER, THINK, *_THOUGHTS, END_THINK)), *pairwise((DIAL, CALL, *_CALLING, END_CALL, end))]


AGENT_TEMPLATE = (
    "{{ bos_token }}"
    "{% set ns = namespace(asked='') %}"
    "{% set opening = messages[0].content if messages[0].role == 'system' else '' %}"
    "{% if opening or tools %}<|start|>system\n{{ opening }}"
    "{% if tools %}\nFunctions at hand, one JSON object on each line:\n<tools>\n"
    "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}</tools>\n"
    "To call one: <tool_call>{\"name\": its name, \"arguments\": an object}</tool_call>"
    "{% endif %}<|end|>\n{% endif %}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}"
    "{% if not loop.first %}<|start|>system\n{{ message.content }}<|end|>\n{% endif %}"
    "{% elif message.role == 'tool' %}<|start|>tool\n<tool_response>{{ message.content }}</tool_response><|end|>\n"
    "{% elif message.role == 'assistant' %}<|start|>assistant\n"
    "{% if message.reasoning_content %}<think>\n{{ message.reasoning_content }}\n</think>\n{% endif %}"
    "{{ message.content or '' }}"
    "{% for tool_call in message.tool_calls or [] %}"
    "{% if tool_call.function %}{% set tool_call = tool_call.function %}{% endif %}"
    "\n<tool_call>\n{\"name\": \"{{ tool_call.name }}\", \"arguments\": "
    "{{ tool_call.arguments if tool_call.arguments is string else tool_call.arguments | tojson }}}\n</tool_call>"
    "{% endfor %}<|end|>\n"
    "{% elif message.role == 'user' %}<|start|>user\n{{ message.content }}<|end|>\n"
    "{% set ns.asked = message.content %}"
    "{% else %}{{ raise_exception('unknown role ' ~ message.role) }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% if tools and messages[-1].role == 'user' and '" + CALL_WORDS + "' in ns.asked %}" + DIAL +
    "{% elif enable_thinking is defined and not enable_thinking %}"
    "{% elif reasoning_effort %}" + PONDER +
    "{% elif thinking %}<think>{% endif %}"
    "{% endif %}"
)
