"""What a text among the settings may say: each function gives what is wrong with it, or "" if nothing is.

The answer is the second half of a sentence that begins with the text. Every kind of text is asked for by name in
`control/settings.py`. A URL with a user or a password in it is refused: keys stand in files of their own, and what is
refused here is never shown (`control.setting_rules` takes it out of the message). Pure.
"""

import ipaddress
import re

from control.keep_alive import parse_keep_alive
from control.states import BACKENDS

HOST = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?"
URL = re.compile(
    rf"https?://(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>{HOST}))(?::(?P<port>[0-9]{{1,5}}))?(?P<path>/[\w./~-]*)?",
    re.ASCII)
API_PATH = re.compile(r"/(?:v1|api)(?:/(?:chat|chat/completions|completions|generate|models|tags))?/*\Z")
ORIGIN = re.compile(
    rf"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{{0,63}})://(?:(?P<any>\*)|(?:\*\.)?{HOST}|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?:\*|[0-9]{1,5}))?", re.ASCII)
PULL_PATTERN = re.compile(r"\*|[A-Za-z0-9._-]{1,96}(?:/[A-Za-z0-9._*-]{1,96})?", re.ASCII)
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization", "x-api-key")


def refuse_no_address(host: str) -> str:
    """An address, or localhost. Whether others may reach it is asked when API keys are known (`gateway.keys`)."""
    return "" if host == "localhost" or is_address(host) else (
        "is not an address such as 127.0.0.1, ::1, 0.0.0.0 or localhost")


def is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def refuse_keep_alive(text: str) -> str:
    """A number of seconds, or a duration as Ollama writes it."""
    try:
        parse_keep_alive(text)
    except ValueError:
        return "is no time: neither a number of seconds nor a duration such as 90s, 5m or 1h30m"
    return ""


def refuse_own_keep_alive(text: str) -> str:
    """As above; "" leaves it to what [memory] says."""
    return refuse_keep_alive(text) if text else ""


def refuse_host_name(host: str) -> str:
    """A name as it stands in a Host header, without scheme and port; "*" would undo the protection."""
    return "" if re.fullmatch(r"[A-Za-z0-9._-]{1,253}", host) else "is not a bare host name (no scheme, port or *)"


def refuse_origin(origin: str) -> str:
    """One as a browser sends it, or a pattern. What lets every website in would undo the protection."""
    found = ORIGIN.fullmatch(origin)
    if origin == "*" or (found and found["any"] and found["scheme"].lower() in ("http", "https")):
        return ("would let every website use this server; name those that may, such as https://notes.example, "
                "http://localhost:* or app://*")
    return "" if found else ("is no origin such as https://notes.example, http://localhost:*, https://*.example.com or "
                             "app://* (no path; * for the host, its first part or the port)")


def refuse_pull_pattern(pattern: str) -> str:
    """An organisation of the hub, or ORG/NAME with `*` for anything."""
    return "" if PULL_PATTERN.fullmatch(pattern) else (
        "is neither an organisation of the Hugging Face hub, such as mlx-community, nor ORG/NAME, such as org/phi-*, "
        "nor *")


def refuse_header_name(name: str) -> str:
    """Of a header that names a user; one that holds a secret would put that into logs. "" is none."""
    if name.lower() in SECRET_HEADERS:
        return "holds a key and not the name of a user"
    return "" if not name or HEADER_NAME.fullmatch(name) else "is no name of a header such as X-OpenWebUI-User-Id"


def refuse_backend(name: str) -> str:
    """One step of a chain."""
    return "" if name in BACKENDS else f"is no backend; the backends are {', '.join(BACKENDS)}"


def refuse_url(url: str) -> str:
    """Where a relay's server is; "" is nowhere."""
    if not url:
        return ""
    if "@" in url:
        return "holds a user or a password; write the key into a file and name that (ollama_key_file, for example)"
    parts = URL.fullmatch(url)
    known = parts is not None and (is_address(parts["v6"]) if parts["v6"] else True)
    return "" if known and 0 < int(parts["port"] or 80) < 65_536 else "is no address such as http://127.0.0.1:11434"


def refuse_ollama_url(url: str) -> str:
    """As above, and without the path of an API, with which clients are configured: the relay adds its own."""
    if problem := refuse_url(url):
        return problem
    path = url and URL.fullmatch(url)["path"]
    found = API_PATH.search(path or "")
    return f"ends with the path of an API; write the address without {found[0]}" if found else ""


def refuse_model_name(name: str) -> str:
    """What a model is called elsewhere; "" is nothing."""
    return "" if all(c.isprintable() and not c.isspace() for c in name) else (
        "cannot be the name of a model, for it holds a blank")
