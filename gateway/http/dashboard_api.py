"""GET /dashboard/events: what the dashboard shows, as server-sent events; the first has the last hour, one each second
after it has what is now.

Whoever may see all of /health may listen. Anybody else, on another machine where keys are needed, shows a key, and the
gateway is asked once whose it is, for WHO_WITHIN_S at most. A key that is for some models only does not open it: it
shows all of them. A stream that was opened by a key ends after KEY_LASTS_S, so that one that was taken away is noticed;
the page comes again by itself. The stream ends at once when the server stops.
"""

import asyncio

from gateway.http.asking import may_see_all, read_key
from gateway.http.call import Call
from gateway.http.errors import Problem

WHO_WITHIN_S = 3.0
KEY_LASTS_S = 600.0
MEDIA = "text/event-stream; charset=utf-8"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def events(call: Call) -> None:
    lasts_s = await admit(call)
    if call.scope["method"] == "HEAD":
        await call.reply(b"", MEDIA, headers=HEADERS)
        return
    with call.services.feed.listening() as listener:
        timer = asyncio.get_running_loop().call_later(lasts_s, listener.leave) if lasts_s else None
        try:
            with call.watching(listener.leave):
                await call.start(200, MEDIA, HEADERS)
                await call.body(await call.services.feed.first(), more=True)
                async for event in listener.events():
                    await call.body(event, more=True)
                if call.failure is not None:
                    call.was_left()
                else:
                    await call.body(b"", more=False)
        finally:
            if timer is not None:
                timer.cancel()


async def admit(call: Call, what: str = "the dashboard") -> float:
    """How long it may listen before it must ask again; 0: for ever. Raises: Problem, GatewayError."""
    if may_see_all(call):
        return 0.0
    key = read_key(call)
    try:
        async with asyncio.timeout(WHO_WITHIN_S):
            who = await call.services.client.whoami(key)
    except TimeoutError:
        raise Problem("gateway_unavailable", "the gateway does not answer, and only it can tell whose this key is; "
                      f"{what} needs none on the machine where this runs") from None
    if who.models:
        raise Problem("model_not_allowed", f"the key {who.name!r} is for {len(who.models)} model(s) only, and "
                      f"{what} shows all of them; use a key that was made without `--models`")
    return KEY_LASTS_S
