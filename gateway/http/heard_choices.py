"""Several answers of one response, as a face sees them: collected each by itself, or in one stream. Pure.

A choice has a place, the `index` of the OpenAI dialect, which is found by the id of its request.
"""

from collections.abc import Mapping

from gateway.http.heard import Heard
from gateway.http.streams import Face
from gateway.protocol import Done, Tokens, Vectors


class HeardChoices(Heard):
    """Collects each choice by itself, in `parts`. `places`: request id -> place. `dones`: place -> how it ended, which
    is filled while the answers are read.
    """

    def __init__(self, places: Mapping[str, int], dones: Mapping[int, Done]) -> None:
        super().__init__()
        self.parts = [Heard() for _ in places]
        self.dones = dones
        self._places = places

    def add(self, event: Tokens | Vectors) -> None:
        part = self.parts[self._places[event.id]]
        before = part.chars
        part.add(event)
        self.chars += part.chars - before


class ChoicesFace(Face):
    """A face that can show several choices. `places`: request id -> place; a request that is not there has place 0."""

    places: Mapping[str, int]

    def ended(self, done: Done) -> bytes:
        """The end of one choice while others go on."""


def parts_of(heard: Heard, done: Done) -> list[tuple[Heard, Done]]:
    """What was heard of each choice, and how it ended."""
    if not isinstance(heard, HeardChoices):
        return [(heard, done)]
    return [(part, heard.dones[place]) for place, part in enumerate(heard.parts)]
