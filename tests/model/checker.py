"""A small explicit-state model checker: every state that a model can reach, shortest ways first.

A model is a start state and two functions from a state to what may come next, as pairs (what happens, next state):

    moves      what the modelled processes do by themselves, message delivery and time limits included
    chances    what nobody can count on: crashes, broken connections, a decision that comes from outside

States are immutable and hashable, and there are finitely many. `search` looks at each of them once, breadth first, and
judges it in two ways:

    safety     no reachable state breaks an invariant
    no state is stuck: from each reachable state a good one can be reached by moves alone. (Whether the processes take
    that way is a matter of fairness, and is not asked.)

What is wrong comes back as a `Counterexample` with the fewest steps there are. It knows nothing of evictions. Pure.
"""

from array import array
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

STATES_MAX = 3_000_000  # a model that is larger has wrong bounds

Steps = Callable[[Hashable], Iterable[tuple[str, Hashable]]]
Invariants = dict[str, Callable[[Hashable], bool]]  # name -> does this state break it?


class TooLarge(Exception):
    """The model has more states than allowed."""


class Model(NamedTuple):
    """`good` None: nothing is asked about stuck states."""

    start: Hashable
    moves: Steps
    chances: Steps
    invariants: Invariants
    good: Callable[[Hashable], bool] | None = None


class Counterexample(NamedTuple):
    """`broken` is the name of the invariant, or STUCK; `steps` lead from the start to `states[-1]`, the bad state."""

    broken: str
    steps: tuple[str, ...]
    states: tuple[Hashable, ...]

    def __str__(self) -> str:
        lines = [f"{number:3}  {step}" for number, step in enumerate(self.steps, 1)]
        return "\n".join([*lines, f"  => {self.broken}"])


class Verdict(NamedTuple):
    """`counterexample` None: the model holds."""

    states: int
    steps: int
    counterexample: Counterexample | None


STUCK = "stuck: no good state can be reached any more"


def search(model: Model, states_max: int = STATES_MAX) -> Verdict:
    """Look at every reachable state. Raises: TooLarge."""
    found, indices, cause = [model.start], {model.start: 0}, array("l", [-1])
    sources, targets = array("l"), array("l")  # the moves, as pairs of indices; only where stuck states are asked for
    invariants, taken = list(model.invariants.items()), 0
    for at, state in enumerate(found):  # grows while it is read
        for name, breaks in invariants:
            if breaks(state):
                return Verdict(len(found), taken, _trace(model, name, found, cause, at))
        for steps in (model.moves, model.chances):
            noted = model.good is not None and steps is model.moves
            for _, after in steps(state):
                taken += 1
                index = indices.setdefault(after, len(found))
                if index == len(found):
                    found.append(after)
                    cause.append(at)
                if noted:
                    sources.append(at)
                    targets.append(index)
        if len(found) > states_max:
            raise TooLarge(f"more than {states_max} states; take smaller bounds")
    stuck = _first_stuck(model.good, found, sources, targets) if model.good is not None else None
    return Verdict(len(found), taken, None if stuck is None else _trace(model, STUCK, found, cause, stuck))


def _first_stuck(good: Callable, found: list, sources: array, targets: array) -> int | None:
    """Walk the moves backwards from the good states; the first state that this does not meet is stuck."""
    before: list[list[int]] = [[] for _ in found]
    for source, target in zip(sources, targets, strict=True):
        before[target].append(source)
    saved = bytearray(len(found))
    border = [index for index, state in enumerate(found) if good(state)]
    for index in border:
        saved[index] = 1
    while border:
        for index in before[border.pop()]:
            if not saved[index]:
                saved[index] = 1
                border.append(index)
    index = saved.find(0)
    return None if index < 0 else index


def _trace(model: Model, broken: str, found: list, cause: array, last: int) -> Counterexample:
    """Names were not kept: they are asked for once more along the way."""
    way = [last]
    while cause[way[-1]] >= 0:
        way.append(cause[way[-1]])
    states = [found[index] for index in reversed(way)]
    steps = [next(name for steps in (model.moves, model.chances) for name, after in steps(before) if after == state)
             for before, state in zip(states, states[1:], strict=False)]
    return Counterexample(broken, tuple(steps), tuple(states))
