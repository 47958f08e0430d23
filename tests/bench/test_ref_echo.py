"""The bare web server answers one token that our load generator can read, and refuses what is no JSON."""

import asyncio

import pytest

from bench.dialects import OpenAIAnswer
from bench.ref_echo import BODY_MAX_BYTES, app


def answer_to(*pieces):
    """Status and body of the answer to a request whose body comes in these pieces."""
    messages = [{"type": "http.request", "body": piece, "more_body": number + 1 < len(pieces)}
                for number, piece in enumerate(pieces)]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": "http"}, receive, send))
    assert not sent[-1].get("more_body")
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def test_one_token_as_a_stream_that_ends_well():
    status, body = answer_to(b'{"messages": ', b"[]}")
    heard = OpenAIAnswer()
    heard.feed(body, 1.0)
    assert status == 200
    assert heard.ended and heard.first_s == 1.0 and heard.gaps_s == []
    assert heard.tokens == 1 and heard.by_usage


def test_no_body_is_fine():
    assert answer_to(b"")[0] == 200


@pytest.mark.parametrize("body, status", [(b"{", 400), (b" " * (BODY_MAX_BYTES + 1), 413)])
def test_a_wrong_body_is_refused(body, status):
    assert answer_to(body) == (status, b"")
