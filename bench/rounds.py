"""Several targets measured in turn, round after round, while it is noted what else used the machine.

Decided here: one at a time, the others idle; the order moves on by one from round to round, so that no target always
comes first; a busy machine is told in one sentence: the worst share, and who was measured meanwhile in which rounds.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from bench.machine import Watch, busy_sentence

Figures = TypeVar("Figures")


class Contestant(NamedTuple, Generic[Figures]):
    """One that is measured. `measure` takes the number of the round, from 0, and returns when all is over."""

    name: str
    measure: Callable[[int], Figures]


class Turn(NamedTuple, Generic[Figures]):
    """One contestant in one round. `others_share`: of the machine, 0..1, used by processes that are not measured."""

    figures: Figures
    others_share: float
    load_average: float

    def record(self) -> dict[str, object]:
        """For the JSON; the figures are a named tuple."""
        return {"others_share": self.others_share, "load_average": self.load_average, **self.figures._asdict()}


Rounds = dict[str, list[Turn[Figures]]]  # by contestant, in the order of the rounds


def measure_in_turn(contestants: Sequence[Contestant[Figures]], rounds: int, pids: Sequence[int],
                    tell: Callable[[str, Figures], str]) -> Rounds[Figures]:
    """`pids`: servers that are measured, besides our own children; `tell` says one turn in words, for who waits."""
    turns: Rounds[Figures] = {contestant.name: [] for contestant in contestants}
    for number in range(rounds):
        for contestant in order_of(contestants, number):
            watch = Watch(pids)
            figures = contestant.measure(number)
            turns[contestant.name].append(Turn(figures, watch.others_share(), watch.load_average))
            say(f"round {number + 1} of {rounds}: {tell(contestant.name, figures)}")
    return turns


def order_of(contestants: Sequence[Contestant[Figures]], number: int) -> list[Contestant[Figures]]:
    first = number % len(contestants)
    return [*contestants[first:], *contestants[:first]]


def figures_of(turns: Rounds[Figures]) -> dict[str, list[Figures]]:
    return {name: [turn.figures for turn in of_name] for name, of_name in turns.items()}


def choose_busy(turns: Mapping[str, Sequence[Turn]]) -> list[str]:
    """One sentence if anybody was disturbed in any round: how much at worst, who and when; else none."""
    told = []
    for name, of_name in turns.items():
        rounds = [str(number) for number, turn in enumerate(of_name, 1) if busy_sentence(turn.others_share)]
        if rounds:
            told.append(f"{name} (round {', '.join(rounds)})")
    worst = max((turn.others_share for of_name in turns.values() for turn in of_name), default=0.0)
    return [f"{busy_sentence(worst)}: {', '.join(told)}"] if told else []


def say(line: str) -> None:
    """How far it is; not part of the report."""
    print(f"... {line}", file=sys.stderr, flush=True)
