"""What a model says, made fit for a terminal: nothing in it can move the cursor, and lines break between words.

1. Control characters, escape sequences and characters that turn the direction of writing never pass; what stands for
   them is visible. Newlines and tabs stay. So do the joiners that emoji and some scripts need.
2. Wrapping adds line breaks and loses nothing; blocks between ``` are left as they are, so that code can be copied.
3. A word is held back until its end has come, so what is shown never jumps. One that is longer than a line is left to
   the terminal. Characters of two columns (Chinese, Japanese, emoji) are words of their own.

Pure.
"""

from collections.abc import Callable

KEPT = "\n\t\u200c\u200d"
IN_ITS_PLACE = "\ufffd"
FENCE = "```"
TAB_COLUMNS = 8


def readable(text: str) -> str:
    """Rule 1. A carriage return is dropped: before a newline it says nothing, elsewhere it would overwrite."""
    if text.isprintable():
        return text
    return "".join(_readable(character) for character in text)


def _readable(character: str) -> str:
    if character.isprintable() or character in KEPT:
        return character
    if character == "\r":
        return ""
    return " " if character.isspace() else IN_ITS_PLACE


class Wrapper:
    """Text that comes in pieces, wrapped for a terminal. `columns` may change meanwhile; 0: nothing is wrapped.

    `width_of` a character in columns: 0, 1 or 2.
    """

    def __init__(self, columns: int, width_of: Callable[[str], int]) -> None:
        self.columns = columns
        self._width_of = width_of
        self._column = 0  # where the next character goes
        self._word, self._word_columns = "", 0  # held back
        self._gap, self._gap_columns = "", 0  # spaces before it
        self._line_begins, self._in_code = True, False
        self._is_torn = False  # the word before went out without its end

    def feed(self, text: str) -> str:
        """What can be written now."""
        return "".join(map(self._take, text))

    def end(self) -> str:
        """What was held back. The next piece begins a line."""
        rest = self._let_go()
        self.__init__(self.columns, self._width_of)
        return rest

    def _take(self, character: str) -> str:
        if character == "\n":
            written = self._let_go() + "\n"
            self._column, self._line_begins = 0, True
            return written
        if character in " \t":
            written = self._let_go() if self._word else ""
            self._gap += character
            self._gap_columns += TAB_COLUMNS if character == "\t" else 1
            return written
        width = self._width_of(character)
        before = self._let_go() if self._word and width > 1 else ""
        self._word += character
        self._word_columns += width
        if width > 1:
            return before + self._let_go()
        if self.columns and self._word_columns >= self.columns:
            written = before + self._let_go()
            self._is_torn = True
            return written
        return before

    def _let_go(self) -> str:
        """The gap and the word, on a new line if the word does not fit on this one."""
        gap, gap_columns, word, word_columns = self._gap, self._gap_columns, self._word, self._word_columns
        self._gap, self._gap_columns, self._word, self._word_columns = "", 0, "", 0
        if self._line_begins and word:
            self._line_begins = False
            if word.startswith(FENCE):
                self._in_code = not self._in_code
        is_torn, self._is_torn = self._is_torn and not gap, False
        end = self._column + gap_columns + word_columns
        if is_torn:
            self._column = end % self.columns if self.columns else end
            return word
        if self.columns and not self._in_code and word and self._column and end > self.columns:
            self._column = word_columns
            return "\n" + word
        self._column = end
        return gap + word
