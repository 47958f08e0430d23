"""A prompt counted for a caller over HTTP, in any dialect; whoever leaves frees the place of the question."""

from gateway.http.asking import who_asks
from gateway.http.call import Call
from gateway.protocol import CountInfo, Result, decode_count


async def count(call: Call, **fields: object) -> CountInfo | None:
    """`fields` of `protocol.Tokenize`. None: the caller has left. Only after the body was read.

    Raises: GatewayError, Problem.
    """
    answer = call.services.client.ask_count(**fields, **who_asks(call))
    try:
        with call.watching(answer.leave):
            async for event in answer:
                if isinstance(event, Result):
                    return decode_count(event.value)
    finally:
        answer.leave()
    return None
