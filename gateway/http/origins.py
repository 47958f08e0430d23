"""Which other pages and programs with a page inside may ask: the patterns of `allowed_origins`, as Ollama writes them.

    https://notes.example           that scheme, host and port, and no other
    http://localhost:*              any port of that host, none too
    app://*                         any host of a scheme that is no website's
    https://*.example.com           every name below it, and not itself

`control.setting_texts.refuse_origin` has seen to it that a pattern is one of these and means no website whatever: `*`
and `http://*` are refused when the configuration is read. Pure.
"""

import re
from collections.abc import Iterable

LABELS = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
ANY_HOST = f"(?:{LABELS})?"  # a file of an app may have none
ANY_PORT = r"(?::[0-9]{1,5})?"


def compile_origins(patterns: Iterable[str]) -> re.Pattern[str]:
    """To be matched in full with an Origin header in lower case; nothing matches if there is no pattern."""
    return re.compile("|".join(map(_pattern, patterns)) or r"(?!)")


def _pattern(origin: str) -> str:
    scheme, _, there = origin.lower().partition("://")
    any_port = there.endswith(":*")
    host = there.removesuffix(":*")
    if host == "*":
        shown = ANY_HOST
    elif host.startswith("*."):
        shown = LABELS + re.escape(host[1:])
    else:
        shown = re.escape(host)
    return re.escape(f"{scheme}://") + shown + (ANY_PORT if any_port else "")
