"""What a worker's runtime can do to the world: `workers/loop.py` carries it out, tests write it down."""

from typing import Protocol

import msgspec

from workers.protocol import Count


class Effects(Protocol):
    def to_control(self, message: msgspec.Struct) -> None: ...

    def to_gateway(self, message: msgspec.Struct) -> None: ...

    def drop_unsent(self) -> None:
        """Forget frames meant for a gateway that is gone."""

    def meet_gateway(self, incarnation: int) -> None:
        """Connect to the gateway under an identity that names this incarnation."""

    def ask_count(self, count: Count) -> None:
        """Have it counted; `Runtime.on_counted` hears what came of it."""

    def write_row(self, now: float) -> None:
        """Put `workers.row_words.row_words` into the table."""

    def note(self, event: str, **facts: object) -> None: ...
