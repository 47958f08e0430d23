"""From the text of a model to what its caller sees: words, reasoning, calls; and where a stop string ends it.

Guarantees
1. What comes out does not depend on how the text was cut into pieces; only *when* it comes does.
2. Only text that may still become a marker or a stop string is held back, and blanks that may stand before a marker,
   BLANKS_HELD_MAX of them.
3. Markers are never shown. A call that cannot be read is shown as it was written, markers too: nothing is lost.
4. A stop string ends the answer where it is first complete in the words of the answer. It is not looked for in
   reasoning or calls, nor does it reach over a marker.
5. Blanks around reasoning are shown neither in it nor at the beginning of the answer; nor blanks around calls.

A call comes whole, when its end was said; one without an end when the answer ends. Where calls are JSON, an end marker
inside a JSON string is a part of that string. If the call then turns out to be no JSON (its string breaks off, or the
answer ends), it ended at the first marker after all, and from there on markers end calls wherever they stand: a broken
call takes no later one along. Pure.
"""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from workers.text import Needles
from workers.tool_calls import Call, ReadCalls

BLANKS = " \t\r\n"
BLANKS_HELD_MAX = 256  # characters of one run; those before them are shown


class Markers(NamedTuple):
    """"": there is none. `call_end` "": a call lasts until the answer ends."""

    think_start: str = ""
    think_end: str = ""
    call_start: str = ""
    call_end: str = ""


class Said(NamedTuple):
    """`stopped`: the answer ends here; nothing more comes."""

    text: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    stopped: bool = False


class _JsonStrings:
    """Follows a JSON text that comes in pieces: is it `inside` a string? `broken`: by a character that none may hold.
    """

    def __init__(self) -> None:
        self.inside = self.broken = self._escaped = False

    def feed(self, text: str) -> None:
        for character in text:
            if self._escaped:
                self._escaped = False
            elif not self.inside:
                self.inside = character == '"'
            elif character == '"':
                self.inside = False
            elif character == "\\":
                self._escaped = True
            elif character < " ":
                self.broken = True


class State(Enum):
    TEXT = "text"
    THINKING = "thinking"
    CALL = "call"


class _Channel:
    """One kind of text, and its blanks: those that begin it (`drops`: are not shown), and those of which nobody knows
    yet whether a marker follows (`holds`).
    """

    def __init__(self, *, begins: bool, drops: bool, holds: bool) -> None:
        self._begins, self._drops, self._holds = begins, drops, holds
        self._blanks: list[str] = []

    @property
    def held(self) -> bool:
        return bool(self._blanks)

    def take(self, piece: str) -> str:
        if not (self._begins or self._holds) or not piece:
            return piece
        visible = piece.strip(BLANKS)
        if not visible:
            self._blanks.append(piece)
            return self._overflow()
        if self._begins and self._drops:
            piece = piece.lstrip(BLANKS)
            self._blanks.clear()
        self._begins = False
        held = ""
        if self._holds:
            held = piece[len(piece.rstrip(BLANKS)) :]
            piece = piece[: len(piece) - len(held)]
        shown = "".join(self._blanks) + piece
        self._blanks = [held] if held else []
        return shown + self._overflow()

    def _overflow(self) -> str:
        """Of the blanks that are held, those that may be shown since too many came after them."""
        held = "".join(self._blanks)
        over = len(held) - BLANKS_HELD_MAX
        if over <= 0:
            return ""
        self._blanks = [held[over:]]
        return "" if self._begins and self._drops else held[:over]

    def border(self) -> None:
        """A marker: blanks before and after it are not shown."""
        self._blanks.clear()
        self._begins = self._drops = True

    def flush(self) -> str:
        """Nothing follows any more."""
        shown = "" if self._begins and self._drops else "".join(self._blanks)
        self._blanks.clear()
        return shown


class AnswerText:
    """One answer's text. `thinking`: the prompt opened the reasoning. `read_calls`: from the text between the markers
    of calls to calls, None if it is none; without it no calls are looked for. `one_call`: the answer ends after one.
    `json_calls`: what stands between the markers of calls is JSON.

    `stop`: the stop string that ended it, "" if none did.
    """

    def __init__(self, markers: Markers, *, thinking: bool = False, stops: Iterable[str] = (),
                 read_calls: ReadCalls | None = None, one_call: bool = False, json_calls: bool = False) -> None:
        self._markers, self._stops, self._read_calls, self._one_call = markers, frozenset(stops), read_calls, one_call
        calls = read_calls is not None
        around = [markers.think_start, markers.think_end, *((markers.call_start, markers.call_end) if calls else ())]
        self._needles = {
            State.TEXT: Needles([*stops, *filter(None, around)]),
            State.THINKING: Needles(filter(None, [markers.think_end])),
            State.CALL: Needles(filter(None, [markers.call_end])),
        }
        self._words = _Channel(begins=any(around), drops=False, holds=calls and bool(markers.call_start))
        self._thoughts = _Channel(begins=True, drops=True, holds=True)
        self._state = State.THINKING if thinking else State.TEXT
        self._buffer = ""
        self._call: list[str] = []  # the text of the call that goes on
        self._call_start = ""
        self._json_calls = json_calls
        self._strings = _JsonStrings()
        self._passed: tuple[int, str] | None = None  # (where in the call, which) the first end inside a string
        self._said: tuple[list[str], list[str], list[Call]] = ([], [], [])
        self._as_it_is = self._state is State.TEXT and not any(around) and not self._needles[State.TEXT]
        self.stopped, self.stop = False, ""

    @property
    def state(self) -> State:
        return self._state

    @property
    def holds_words(self) -> bool:
        """Is there text of the answer that may or may not be shown?"""
        return self._state is State.TEXT and bool(self._buffer or self._words.held)

    def feed(self, text: str) -> Said:
        """What `text` adds. Nothing after the answer has stopped."""
        if self.stopped:
            return Said(stopped=True)
        if self._as_it_is:
            return Said(text)
        self._buffer += text
        self._read_on()
        return self._tell()

    def finish(self) -> Said:
        """The answer has ended: what was held back. A call without its end counts if it can be read."""
        while not self.stopped and (self._buffer or self._call_goes_on):  # a second time after a call that broke
            self._read_on()
            rest, self._buffer = self._buffer, ""
            self._take(rest)
            if self._call_goes_on:
                self._end_call("")
        if not self.stopped:
            self._said[0].append(self._words.flush())
        self._buffer = ""
        return self._tell()

    @property
    def _call_goes_on(self) -> bool:
        return self._state is State.CALL

    def _read_on(self) -> None:
        """Take what is certain of the buffer."""
        while not self.stopped:
            needles = self._needles[self._state]
            found = needles.first_complete(self._buffer)
            begin, end, needle = found or (*[needles.safe_length(self._buffer)] * 2, "")
            self._take(self._buffer[:begin])
            self._buffer = self._buffer[end:]
            if self._passed and self._strings.broken:
                self._end_where_passed(needle)
            elif found:
                self._on_needle(needle)
            else:
                break

    def _take(self, piece: str) -> None:
        if self._state is State.THINKING:
            self._said[1].append(self._thoughts.take(piece))
        elif self._state is State.CALL:
            self._call.append(piece)
            if self._json_calls:
                self._strings.feed(piece)
        else:
            self._said[0].append(self._words.take(piece))

    def _on_needle(self, needle: str) -> None:
        markers = self._markers
        if self._state is State.CALL and self._json_calls and self._strings.inside and not self._strings.broken:
            self._passed = self._passed or (sum(map(len, self._call)), needle)
            self._take(needle)
        elif self._state is State.CALL:
            self._end_call(needle)
        elif self._state is State.THINKING:
            self._thoughts.border()
            self._words.border()
            self._state = State.TEXT
        elif needle in self._stops:
            self._said[0].append(self._words.flush())
            self.stopped, self.stop, self._buffer = True, needle, ""
        elif needle == markers.think_start:
            self._words.border()
            self._state = State.THINKING
        elif needle == markers.call_start:
            self._state, self._call_start, self._strings = State.CALL, needle, _JsonStrings()

    def _end_call(self, end: str) -> None:
        body = "".join(self._call)
        calls = self._read_calls(body) if self._read_calls else None
        if not calls and self._passed:
            self._end_where_passed(end)
            return
        self._passed = None
        self._call.clear()
        self._state = State.TEXT
        if not calls:
            self._said[0].append(self._words.take(self._call_start + body + end))
            return
        self._words.border()
        self._said[2].extend(calls[:1] if self._one_call else calls)
        if self._one_call:
            self.stopped, self._buffer = True, ""

    def _end_where_passed(self, needle: str) -> None:
        """The call is no JSON: it ended at the first end. What follows, `needle` too, is read again."""
        assert self._passed is not None
        body, (at, end), self._passed = "".join(self._call), self._passed, None
        self._json_calls = False
        self._buffer = body[at + len(end) :] + needle + self._buffer
        self._call[:] = [body[:at]]
        self._end_call(end)

    def _tell(self) -> Said:
        words, thoughts, calls = self._said
        said = Said("".join(words), "".join(thoughts), tuple(calls), self.stopped)
        words.clear()
        thoughts.clear()
        calls.clear()
        return said
