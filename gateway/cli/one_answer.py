"""One question's answer as it comes: text for people and pipes, or JSON lines for programs. `ask` and `run` use it.

Text: the answer and nothing else goes to stdout; what happens meanwhile (waiting, loading, another backend or class
than asked for) goes to stderr. A pipe gets the answer as the model gave it; a terminal gets it readable and wrapped,
with the reasoning before it dimmed.

JSON: an object a line, with an `event`:

    waiting   reason, position (about how many go first), estimate_s, load_progress (0..1), detail
    started   model, route, reason (why it is not the first of its chain)
    thinking  text                        text   text
    done      model, finish_reason, route, reason, usage {prompt_tokens, ...}, timings {queue_ms, ...}
"""

import io
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, TextIO

from gateway.cli.text_table import printable
from gateway.cli.waiting import Shown, shown

if TYPE_CHECKING:
    from gateway.protocol import Event


def show_answer(events: "Iterable[Event]", *, as_json: bool) -> None:
    """Until the answer has ended. Raises what `events` raises, after what came so far."""
    if as_json:
        for line in json_lines(events):
            print(json.dumps(line), flush=True)
        return
    from gateway.cli.answer_screen import AnswerScreen
    from gateway.protocol import Tokens

    make_writable(sys.stdout)
    screen = AnswerScreen(sys.stdout)
    with Meanwhile(sys.stderr) as meanwhile:
        for event in events:
            if isinstance(event, Tokens):
                meanwhile.hide()
                screen.show(event)
            else:
                meanwhile.show(event)
    screen.end()


def make_writable(stream: TextIO) -> None:
    """A model may use letters that this terminal's encoding has not."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")


class Meanwhile:
    """What happens before and besides an answer, for people. `hide` before anything else is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waits = ExitStack()
        self._shown: Shown | None = None

    def __enter__(self) -> "Meanwhile":
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()

    def hide(self) -> None:
        self._waits.close()
        self._shown = None

    def show(self, event: "Event") -> None:
        from gateway.protocol import HANDED_ON, PAUSED, Accepted, Note, Progress, Started

        if isinstance(event, Progress) and event.reason not in (HANDED_ON, PAUSED):  # a half line may stand there
            self._line().update(event)
        elif isinstance(event, Note):
            self._line().say(event.text)
        elif isinstance(event, Accepted) and event.clamped:
            self.say(f"class {event.priority}: this key does not allow {event.clamped}")
        elif isinstance(event, Started) and event.reason:
            self.say(f"{event.route}: {event.reason}")

    def say(self, text: str) -> None:
        """A line that stays."""
        self.hide()
        print(f"[{printable(text)}]", file=self._stream, flush=True)

    def _line(self) -> Shown:
        if self._shown is None:
            self._shown = self._waits.enter_context(shown(self._stream))
        return self._shown


def json_lines(events: "Iterable[Event]") -> Iterator[dict]:
    """See the module."""
    import msgspec

    from gateway.protocol import Done, Progress, Started, Tokens

    for event in events:
        if isinstance(event, Progress):
            yield {"event": "waiting", "reason": event.reason, "position": event.position,
                   "estimate_s": event.estimate_s, "load_progress": event.load_progress, "detail": event.detail}
        elif isinstance(event, Started):
            yield {"event": "started", "model": event.model, "route": event.route, "reason": event.reason}
        elif isinstance(event, Tokens):
            for kind in ("thinking", "text"):
                if text := getattr(event, kind):
                    yield {"event": kind, "text": text}
        elif isinstance(event, Done):
            yield {"event": "done", "model": event.model, "finish_reason": event.finish_reason, "route": event.route,
                   "reason": event.reason, "usage": msgspec.to_builtins(event.usage),
                   "timings": msgspec.to_builtins(event.timings)}
