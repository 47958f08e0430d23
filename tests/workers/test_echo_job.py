"""workers/echo_job.py: an answer depends on what was said before, told or not; its clock stands still while it is."""

import pytest

from workers.answer_text import AnswerText, Markers
from workers.echo_job import Running
from workers.engine import JobRefused


def running(words: list[str] | None = None, length: int = 6, limit: int = 100) -> Running:
    return Running((1, 1), 3, words or [], length, limit, 0.5, -1, -1, -1, AnswerText(Markers("<think>", "</think>")),
                   added=1.0, due=2.0)


@pytest.mark.parametrize("count", range(7))
def test_behind_what_was_told_it_says_the_rest(count):
    words = ["<think>a", "b", "</think>c", "d", "e", "f"]
    whole, other = running(words), running(words)
    said = [whole.say(whole.word()) for _ in words]
    other.begin_behind(list(range(count)))
    assert [other.say(other.word()) for _ in words[count:]] == said[count:]
    assert (other.position, other.thinking_tokens) == (whole.position, whole.thinking_tokens)


@pytest.mark.parametrize("emitted", [[1], [0, 1, 3], [0, 0], list(range(7))])
def test_what_it_would_not_have_said_is_refused(emitted):
    with pytest.raises(JobRefused, match="emitted"):
        running().begin_behind(emitted)
    with pytest.raises(JobRefused, match="emitted"):
        running(limit=2).begin_behind([0, 1, 2])


def test_its_clock_can_stand_still():
    job = running()
    job.first = 2.0
    job.stand_still(10.0)
    assert (job.added, job.first, job.due) == (11.0, 12.0, 12.0)
    assert job.end("stop", 13.0).prompt_ms == job.end("stop", 14.0).prompt_ms == 1000.0
