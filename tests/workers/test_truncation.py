"""workers/truncation.py: which messages and tokens are kept, and how seldom the template is rendered for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.engine import JobRefused
from workers.protocol import ChatMessage
from workers.truncation import choose_room, clip, cut_tokens, drop_oldest, shrink_longest

AROUND_TOKENS = 3  # of each message in a prompt
END_TOKENS = 2


class Template:
    """Renders each message as AROUND_TOKENS and its words; counts how often."""

    def __init__(self, needs_user: bool = False) -> None:
        self.rendered = 0
        self.needs_user = needs_user

    def __call__(self, messages):
        self.rendered += 1
        spoken = [message for message in messages if message.role != "system"]
        if self.needs_user and spoken[0].role != "user":
            raise JobRefused("invalid_request", "messages: a question comes first")
        return [1] * (sum(AROUND_TOKENS + count(message.content) for message in messages) + END_TOKENS)


def count(text: str) -> int:
    return len(text.split())


def chat(*lengths: int, system: int = 0) -> list[ChatMessage]:
    turns = [ChatMessage("assistant" if at % 2 else "user", "w " * length) for at, length in enumerate(lengths)]
    return [ChatMessage("system", "s " * system)] * bool(system) + turns


@pytest.mark.parametrize(("context", "max_tokens", "truncate", "whole", "shortened"), [
    (4096, 0, False, 4095, 4095),
    (4096, 0, True, 3584, 3584),
    (4096, 100, True, 3996, 3996),
    (4096, 1000, True, 3584, 3096),
    (4096, 10_000, True, 3584, 2048),
    (2, 0, True, 1, 1),
    (1, 0, True, 1, 1),
])
def test_room(context, max_tokens, truncate, whole, shortened):
    assert choose_room(context, max_tokens, truncate) == (context, whole, shortened)


def test_tokens_are_cut_after_the_first_that_are_kept():
    assert cut_tokens(list(range(10)), 2, 5) == [0, 1, 7, 8, 9]
    assert cut_tokens(list(range(10)), 0, 5) == [5, 6, 7, 8, 9]
    assert cut_tokens(list(range(10)), 99, 5) == [0, 1, 2, 3, 9]
    assert cut_tokens([1, 2], 0, 5) == [1, 2]


def test_the_oldest_go_and_what_is_kept_begins_with_a_question():
    messages = chat(5, 5, 5, 5, 5)
    tokens, kept = drop_oldest(messages, Template(), count, 30)
    assert kept == messages[2:] and len(tokens) == 26


def test_the_system_and_the_last_stay_whatever_their_length():
    messages = chat(5, 5, 50, system=20)
    tokens, kept = drop_oldest(messages, Template(), count, 30)
    assert kept == [messages[0], messages[-1]] and len(tokens) > 30


def test_a_result_keeps_its_call():
    messages = [*chat(9, 9, 9), ChatMessage("assistant", "calls"), ChatMessage("tool", "r"), ChatMessage("tool", "r")]
    assert drop_oldest(messages, Template(), count, 1).messages == messages[-3:]


def test_what_a_template_refuses_is_not_kept():
    messages = [*chat(9, 9, 9), ChatMessage("assistant", "calls"), ChatMessage("tool", "r")]
    assert drop_oldest(messages, Template(needs_user=True), count, 1).messages == messages[2:]
    with pytest.raises(JobRefused, match="a question comes first"):
        drop_oldest(messages[3:], Template(needs_user=True), count, 1)


@given(lengths=st.lists(st.integers(0, 8), min_size=1, max_size=300), most=st.integers(1, 400),
       system=st.integers(0, 5))
def test_as_much_as_fits_is_kept_with_few_renderings(lengths, most, system):
    messages, template = chat(*lengths, system=system), Template()
    tokens, kept = drop_oldest(messages, template, count, most)
    assert template.rendered <= 3 + len(messages).bit_length()
    assert kept[-1] is messages[-1] and kept[0].role in ("system", messages[-1].role, "user")
    if len(tokens) > most:
        assert len(kept) == 1 + bool(system and len(lengths) > 0)


def test_thousands_of_short_messages_take_a_few_renderings():
    template = Template()
    tokens, kept = drop_oldest(chat(*[1] * 4001), template, count, 1000)
    assert template.rendered <= 3
    assert 900 < len(tokens) <= 1000 and len(kept) > 200


def test_one_that_is_far_too_long_is_clipped():
    assert clip(ChatMessage("user", "abcdef", thinking="xyz"), 3) == ChatMessage("user", "def", thinking="xyz")
    assert clip(ChatMessage("user", "abc"), 3) == ChatMessage("user", "abc")
    assert clip(ChatMessage("user", "abcd", thinking="wxyz"), 3, ["thinking"]).content == "abcd"


def test_the_longest_loses_its_first_words():
    messages = chat(3, 8, 2)
    shorter = shrink_longest(messages, str.split, " ".join, 6)
    assert [count(message.content) for message in shorter] == [3, 2, 2]
    assert count(shrink_longest(messages, str.split, " ".join, 99)[1].content) == 0
