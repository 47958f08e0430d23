"""workers/answer_text.py: what a caller sees, however the text was cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.answer_text import BLANKS, BLANKS_HELD_MAX, AnswerText, Markers, Said, State
from workers.chat_turns import CALL_CLOSE, CALL_OPEN
from workers.tool_calls import GENERIC_FORM, Call, read_calls

MARKERS = Markers("<t>", "</t>", "<c>", "</c>")
ENDLESS = Markers("<t>", "</t>", "[C]", "")
PIECES = ["<t>", "</t>", "<c>", "</c>", "[C]", "ok", "bad", "<", "</", "c>", "t>", " ", "\n", "a", "END", "E", "[",
          "C]", '"', "\\"]
GENERIC = Markers("", "", CALL_OPEN, CALL_CLOSE)
STRING_PIECES = [CALL_CLOSE, CALL_OPEN, '"', "\\", "\n", "é", "</", "}"]
JSON_PIECES = [CALL_OPEN, CALL_CLOSE, '{"name": "f", "arguments": {"a": "', '"}}', '"', "\\", "\n", "</tool", "x", " "]


def read(text: str) -> list[Call] | None:
    """A call is what has ok in it."""
    return [Call("f", text.strip())] * text.count("ok") or None


def whole(answer: AnswerText, pieces: list[str]) -> Said:
    said = [answer.feed(piece) for piece in pieces]
    assert not any(any(later[:3]) for before, later in zip(said, said[1:], strict=False) if before.stopped)
    said.append(answer.finish())
    return Said("".join(each.text for each in said), "".join(each.thinking for each in said),
                tuple(call for each in said for call in each.calls), answer.stopped)


def cut(text: str, borders: set[int]) -> list[str]:
    points = [0, *sorted(border for border in borders if border < len(text)), len(text)]
    return [text[start:end] for start, end in zip(points, points[1:], strict=False)]


@given(
    text=st.lists(st.sampled_from(PIECES), max_size=16).map("".join),
    borders=st.sets(st.integers(0, 40)),
    markers=st.sampled_from([MARKERS, ENDLESS, Markers(), MARKERS._replace(call_start="", call_end="")]),
    thinking=st.booleans(),
    stops=st.sampled_from([[], ["END"], ["a<"], ["\n", "ok"]]),
    calls=st.booleans(),
    one_call=st.booleans(),
    json_calls=st.booleans(),
)
def test_the_same_for_any_cut(text, borders, markers, thinking, stops, calls, one_call, json_calls):
    def answer() -> AnswerText:
        return AnswerText(markers, thinking=thinking and bool(markers.think_end), stops=stops,
                          read_calls=read if calls else None, one_call=one_call, json_calls=json_calls)

    one, many, single = whole(answer(), [text]), whole(answer(), cut(text, borders)), whole(answer(), list(text))
    assert one == many == single
    assert not one.thinking or one.thinking.strip(BLANKS)
    if not calls:
        assert not any(stop in one.text for stop in stops if markers == Markers())


@given(text=st.text("abc \n", max_size=30), borders=st.sets(st.integers(0, 30)))
def test_plain_words_are_shown_as_they_are(text, borders):
    for markers in (Markers(), MARKERS):
        for calls in (None, read):
            assert whole(AnswerText(markers, read_calls=calls), cut(text, borders)) == Said(text)


def test_without_anything_to_look_for_nothing_is_held():
    answer = AnswerText(Markers())
    assert answer.feed(" <t") == Said(" <t")
    assert answer.finish() == Said()


class TestReasoning:
    def test_a_block_that_the_model_opens(self):
        said = whole(AnswerText(MARKERS), ["\n<t>\nlet me ", "see\n</t>\n\nThe answer\n"])
        assert said == Said("The answer\n", "let me see")

    def test_a_block_that_the_prompt_has_opened(self):
        said = whole(AnswerText(MARKERS, thinking=True), ["hm", "m</t>", "\nyes"])
        assert said == Said("yes", "hmm")

    def test_it_comes_while_it_is_said(self):
        answer = AnswerText(MARKERS, thinking=True)
        assert answer.feed("one two").thinking == "one two"
        assert answer.feed(" ").thinking == ""
        assert answer.feed("three").thinking == " three"

    def test_one_that_never_ends_is_all_reasoning(self):
        assert whole(AnswerText(MARKERS, thinking=True), ["on and on </"]) == Said("", "on and on </")

    def test_stop_strings_are_not_looked_for_in_it(self):
        answer = AnswerText(MARKERS, thinking=True, stops=["END"])
        assert whole(answer, ["the END is</t>near END x"]) == Said("near ", "the END is", stopped=True)
        assert answer.stop == "END"

    def test_calls_are_not_looked_for_in_it(self):
        assert whole(AnswerText(MARKERS, thinking=True, read_calls=read), ["<c>ok</c></t>x"]) == Said("x", "<c>ok</c>")

    def test_an_end_without_a_beginning_is_not_shown(self):
        assert whole(AnswerText(MARKERS), ["a</t>b"]) == Said("ab")

    def test_again_later(self):
        assert whole(AnswerText(MARKERS), ["<t>a</t> b <t>c</t> d"]) == Said("b d", "ac")


class TestCalls:
    def test_comes_whole_and_blanks_around_it_go(self):
        answer = AnswerText(MARKERS, read_calls=read)
        assert answer.feed("I call\n<c>o") == Said("I call")
        assert answer.state is State.CALL
        assert answer.feed("k 1").calls == ()
        assert answer.feed("</c>\n") == Said(calls=(Call("f", "ok 1"),))
        assert answer.feed("<c>ok 2</c>").calls == (Call("f", "ok 2"),)
        assert answer.finish() == Said()

    def test_one_that_cannot_be_read_is_shown_as_it_is(self):
        assert whole(AnswerText(MARKERS, read_calls=read), ["x <c>\nbad</", "c> y"]) == Said("x <c>\nbad</c> y")

    def test_one_without_its_end_counts_if_it_can_be_read(self):
        assert whole(AnswerText(MARKERS, read_calls=read), ["<c>ok"]) == Said(calls=(Call("f", "ok"),))
        assert whole(AnswerText(MARKERS, read_calls=read), ["<c>cut <"]) == Said("<c>cut <")

    def test_a_form_without_an_end_lasts_until_the_answer_ends(self):
        said = whole(AnswerText(ENDLESS, read_calls=read), ["so: [C]ok", " and ok"])
        assert said == Said("so:", calls=(Call("f", "ok and ok"),) * 2)

    def test_nobody_looks_for_calls_without_a_reader(self):
        assert whole(AnswerText(MARKERS), ["<c>ok</c>"]) == Said("<c>ok</c>")

    @pytest.mark.parametrize("pieces", [["<c>ok</c><c>ok</c> more"], list("<c>ok</c><c>ok</c> more")])
    def test_after_the_only_one_the_answer_ends(self, pieces):
        answer = AnswerText(MARKERS, read_calls=read, one_call=True)
        assert whole(answer, pieces) == Said(calls=(Call("f", "ok"),), stopped=True)
        assert answer.stop == ""

    def test_stop_strings_are_not_looked_for_in_it(self):
        said = whole(AnswerText(MARKERS, stops=["ok"], read_calls=read), ["<c>ok</c> it is ok"])
        assert said == Said("it is ", calls=(Call("f", "ok"),), stopped=True)


def generic() -> AnswerText:
    return AnswerText(GENERIC, read_calls=lambda text: read_calls(text, GENERIC_FORM, []), json_calls=True)


class TestCallsThatAreJson:
    """An end marker inside a string ends nothing, unless the call turns out to be no JSON."""

    @given(
        values=st.lists(st.lists(st.sampled_from(STRING_PIECES)).map("".join), max_size=3),
        borders=st.sets(st.integers(0, 400)), ascii_only=st.booleans(),
    )
    def test_any_arguments_come_as_they_are(self, values, borders, ascii_only):
        calls = [Call("f", json.dumps({"a": value, value: 1}, ensure_ascii=False)) for value in values]
        said = [json.dumps({"name": "f", "arguments": json.loads(call.arguments)}, ensure_ascii=ascii_only)
                for call in calls]
        text = "".join(f"{CALL_OPEN}\n{each}\n{CALL_CLOSE}" for each in said)
        assert whole(generic(), cut(f"so:\n{text}\nit is", borders)) == \
            (Said("so:it is", calls=tuple(calls)) if calls else Said("so:\n\nit is"))

    @given(text=st.lists(st.sampled_from(JSON_PIECES), max_size=16).map("".join), borders=st.sets(st.integers(0, 200)))
    def test_the_same_for_any_cut_and_nothing_is_lost(self, text, borders):
        one = whole(generic(), [text])
        assert one == whole(generic(), cut(text, borders)) == whole(generic(), list(text))
        if not one.calls:  # an end without a beginning is not shown
            assert one.text.replace(CALL_CLOSE, "") == text.replace(CALL_CLOSE, "")

    @pytest.mark.parametrize("after", ["\nmore", " more", ' "more" and'])
    def test_a_broken_one_ends_at_its_first_end_and_takes_no_later_one_along(self, after):
        broken, right = f'{CALL_OPEN}{{"name": "f", "arguments": {{"a": "x}}}}{CALL_CLOSE}', '{"name": "g"}'
        said = whole(generic(), [f"{broken}{after}{CALL_OPEN}{right}{CALL_CLOSE}"])
        assert said == Said(broken + after, calls=(Call("g", "{}"),))

    def test_a_broken_one_is_told_as_soon_as_that_is_certain(self):
        answer, text = generic(), f'{CALL_OPEN}{{"name": "f{CALL_CLOSE}'
        assert answer.feed(text) == Said()
        assert answer.feed("\nmore").text == text + "\nmore"

    def test_the_only_one_ends_the_answer(self):
        text = f'{CALL_OPEN}{{"name": "f", "arguments": {{"a": "{CALL_CLOSE}"}}}}{CALL_CLOSE}'
        answer = AnswerText(GENERIC, read_calls=lambda text: read_calls(text, GENERIC_FORM, []), json_calls=True,
                            one_call=True)
        assert whole(answer, [text + "more"]) == Said(calls=(Call("f", f'{{"a": "{CALL_CLOSE}"}}'),), stopped=True)


def test_only_what_may_become_a_marker_or_stop_string_is_held():
    answer = AnswerText(MARKERS, stops=["END"], read_calls=read)
    assert answer.feed("a <b").text == "a <b"
    assert answer.feed("x E").text == "x"
    assert answer.holds_words
    assert answer.feed("NO").text == " ENO"
    assert not answer.holds_words


@pytest.mark.parametrize("begin", ["a", ""])
@pytest.mark.parametrize("size", [1, 7, 10 * BLANKS_HELD_MAX])
def test_blanks_are_held_back_to_a_bound(begin, size):
    answer, blanks = AnswerText(MARKERS, read_calls=read), " " * (3 * BLANKS_HELD_MAX)
    said = [answer.feed(piece) for piece in (begin, *(blanks[at : at + size] for at in range(0, len(blanks), size)))]
    shown = "".join(each.text for each in said)
    assert shown == begin + blanks[BLANKS_HELD_MAX:]
    last = answer.feed("<c>ok</c>")
    assert last.text == "" and len(last.calls) == 1
