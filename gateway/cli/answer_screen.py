"""Where an answer is written as it comes: a terminal, on which it is readable whatever the model says, or a pipe.

On a terminal the reasoning before the answer is dimmed, or stands between two marks where there is no colour; text is
cleaned and wrapped (`model_text`). A pipe gets the answer, byte for byte, and no reasoning.
"""

import os
import textwrap
from typing import TYPE_CHECKING, TextIO

from gateway.cli.terminal_size import columns_of_output, size_of

if TYPE_CHECKING:
    from gateway.protocol import Tokens

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
BEGIN_MARK, END_MARK = "[thinking]", "[answer]"


def has_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")


def say(line: str) -> None:
    """A line of ours beside the answers, wrapped."""
    from gateway.cli.text_table import printable

    print("\n".join(textwrap.wrap(printable(line), columns_of_output(), break_on_hyphens=False)), flush=True)


class AnswerScreen:
    """One answer. `wraps`: break lines between words. `said` anything yet?"""

    def __init__(self, stream: TextIO, *, wraps: bool = True) -> None:
        from rich.cells import cell_len

        from gateway.cli.model_text import Wrapper

        self._stream, self._is_terminal = stream, stream.isatty()
        self._begin, self._end = (DIM, PLAIN) if has_colour(stream) else (f"{BEGIN_MARK}\n", f"{END_MARK}\n")
        self._wraps = wraps
        self._wrapper = Wrapper(0, cell_len)
        self._thinks = self._begins = self.said = False

    def show(self, tokens: "Tokens") -> None:
        if not self._is_terminal:
            self._write(tokens.text)
            return
        if tokens.thinking:
            if not self._thinks:
                self._write(self._begin)
                self._thinks = self._begins = True
            self._take(tokens.thinking)
        if tokens.text:
            if self._thinks:
                self._end_thinking()
            self._take(tokens.text)

    def end(self) -> None:
        """The cursor stands at the begin of a line."""
        if self._is_terminal:
            if self._thinks:
                self._end_thinking()
            self._write(self._wrapper.end())
        self._write("\n")

    def _end_thinking(self) -> None:
        gap = "\n" if self._end == PLAIN else ""  # colour alone does not part paragraphs
        self._write(f"{self._wrapper.end()}\n{self._end}{gap}")
        self._thinks, self._begins = False, True

    def _take(self, text: str) -> None:
        from gateway.cli.model_text import readable

        if self._begins:  # templates leave blank lines around the reasoning
            text = text.lstrip("\n")
            self._begins = not text
        self._wrapper.columns = size_of(self._stream).columns if self._wraps else 0
        self._write(self._wrapper.feed(readable(text)))

    def _write(self, text: str) -> None:
        if text:
            self.said = True
            self._stream.write(text)
            self._stream.flush()
