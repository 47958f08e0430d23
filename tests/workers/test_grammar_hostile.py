"""workers/grammar.py against schemas made to take long: each is refused or ready, in a process of their own."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from tests.support.grammars import grammars_for
from tests.support.hostile_schemas import HOSTILE
from workers.grammar import FUNCTIONS_KEPT
from workers.job_parts import REQUIRED, Extras, Tool
from workers.tool_calls import GENERIC_FORM

DEADLINE_S = 90  # for all of them, on a machine that has other things to do
ROOT = Path(__file__).parents[2]
REFUSED = {"multiples that meet", "multiples through an anchor", "choices of multiples that meet", "many multiples",
           "a multiple with zeros", "a multiple that is no number for a float", "patterns that meet",
           "names that are compared", "choices on each level"}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """In one process; the first that is too slow has the last word, and none after it has any."""
    with TemporaryFile("w+") as said:
        try:
            subprocess.run([sys.executable, "-m", "tests.support.hostile_schemas"], cwd=ROOT, stdout=said,
                           stderr=subprocess.STDOUT, timeout=DEADLINE_S, check=False)
        except subprocess.TimeoutExpired:
            pass
        said.seek(0)
        return dict(zip(HOSTILE, said.read().splitlines(), strict=False))


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_or_ready_in_time(outcomes, name):
    outcome = outcomes.get(name, "too slow, or never come to")
    assert outcome == "refused" if name in REFUSED else outcome in ("refused", "ready")


def test_tools_are_looked_at_once(monkeypatch):
    grammars = grammars_for(GENERIC_FORM, False)
    looked, look = [], grammars._problem
    monkeypatch.setattr(grammars, "_problem", lambda schema: looked.append(schema) or look(schema))
    asked = [Extras(tool_choice=REQUIRED, tools=[Tool("f", "", {"properties": {f"p{at}": {"type": "integer"}}})])
             for at in range(FUNCTIONS_KEPT + 1)]
    for _ in range(2):
        grammars.guide(asked[0], reasons=False)
    assert len(looked) == 1
    for extras in asked:
        grammars.guide(extras, reasons=False)
    assert len(grammars._functions_kept) == FUNCTIONS_KEPT
