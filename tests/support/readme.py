"""The README as values, so that tests can run its example, follow its links and read its tour."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def text_of(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def without_blocks(text: str) -> str:
    """The prose of a page."""
    return _BLOCK.sub("", text)


def section(text: str, title: str) -> str:
    """What stands under the heading `## title`, up to the next of its level. Raises ValueError."""
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if match is None:
        raise ValueError(f"no heading '## {title}'")
    return match[1]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return [body for found, body in _BLOCK.findall(text) if found == language]


def links(text: str) -> list[str]:
    """Targets of the links, in order, as they are written."""
    return _LINK.findall(without_blocks(text))


def plain_example() -> str:
    """The example of the README that talks to the gateway with nothing but pyzmq and msgpack."""
    [example] = [block for block in blocks(text_of("README.md"), "python") if "msgpack" in block]
    return example
