"""A scripted server with Ollama's API: /api/chat and /api/generate as NDJSON, /api/tags and /api/version.

`python -m tests.support.scripted_ollama --port N --behaviour FILE`; see tests/support/scripted_server.py.
"""

import json
import sys

from tests.support.scripted_server import Behaviour, Request, Script, main

CHAT, GENERATE = "/api/chat", "/api/generate"
CREATED_AT = "2026-01-01T00:00:00.000000Z"
PROMPT_MS, DECODE_MS, PROMPT_TOKENS = 20, 40, 11
NS_PER_MS = 1_000_000


class OllamaScript(Script):
    content_type = "application/x-ndjson"

    def probe(self, path: str, behaviour: Behaviour) -> bytes | None:
        match path:
            case "/api/tags":
                tags = [{"name": name, "model": name, "size": 1, "digest": "0" * 64} for name in behaviour.models]
                return json.dumps({"models": tags}).encode()
            case "/api/version":
                return b'{"version": "0.9.9"}'
        return None

    def is_work(self, request: Request) -> bool:
        return request.path in (CHAT, GENERATE)

    def before(self, request: Request, behaviour: Behaviour) -> list[bytes]:
        thought = [self._object(request, "", {"thinking": behaviour.thinking})] if behaviour.thinking else []
        chances = [self._object(request, "", logprobs=behaviour.chances)] if behaviour.chances else []
        return thought + [self._object(request, "", {"tool_calls": [call]}) for call in behaviour.calls] + chances

    def word(self, request: Request, text: str) -> bytes:
        return self._object(request, text)

    def end(self, request: Request, behaviour: Behaviour) -> bytes:
        """`num_predict` is kept to in what it says of the end only."""
        asked = (request.body.get("options") or {}).get("num_predict", 0)
        reason = "length" if asked and asked <= len(behaviour.words) else "stop"
        return self._object(request, "", done=True, done_reason=reason, total_duration=70 * NS_PER_MS, load_duration=1,
                            prompt_eval_count=PROMPT_TOKENS, prompt_eval_duration=PROMPT_MS * NS_PER_MS,
                            eval_count=len(behaviour.words), eval_duration=DECODE_MS * NS_PER_MS)

    def error(self, problem: str) -> bytes:
        return json.dumps({"error": problem}).encode()

    def _object(self, request: Request, text: str, more: dict | None = None, **facts: object) -> bytes:
        """`more` stands beside the text."""
        said = {"model": request.body.get("model"), "created_at": CREATED_AT, "done": False}
        if request.path == CHAT:
            said["message"] = {"role": "assistant", "content": text} | (more or {})
        else:
            said |= {"response": text} | (more or {})
        return json.dumps(said | facts).encode()


if __name__ == "__main__":
    sys.exit(main(OllamaScript()))
