"""The bytes of streamed answers, in the two dialects that the load generators read."""

import json


def event(**fields: object) -> bytes:
    """OpenAI: a Server-Sent Event."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def text(content: str, **more: object) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": content}, "finish_reason": None}], **more)


def line(content: str, **more: object) -> bytes:
    """Ollama: an object in a line."""
    return json.dumps({"model": "m", "message": {"role": "assistant", "content": content}, "done": False} | more
                      ).encode() + b"\n"


ROLE = event(choices=[{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}], usage=None)
LAST = event(choices=[{"delta": {}, "finish_reason": "length"}])
USAGE = event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 7})
DONE = b"data: [DONE]\n\n"
WHOLE = ROLE + b": waiting\n\n" + text("a") + text("b") + text("cd") + LAST + USAGE + DONE
