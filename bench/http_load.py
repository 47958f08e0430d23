"""Asks any OpenAI- or Ollama-compatible server over HTTP, streamed, and notes when what came.

What is asked and how an answer is read is the dialect's (`dialects.py`). Decided here: an answer is done if it said
that it is whole and the connection ended as HTTP says it must; it is an error if it broke off, if it holds an error
object, or if the connection failed; 429, 503 and 529 are refusals.

Nothing is tried again: a caller who was refused or cut off is what a bench is there to count. No redirect is followed.
"""

import asyncio
import time
from contextlib import suppress

import aiohttp
import msgspec

from bench.dialects import DIALECTS, Answer, BrokenStream, error_words
from bench.records import REFUSED_STATUSES, Ask, Heard

ANSWER_WITHIN_S = 900.0  # from sending to the last byte; what takes longer is an error
WARM_WITHIN_S = 10.0
WARM_CONNECTIONS_MAX = 64
IDLE_CONNECTION_MAX_S = 2.0  # servers close idle ones after some 5 s, and a request then meets a closed connection

encode = msgspec.json.Encoder().encode


class HttpAsker:
    """`async with HttpAsker(url, model, headers) as asker`. `model` "": the server's choice. `kind`: of DIALECTS.

    Connects `warm_connections` times at once to begin with.
    """

    def __init__(self, address: str, model: str, headers: dict[str, str], warm_connections: int = 1,
                 kind: str = "http") -> None:
        self.dialect = DIALECTS[kind]
        self.url = address + self.dialect.path
        self.warm_url = f"{address}/"  # cheap everywhere; what it says does not matter
        self.model = model
        self.headers = headers
        self.warm_connections = min(warm_connections, WARM_CONNECTIONS_MAX)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "HttpAsker":
        self._session = aiohttp.ClientSession(
            # Content-Type is said here because the body is encoded here; no cookies, no proxies, no compression.
            headers={"Content-Type": "application/json", "Accept": self.dialect.accept,
                     "Accept-Encoding": "identity", **self.headers},
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION_MAX_S),
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        await asyncio.gather(*(self._warm() for _ in range(self.warm_connections)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def _warm(self) -> None:
        """What it answers does not matter, nor whether: the first ask of the run will say so."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            timeout = aiohttp.ClientTimeout(total=WARM_WITHIN_S)
            async with self._session.get(self.warm_url, timeout=timeout) as answer:
                await answer.read()

    async def hear(self, ask: Ask, at_s: float | None, start: float) -> Heard:
        body = encode(self.dialect.body(ask, self.model))
        sent_s = time.monotonic() - start
        answer = self.dialect.answer()
        outcome, detail = await self._ask(body, ask.klass, answer, start)
        return Heard(ask.klass, sent_s if at_s is None else at_s, sent_s, answer.first_s, time.monotonic() - start,
                     answer.tokens, tuple(answer.gaps_s), outcome, detail, answer.by_usage)

    async def _ask(self, body: bytes, klass: str, answer: Answer, start: float) -> tuple[str, str]:
        """Outcome and detail."""
        try:
            async with self._session.post(self.url, data=body, headers={"X-Request-Priority": klass},
                                          allow_redirects=False) as response:
                if response.status != 200:
                    words = f"{response.status} {error_words(await response.read())}".strip()
                    return ("refused" if response.status in REFUSED_STATUSES else "error"), words
                async for piece in response.content.iter_any():
                    answer.feed(piece, time.monotonic() - start)
                answer.close(time.monotonic() - start)
        except BrokenStream as broken:
            return "error", str(broken)
        except TimeoutError:
            return "error", f"no end within {ANSWER_WITHIN_S:g} s"
        except (aiohttp.ClientError, OSError) as problem:
            return "error", f"connection: {type(problem).__name__}"
        if answer.ended:
            return "done", ""
        no_stream = response.content_type == "application/json"
        return "error", "one JSON object instead of a stream" if no_stream else "the stream ended in mid-answer"
