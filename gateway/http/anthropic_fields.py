"""What /v1/messages and /v1/messages/count_tokens do with each field of a body, declared for the table and tests."""

from typing import Any

from gateway.http.anthropic_messages import AnthropicMessage, Block, Source
from gateway.http.anthropic_read import (
    AnthropicTool,
    Format,
    MessagesAsked,
    OutputConfig,
    Prompted,
    Thinking,
    ToolChoice,
)
from gateway.http.fields import Asks

MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
SHORT_TOKENS = 16
REFUSED = {"mcp_servers": "servers of tools are asked by the client, not by us"}
REFUSED_OF_MESSAGES = {**REFUSED, "container": "nothing is run here"}
IGNORED = {
    "cache_control": "what can be kept of a prompt is kept without a mark",
    "context_management": "nothing is cut; a prompt that is too long is refused",
    "thinking.budget_tokens": "`max_tokens` bounds reasoning and answer together",
    "thinking.display": "reasoning is shown as it is",
    "messages[].content[].cache_control": "",
    "messages[].content[].signature": 'reasoning is not signed; ours is ""',
    "messages[].content[].citations": "answers cite nothing",
    "messages[].content[].source.media_type": "whoever reads an image looks at it",
    "tools[].cache_control": "", "tools[].input_examples": "", "tools[].eager_input_streaming": "",
    "tools[].defer_loading": "all tools are told at once",
    "speed": "", "betas": "",
}
IGNORED_OF_MESSAGES = {
    **IGNORED,
    "metadata": "the key says who asks",
    "service_tier": "there is one; `X-Request-Priority` says how urgent it is",
    "inference_geo": "it is answered here", "diagnostics": "", "user_profile_id": "", "fallbacks": "",
}
LOOK: dict[str, Any] = {"name": "look", "input_schema": {"type": "object"}}
FORMAT: dict[str, Any] = {"type": "json_schema", "schema": {"type": "object"}}
IMAGE: dict[str, Any] = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
DOCUMENT: dict[str, Any] = {"type": "document", "title": "Report", "context": "of May",
                            "source": {"type": "content", "data": "so", "content": "It is so."}}
CALL: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}}
RESULT: dict[str, Any] = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen", "is_error": False}
PARTS = {"messages[]": AnthropicMessage, "messages[].content[]": Block, "messages[].content[].source": Source,
         "tools[]": AnthropicTool, "tool_choice": ToolChoice, "thinking": Thinking, "output_config": OutputConfig,
         "output_config.format": Format, "output_format": Format}
NOTES = {
    "model": "without it the default one answers",
    "messages": "`user`, `assistant`, and `system` on the way",
    "messages[].content": "a text, or blocks",
    "messages[].content[].type": "`text`, `image`, `document`, `search_result`, `tool_use`, `tool_result`, `thinking`; "
                                 "`redacted_thinking` is passed over",
    "messages[].content[].tool_name": "of a `tool_reference` in the content of a `tool_result`",
    "messages[].content[].source": "of an image: base64, for a relay that reads images; of a document: its text",
    "messages[].content[].is_error": "the result begins with `Error: `",
    "system": "a text, or blocks of text",
    "tools[].strict": "calls meet the schema even if the model is free to call nothing",
    "thinking": "missing: no reasoning, where the template can do without",
    "thinking.type": "`enabled`, `adaptive`, `between_tools`: the model reasons if its template can; `disabled`",
    "output_config.effort": "how long it reasons, where the template knows that, if `thinking` asks for it",
    "output_config.format": "enforced while decoding",
    "output_format": "the same under its older name",
}
NOTES_OF_MESSAGES = {**NOTES, "max_tokens": "required, 1 or more", "temperature": "0 to 2",
                     "stop_sequences": "at most 16; the one that ended the answer is named"}
VALUES = {
    "messages[].content[].type": ("what Anthropic's own tools say, and files", "server_tool_use"),
    "messages[].content[].source.type": ("`url`, `file`; `base64` of a document (PDF)", "url"),
    "tools[].type": ("tools of Anthropic's own: `bash_*`, `text_editor_*`, `computer_*`, `web_search_*`, ...",
                     "web_search_20250305"),
}
EXAMPLES = {
    "messages[].content": "hi", "messages[].content[].type": "text", "messages[].content[].source.type": "content",
    "messages[].content[].content": "seen", "messages[].content[].source.content": "It is so.",
    "system": "Be brief.", "tools": [LOOK], "tools[].type": "custom", "tools[].name": "look",
    "tools[].input_schema": {"type": "object"}, "tool_choice": {"type": "auto"}, "tool_choice.type": "any",
    "tool_choice.name": "look", "thinking": {"type": "adaptive"}, "thinking.type": "enabled", "output_format": FORMAT,
    "output_config": {"effort": "low"}, "output_config.effort": "low", "output_config.format": FORMAT,
    "output_config.format.type": "json_schema", "output_format.type": "json_schema",
}


def said(body: dict[str, Any], role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return body | {"messages": [{"role": role, "content": list(blocks)}]}


def bodies_of(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Those in which a field of a part may stand."""
    block, with_tool = "messages[].content[]", body | {"tools": [{**LOOK, "type": "custom"}]}
    return {
        block: said(body, "user", {"type": "text", "text": "hi"}),
        **{f"{block}.{name}": said(body, "user", DOCUMENT) for name in ("source", "title", "context")},
        f"{block}.source.data": said(body, "user", IMAGE),
        **{f"{block}.{name}": said(body, "assistant", CALL) for name in ("id", "name", "input")},
        **{f"{block}.{name}": said(body, "user", RESULT) for name in ("content", "tool_use_id", "is_error")},
        f"{block}.thinking": said(body, "assistant", {"type": "thinking", "thinking": "Hm.", "signature": ""}),
        "tools[]": with_tool,
        "tool_choice": with_tool | {"tool_choice": {"type": "tool", "name": "look"}},
        "tool_choice.type": with_tool | {"tool_choice": {"type": "any"}},
        "output_config.format": body | {"output_config": {"format": FORMAT}},
        "output_format": body | {"output_format": FORMAT},
    }


ANSWER = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "guide",
    "content": [{"type": "text", "text": "Yes."}], "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 2, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
              "service_tier": "standard"}}
COUNTED_BODY: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
ASKED_BODY = COUNTED_BODY | {"max_tokens": SHORT_TOKENS}
ASKS_OF_MESSAGES = Asks("anthropic", MESSAGES, MessagesAsked, ASKED_BODY, parts=PARTS, notes=NOTES_OF_MESSAGES,
                        ignored=IGNORED_OF_MESSAGES, refused=REFUSED_OF_MESSAGES, values=VALUES, examples=EXAMPLES,
                        bodies=bodies_of(ASKED_BODY), answer=ANSWER)
ASKS_OF_COUNT = Asks("anthropic", COUNT, Prompted, COUNTED_BODY, parts=PARTS, notes=NOTES, ignored=IGNORED,
                     refused=REFUSED, values=VALUES, examples=EXAMPLES, bodies=bodies_of(COUNTED_BODY),
                     answer={"input_tokens": 5})
