"""What the dashboard is told: the table for people's eyes, samples of it, and the last hour of those.

`show` makes an overview (`control.overview`) fit to be seen by whoever may see the dashboard: models that are reserved
for agents are named to nobody, as in /health. What is sampled and kept is made of that and names them no more.

The history is bounded whatever happens: SHORT_MAX samples of a second each, LONG_MAX of STEP_S seconds. A sample is
numbers in the order of NAMES; None is "not known", which a chart shows as a gap. Pure: times come in, in Unix seconds.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from control.config import Config
from control.decisions import Decision
from control.overview import CLASSES
from gateway.http.reserved import RESERVED, name_of

SHORT_MAX, LONG_MAX, STEP_S = 300, 360, 10  # five minutes by the second, the hour by ten of them
RATES_MAX = 120  # the newest seconds of which each model's tokens per second are told


class Sample(NamedTuple):
    """`held_bytes`: what models use; `admitted`: requests taken since the sample before; `rates` by `key` of a model,
    tokens per second, only of those that answer.
    """

    at_s: float
    used_percent: float | None
    held_bytes: int | None
    tokens_per_s: float | None
    running: int | None
    queued: int | None
    admitted: int | None
    rates: dict[str, float]


NAMES = Sample._fields[:-1]
LARGEST = ("used_percent", "held_bytes", "running", "queued")  # of a step: a peak is what one looks for


def show(overview: dict, config: Config, hide: Callable[[str], str]) -> dict:
    """`overview` with a `key` for each model, which stays the same, and its `name` as the configuration has it."""
    models = []
    for number, model in enumerate(overview["models"]):
        name = name_of(config, model["name"])
        if name == RESERVED:
            models.append({**model, "key": f"reserved-{number}", "name": name, "reason": ""})
        else:
            models.append({**model, "key": model["name"], "name": name, "reason": hide(model["reason"])})
    relays = [{**relay, "reason": hide(relay["reason"])} for relay in overview["relays"]]
    return {**overview, "remarks": [hide(text) for text in overview["remarks"]], "models": models, "relays": relays}


def unreadable(why: str) -> dict:
    """In place of an overview, while there is no table: models and relays are not known, which is not "none"."""
    return {"remarks": [why], "memory": None, "queue": None, "models": None, "relays": None}


def show_decision(decision: Decision, at_s: float, config: Config, hide: Callable[[str], str]) -> dict:
    return {"at_s": round(at_s, 3), "kind": decision.kind, "model": name_of(config, decision.model),
            "text": hide(decision.text), "request": decision.request}


def limits_of(config: Config) -> dict:
    """What a reading is held against; it does not change while the process lives."""
    return {"max_running": config.max_running, "max_queued": config.max_queued,
            "warning_percent": config.memory_warning_percent, "critical_percent": config.memory_critical_percent,
            "emergency_percent": config.memory_emergency_percent}


class Sampler:
    """Makes samples of what `show` gave; remembers how many requests there were, to say how many came."""

    def __init__(self) -> None:
        self._admitted: int | None = None

    def sample(self, shown: dict, now_s: float) -> Sample:
        memory, queue = shown["memory"], shown["queue"]
        models, relays = shown["models"], shown["relays"]
        answering = [*(models or ()), *(relays or ())]
        running = queued = admitted = None
        if queue is not None:
            running = sum(queue["running"].values()) + queue["relay_running"]
            queued = sum(queue["queued"].values()) + queue["relay_queued"]
            admitted = self._new(sum(queue["admitted"][name] for name in CLASSES))
        return Sample(
            round(now_s, 1), memory["used_percent"] if memory is not None else None,
            sum(model["memory_bytes"] for model in models) if models is not None else None,
            round(sum(each["tokens_per_s"] for each in answering), 2) if models is not None else None,
            running, queued, admitted,
            {model["key"]: round(model["tokens_per_s"], 2) for model in models or () if model["tokens_per_s"]})

    def _new(self, total: int) -> int:
        """A gateway that was started again counts from 0."""
        before, self._admitted = self._admitted, total
        if before is None:
            return 0
        return total - before if total >= before else total


def merge(samples: list[Sample]) -> Sample:
    """One for all of them, at the time of the first. Requests are added up, tokens per second are the mean."""
    found: dict[str, float | None] = {}
    for name in NAMES[1:]:
        known = [value for sample in samples if (value := getattr(sample, name)) is not None]
        if not known:
            found[name] = None
        elif name in LARGEST:
            found[name] = max(known)
        else:
            found[name] = sum(known) if name == "admitted" else round(sum(known) / len(known), 2)
    return Sample(samples[0].at_s, **found, rates={})


class History:
    """The samples of the last hour, finer those of the last minutes."""

    def __init__(self) -> None:
        self.short: deque[Sample] = deque(maxlen=SHORT_MAX)
        self._long: deque[Sample] = deque(maxlen=LONG_MAX)
        self._step: list[Sample] = []  # of the step that is not over

    def add(self, sample: Sample) -> None:
        """A clock that was set back takes away what lies in its future."""
        for kept in (self.short, self._long, self._step):
            while kept and kept[-1].at_s >= sample.at_s:
                kept.pop()
        if self._step and self._step[0].at_s // STEP_S != sample.at_s // STEP_S:
            self._long.append(merge(self._step))
            self._step = []
        self._step.append(sample)
        self.short.append(sample)

    def describe(self) -> dict:
        """`names` of the columns, rows `short` and `long`, and `rates`: of each model that answered of late, tokens per
        second in the newest `RATES_MAX` seconds.
        """
        long = [*self._long, *([merge(self._step)] if self._step else [])]
        newest = list(self.short)[-RATES_MAX:]
        keys = sorted({key for sample in newest for key in sample.rates})
        return {"names": NAMES, "step_s": STEP_S, "short": _rows(self.short), "long": _rows(long),
                "rates": {key: [sample.rates.get(key, 0.0) for sample in newest] for key in keys}}


def _rows(samples: Iterable[Sample]) -> list[tuple]:
    return [sample[:-1] for sample in samples]


def second_event(shown: dict, sample: Sample, decisions: list[dict]) -> dict:
    """What every listener is sent each second; `decisions`: those that came since."""
    return {**shown, "at_s": sample.at_s, "sample": sample[:-1], "decisions": decisions}


def first_event(second: dict, history: History, config: Config, version: str) -> dict:
    """What a listener is sent first. `second`: as above, with all decisions that are known."""
    return {**second, "history": history.describe(), "limits": limits_of(config), "version": version}
