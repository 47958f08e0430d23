"""The official `openai` package as the contract tests use it: all is validated that it can validate, and nothing is
tried twice.
"""

from collections.abc import Iterable
from typing import Any

import openai

CLIENT = {"api_key": "not needed", "max_retries": 0, "_strict_response_validation": True}


def openai_client(base_url: str, **facts: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{base_url}/v1", **CLIENT | facts)


def async_openai_client(base_url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{base_url}/v1", **CLIENT)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def text_of(chunks: Iterable[Any], index: int = 0) -> str:
    """What a stream of a chat said for one choice."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices if choice.index == index)
