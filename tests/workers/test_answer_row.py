"""workers/answer_row.py: one answer's tokens, without a model: special tokens, chances that wait, a full context."""

import pytest
from tokenizers import AddedToken

from tests.support.grammars import THINK_END, THINK_START
from workers.answer_row import PENDING_MAX, AnswerRow, Speech, learn_speech, merge_more
from workers.engine import EngineJob
from workers.job_parts import CallPiece, Extras, More, Tool
from workers.prompt import Prompt
from workers.random_model import make_tokenizer
from workers.tool_calls import read_json

CALL_START, CALL_END, INSIDE = "<tool_call>", "</tool_call>", "<|inside|>"
CHANCE = (-1.0, [])


class Wrapped:
    """As much of mlx_lm's tokenizer as is used, with all marks as special tokens."""

    think_start, think_end = THINK_START, THINK_END
    tool_call_start, tool_call_end = CALL_START, CALL_END

    def __init__(self) -> None:
        self.backend_tokenizer = make_tokenizer()
        self.backend_tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in (
            THINK_START, THINK_END, CALL_START, CALL_END, INSIDE)])
        self.think_start_tokens = (self.backend_tokenizer.token_to_id(THINK_START),)

    def __len__(self) -> int:
        return self.backend_tokenizer.get_vocab_size()

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids

    @staticmethod
    def tool_parser(text: str, tools: object) -> object:
        return read_json(text.replace(INSIDE, '"'))


TOKENIZER = Wrapped()


@pytest.fixture(scope="module")
def speech() -> Speech:
    return learn_speech(TOKENIZER, knows_tools=True)


def ids(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False)


def row_for(speech: Speech, *, thinks: bool = False, stop: tuple[str, ...] = (), prompt: int = 4, reserved: int = 64,
            max_tokens: int = 60, has_markers: bool = True, **asked) -> AnswerRow:
    job = EngineJob(key=(1, 1), prompt="x", stop=list(stop), max_tokens=max_tokens, extras=Extras(**asked))
    return AnswerRow(job, Prompt(list(range(prompt)), reserved, thinks), reserved, speech, None,
                     has_markers=has_markers)


def said(row: AnswerRow, text: str) -> tuple[str, More]:
    words, all_more = "", More()
    for token in ids(text):
        piece, more, over = row.take(token, CHANCE if row.wants_chance else None)
        words, all_more = words + piece, merge_more(all_more, more)
        if over:
            return words, all_more
    piece, more, _ = row.finish()
    return words + piece, merge_more(all_more, more)


def told(more: More) -> str:
    return b"".join(one.piece for one in more.logprobs).decode()


def test_marks_that_are_special_tokens_are_understood_and_other_special_tokens_hidden(speech):
    row = row_for(speech)
    words, more = said(row, f"{THINK_START}hm{THINK_END}yes{INSIDE}, so")
    assert (words, more.thinking) == ("yes, so", "hm")
    assert row.end("stop", 0.0).thinking_tokens == len(ids("hm")) + 2
    assert speech.think_start_id == ids(THINK_START)[0]


def test_inside_a_call_its_reader_sees_all_special_tokens(speech):
    row = row_for(speech, tools=[Tool("f")])
    words, more = said(row, f"{CALL_START}{{{INSIDE}name{INSIDE}: {INSIDE}f{INSIDE}}}{CALL_END}")
    assert words == "" and [(call.index, call.name) for call in more.calls] == [(0, "f")]


def test_without_markers_a_prompts_answer_is_as_it_is(speech):
    words, more = said(row_for(speech, has_markers=False), f"a{THINK_START}b{THINK_END} c")
    assert words == f"a{THINK_START}b{THINK_END} c" and more == More()


class TestChances:
    def test_of_words_only(self, speech):
        words, more = said(row_for(speech, thinks=True, logprobs=0), f"hm{THINK_END}so it is")
        assert words == told(more) == "so it is"

    def test_of_a_stop_string_are_dropped(self, speech):
        words, more = said(row_for(speech, stop=("~END",), logprobs=0), "so~END more")
        assert words == told(more) == "so"

    def test_of_what_was_held_back_in_vain_are_told(self, speech):
        words, more = said(row_for(speech, stop=("~END",), logprobs=0), "so~EN")
        assert words == told(more) == "so~EN"

    def test_that_wait_go_out_when_they_are_too_many(self, speech):
        row = row_for(speech, max_tokens=4 * PENDING_MAX, reserved=5 * PENDING_MAX, logprobs=0,
                      tools=[Tool("f")])
        hidden = TOKENIZER.backend_tokenizer.token_to_id(INSIDE)
        tokens = [*ids("a "), *[hidden] * (2 * PENDING_MAX)]
        told = [row.take(token, CHANCE)[1] for token in tokens]
        assert sum(len(more.logprobs) for more in told if more) >= len(tokens) - PENDING_MAX


class TestShift:
    def test_keeps_the_first_and_the_newer_half_of_the_rest(self, speech):
        row = row_for(speech, prompt=4, reserved=10, max_tokens=20, shift=True, num_keep=2)
        assert row.goes_on and row.room_tokens == 6 and row.own_from == 4
        for token in range(100, 106):
            row.take(token, None)
        row.shift([*row.given, *range(100, 106)])
        assert row.given == [0, 1, 102, 103, 104, 105] and row.own_from == 2
        assert row.room_tokens == 4 and row.tokens == 6

    @pytest.mark.parametrize(("prompt", "keep"), [(1, 0), (1, 100), (9, 0), (9, 100), (5, 5)])
    def test_there_is_always_room_after_it(self, speech, prompt, keep):
        row = row_for(speech, prompt=prompt, reserved=10, max_tokens=1000, shift=True, num_keep=keep)
        for _ in range(20):
            assert row.room_tokens > 0 and row.given
            whole = [*row.given, *[50] * row.room_tokens]
            for _ in range(row.room_tokens):
                row.take(50, None)
            row.shift(whole)
            assert len(row.given) < 10 and 0 <= row.own_from <= len(row.given)

    def test_only_for_a_job_that_may_say_more_than_its_context_holds(self, speech):
        assert not row_for(speech, prompt=4, reserved=10, max_tokens=6, shift=True).goes_on
        assert not row_for(speech, prompt=4, reserved=10, max_tokens=0, shift=True).goes_on
        assert not row_for(speech, prompt=4, reserved=10, max_tokens=20).goes_on


def test_two_parts_of_one_output_are_one():
    first, last = More("a", [CallPiece(0)]), More("b", [CallPiece(1)])
    assert merge_more(first, last) == More("ab", [CallPiece(0), CallPiece(1)])
    assert merge_more(None, last) is last and merge_more(first, None) is first
