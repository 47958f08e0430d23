"""Which backend answers a request: its chain, the state of each step, and the one that is chosen, with the reason.

Theory
------
A request has a *kind* of work (chat, task, batch, agent), which its priority does not change. The kind has a *chain*
of backends in configuration. Whoever routes puts down the state of each step as a `Step`; `choose` picks one:

1. Steps that this stack does not have, or that cannot do this request (`ABSENT`), do not count at all.
2. A step that was tried for this request is not tried again.
3. The first `OPEN` step of the rest is the one; it may have to wait there.
4. But *simple* work goes on to the chain's Ollama step, if that is open, when MLX is overloaded or closed to its class.
   Nothing else leaves MLX for want of a place: it waits. Chat goes to Ollama only if its chain names it, as all do.
5. `DOWN` and tried steps are passed over. If nothing is left, the first step that can say why refuses the request.

Simple is: a short prompt, no category or one of the simple ones, and no images, tools, schema or reasoning asked.
Images go to Ollama alone, whatever the load: nothing on MLX reads them here.

`route` names the steps from the first that counts to the chosen one ("mlx>ollama"), `reason` is one word for why it
is not the first ("overloaded", "down", "failed", "images"); "" if it is. Pure.
"""

from collections.abc import Collection, Sequence
from enum import IntEnum, StrEnum
from typing import NamedTuple

from control.config import Config
from control.states import AGENTS, LOCAL, OLLAMA

HOP_MAX = 1  # a request that was handed on more often than this goes in a circle
DOCUMENT = "document"  # the category of images that are pages of text


class Kind(StrEnum):
    CHAT = "chat"
    TASK = "task"
    BATCH = "batch"
    AGENT = "agent"

    @property
    def bit(self) -> int:
        """Its bit in the table's word `spill`."""
        return BITS[self]


BITS = {kind: 1 << place for place, kind in enumerate(Kind)}


class Work(NamedTuple):
    """What routing needs to know of a request. `victoria`: the caller of a chat wants the agent. `hop`: how often it
    was handed on before it came here. `named`: it asks for a model or a category and not for the default.
    """

    kind: Kind
    victoria: bool = False
    simple: bool = False
    images: bool = False
    hop: int = 0
    named: bool = False


class State(IntEnum):
    """Of one step of a chain, for one request."""

    OPEN = 0  # takes it now, or lets it wait
    CLOSED = 1  # takes nothing new of its class for now: memory is short
    DOWN = 2  # cannot answer it now
    ABSENT = 3  # is not configured, or never could


class Step(NamedTuple):
    """`model` is what that backend calls it, `target` the row that serves it. `code` and `why` say, for people, why the
    step is not open; `code` is of the closed list of errors.
    """

    backend: str
    model: str
    target: str
    state: State
    code: str = ""
    why: str = ""
    retry_after_s: float = 0.0


class Choice(NamedTuple):
    """`step` None: nobody answers it, and `refusal` is the step that says why (None: the chain is empty); `others` are
    those that are down as well.
    """

    step: Step | None
    route: str
    reason: str
    refusal: Step | None = None
    others: tuple[Step, ...] = ()


def is_simple(chars: int, category: str, *, needs_more: bool, config: Config) -> bool:
    """`chars` of the whole prompt; `needs_more`: images, tools, a schema or reasoning are asked."""
    if needs_more or chars >= config.simple_max_chars:
        return False
    return not category or category.lower() in config.simple_categories


def chain_of(work: Work, config: Config) -> tuple[str, ...]:
    """The backends for this work, in order, whether or not they are configured."""
    if work.images:
        return (OLLAMA,)
    match work.kind:
        case Kind.CHAT:
            chain = config.chain_chat_victoria if work.victoria else config.chain_chat
        case Kind.TASK:
            chain = config.chain_task
        case Kind.BATCH:
            chain = config.chain_batch
        case Kind.AGENT:
            chain = config.chain_agent
    if work.named and AGENTS in chain:  # the named model comes first
        return tuple(each for each in chain if each != AGENTS)
    return tuple(chain)


def choose(work: Work, steps: Sequence[Step], *, overloaded: bool, tried: Collection[str] = ()) -> Choice:
    """See the theory. `steps` are those of `chain_of`, in order; `tried` names backends that failed this request."""
    counted = [step for step in steps if step.state is not State.ABSENT]  # 1
    left = [step for step in counted if step.backend not in tried]  # 2
    first = next((step for step in left if step.state is not State.DOWN), None)  # 3, 5
    if first is None:
        refusals = left or counted or list(steps)
        return Choice(None, _route(counted, None), "down", refusals[0] if refusals else None, tuple(left[1:]))
    if first.backend in LOCAL and work.simple and (overloaded or first.state is State.CLOSED):  # 4
        spill = next((step for step in left if step.backend == OLLAMA and step.state is State.OPEN), None)
        if spill is not None:
            return Choice(spill, _route(counted, spill), "overloaded")
    if first.state is State.CLOSED:
        return Choice(None, _route(counted, first), "closed", first)
    return Choice(first, _route(counted, first), _reason(work, counted, first, tried))


def _route(counted: Sequence[Step], chosen: Step | None) -> str:
    end = counted.index(chosen) + 1 if chosen is not None else len(counted)
    return ">".join(dict.fromkeys(step.backend for step in counted[:end]))


def _reason(work: Work, counted: Sequence[Step], chosen: Step, tried: Collection[str]) -> str:
    if chosen is counted[0]:
        return "images" if work.images else ""
    return "failed" if counted[0].backend in tried else "down"
