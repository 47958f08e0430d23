"""A pattern makes exactly the wordings that it says, and what is written wrongly is refused with the pattern."""

import re
from random import Random

import pytest

from workers.guide.patterns import parse_pattern

LISTS = {"model": ["qwen", "a model"], "see": ["show", ""]}
DRAWS = 400


@pytest.mark.parametrize(("text", "wordings"), [
    ("as it stands", {"as it stands"}),
    ("[show|list] it", {"show it", "list it"}),
    ("[a|b [c|d]]", {"a", "b c", "b d"}),
    ("x[ y|]", {"x y", "x"}),
    ("{see} {model}", {"show qwen", "show a model", " qwen", " a model"}),
    ("[{model}|all]", {"qwen", "a model", "all"}),
    ("[[models.name]]", {"models.name"}),
])
def test_all_wordings_and_no_others_are_drawn(text, wordings):
    pattern = parse_pattern(text, LISTS)
    random = Random(0)
    assert {pattern.draw(random) for _ in range(DRAWS)} == wordings
    assert pattern.count == len(wordings)
    assert all(re.fullmatch(pattern.expression(), wording) for wording in wordings)
    assert not re.fullmatch(pattern.expression(), "something else")


def test_a_line_that_breaks_inside_of_a_pattern_counts_as_a_space():
    pattern = parse_pattern("[show\nme|list] the\n[models|rows\n]", {})
    for wording in ("show me the models", "list the rows"):
        assert re.fullmatch(pattern.expression(), wording)
    assert {" ".join(pattern.draw(Random(seed)).split()) for seed in range(DRAWS)} == {
        f"{first} the {last}" for first in ("show me", "list") for last in ("models", "rows")}


def test_the_same_random_draws_the_same():
    pattern = parse_pattern("[a|b|c][d|e|f]", {})
    assert [pattern.draw(Random(5)) for _ in range(3)] == [pattern.draw(Random(5))] * 3


@pytest.mark.parametrize(("text", "what"), [
    ("[a", "a [ without its partner"),
    ("[a}", "a [ without its partner"),
    ("a]", "a ] or } without its partner"),
    ("a}", "a ] or } without its partner"),
    ("a|b", "a | outside of brackets"),
    ("{nobody}", "there is no list {nobody}"),
    ("{model", "there is no list {model}"),
    ("{}", "there is no list {}"),
])
def test_what_is_written_wrongly_is_refused(text, what):
    with pytest.raises(ValueError) as refused:
        parse_pattern(text, LISTS)
    assert what in str(refused.value) and repr(text) in str(refused.value)
