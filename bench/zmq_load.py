"""Asks a gateway over ZeroMQ, one client for the whole process, and notes when what came.

The times are those of the events as the client library hands them over; what it reads in one turn is 0 s apart.
"""

import time

from bench.records import REFUSED_STATUSES, Ask, Heard
from gateway.client import GatewayClient, GatewayError
from gateway.protocol import Done, Message, Options, Tokens


class ZmqAsker:
    """`async with ZmqAsker(endpoint, model) as asker`. `model` "": the gateway's default."""

    def __init__(self, endpoint: str, model: str) -> None:
        self.model = model
        self.client = GatewayClient(endpoint)

    async def __aenter__(self) -> "ZmqAsker":
        try:
            await self.client.start()
        except GatewayError:
            await self.client.start(wait=False)  # each ask says so
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def hear(self, ask: Ask, at_s: float | None, start: float) -> Heard:
        sent_s = time.monotonic() - start
        due_s = sent_s if at_s is None else at_s
        first_s, last_s, gaps_s = None, 0.0, []
        try:
            answer = self.client.ask(
                model=self.model, messages=[Message("user", ask.prompt)], priority=ask.klass, schema=ask.schema,
                options=Options(max_tokens=ask.max_tokens, temperature=0.0))
            async for event in answer:
                if isinstance(event, Tokens) and event.text:
                    now_s = time.monotonic() - start
                    if first_s is None:
                        first_s = now_s
                    else:
                        gaps_s.append(now_s - last_s)
                    last_s = now_s
                elif isinstance(event, Done):
                    return Heard(ask.klass, due_s, sent_s, first_s, time.monotonic() - start,
                                 event.usage.completion_tokens, tuple(gaps_s), *_outcome_of(event))
        except GatewayError as error:
            return Heard(ask.klass, due_s, sent_s, first_s, time.monotonic() - start, 0, tuple(gaps_s),
                         "refused" if is_refusal(error, begun=first_s is not None) else "error", error.code)
        raise AssertionError("an answer ends with Done or a GatewayError")


def is_refusal(error: GatewayError, *, begun: bool) -> bool:
    """The same as over HTTP: no place, said before the answer began. A gateway that is not there refuses nothing."""
    return not begun and error.status in REFUSED_STATUSES and error.code != "gateway_unavailable"


def _outcome_of(done: Done) -> tuple[str, str]:
    return ("error", "cancelled") if done.finish_reason == "cancelled" else ("done", "")
