"""The way from a command to the gateway of this home, with every error as one line and an exit code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from control.home import Home
from gateway.cli.exits import FAILED, USAGE, CommandFailed
from gateway.client import BlockingClient, GatewayError
from gateway.protocol import ERRORS


def is_callers_fault(code: str) -> bool:
    """The same again would fail again: unlike one that only came too often."""
    return ERRORS[code].fault == "caller" and not ERRORS[code].retryable


@contextmanager
def connected(home: Home, is_usage: Callable[[str], bool] = is_callers_fault, *,
              key: str = "") -> Iterator[BlockingClient]:
    """A client for as long as the block runs. `is_usage` says which codes are exit code 2; `key`: the API key.

    Raises:
        CommandFailed: nothing runs in this home, or the gateway refused what the block asked for.
    """
    if not (home.socket_dir / "clients.ipc").exists():
        raise CommandFailed(f"nothing runs in {home.root}; start it with `warden up`")
    try:
        with BlockingClient(home.endpoint("clients"), key=key) as client:
            yield client
    except GatewayError as error:
        code = USAGE if error.code in ERRORS and is_usage(error.code) else FAILED
        raise CommandFailed(with_retry(error.message, error.retry_after_s), code) from None


def with_retry(message: str, retry_after_s: float) -> str:
    return f"{message} (try again in {retry_after_s:.0f} s)" if retry_after_s else message
