"""What requests of several dialects have in common: the name of a model, and counts of tokens. Pure."""

import msgspec

from gateway.protocol import OPTION_TOKENS_MAX


class NamesModel(msgspec.Struct, kw_only=True):
    """`model`: null, "" and nothing ask for the default one. Once decoded it is a text."""

    model: str | None = ""

    def __post_init__(self) -> None:
        self.model = self.model or ""


def bounded(tokens: int | None) -> int | None:
    """Clients write the largest number they know for "no limit"; ours says the same. Negative ones stay as they are."""
    return None if tokens is None else min(tokens, OPTION_TOKENS_MAX)
