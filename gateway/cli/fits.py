"""`warden fits`: would this model fit, and why? The arithmetic that control uses, shown line by line.

Nothing is started, loaded or asked: sizes come from the model's files, what it was measured to take from its profile,
the budget and what is loaded from the table of the running stack. Without one, the budget is what this machine and this
configuration give. It is a reading: what control decides later depends on what is loaded and used by then, so the names
of those that would make room are an example.

Exit code 0: it fits, now or when others have made room. 1: it can never fit. 2: the model or its size is unknown.
"""

import os
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from gateway.cli.completion import complete_model
from gateway.cli.exits import FAILED, USAGE, CommandFailed
from gateway.cli.options import Json, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from control.budget import Ceiling, Plan
    from control.config import Config, ModelConfig
    from control.home import Home

GIB = 1024**3
NOW, LATER, NEVER = "fits", "after_room", "never"


class Loaded(NamedTuple):
    """A model that has a process, as the table shows it."""

    name: str
    share_bytes: int
    pinned: bool
    has_model: bool = True


class Stage(NamedTuple):
    """What all models may have and what they have. `available_bytes`: what this machine could give just now."""

    ceiling: "Ceiling"
    loaded: tuple[Loaded, ...]
    stack_runs: bool
    available_bytes: int
    critical_percent: float = 0.0  # memory is used so far that nothing is loaded; 0: it is not


class Verdict(NamedTuple):
    """`kind` is NOW, LATER or NEVER; `makers` would make room."""

    kind: str
    text: str
    makers: tuple[str, ...] = ()


def fits(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A configured model, a directory with weights, or an id that is in "
                                                  "the Hugging Face cache.", autocompletion=complete_model)
    ],
    as_json: Json = False,
) -> None:
    """Would this model fit into memory? Shows how much it needs, and why."""
    from control.budget import explain, make_plan
    from control.model_size import SizeUnknown, read_facts
    from control.profiles import fingerprint, read_profile
    from gateway.cli.settings import read_config, read_home

    config, home = read_config(), read_home()
    chosen = find_model(config, model)
    try:
        facts = read_facts(chosen)
    except SizeUnknown as unknown:
        raise CommandFailed(str(unknown), USAGE) from None
    stage = read_stage(config, home)
    others = [each for each in stage.loaded if each.name != chosen.slug]
    free_bytes = stage.ceiling.bytes - sum(each.share_bytes for each in others)
    least, given = (
        make_plan(facts, batch=min(chosen.batch_size, config.rows_max), context=chosen.context_length,
                  memory_bytes=int(chosen.memory_gb * GIB), profile=read_profile(home.profiles, chosen.slug,
                                                                                 fingerprint(chosen)),
                  shrink=0, room_bytes=room)
        for room in (None, max(0, free_bytes)))
    verdict = choose_verdict(least.share_bytes, stage.ceiling.bytes, others)
    shown = given if verdict.kind == NOW else least
    if as_json:
        facts_of_model = {"model": chosen.name, "path": chosen.path, "verdict": verdict.kind, "text": verdict.text,
                          "makes_room": verdict.makers, "least_bytes": least.share_bytes, "free_bytes": free_bytes,
                          "arithmetic": explain(least, stage.ceiling, stage.ceiling.bytes - free_bytes)}
        print_json(facts_of_model | describe(shown, stage))
    else:
        print("\n".join(choose_lines(chosen, shown, least, stage, verdict)))
    if verdict.kind == NEVER:
        raise typer.Exit(FAILED)


def find_model(config: "Config", name: str) -> "ModelConfig":
    """The configured model of this name, or the one in this directory or of this id, with the defaults.

    Raises:
        CommandFailed: it is none of these, exit code 2.
    """
    from pathlib import Path

    from control.config import NO_MODEL, RELAYS, ConfigError, ModelConfig, slug_of
    from control.weights import find_weights

    found = config.find(name) if name else None
    if found:
        return found
    if name in RELAYS.values():
        raise CommandFailed(NO_MODEL.format(slug=name), USAGE)
    try:
        path = find_weights(name or "MODEL", name, [Path.cwd()], os.environ)
    except ConfigError as error:
        near = config.close_names(name)
        advice = f" (did you mean {near[0]}?)" if near else ""
        raise CommandFailed(f"no model {name!r} is configured{advice}; and {error}", USAGE) from None
    return ModelConfig(name=name, slug=slug_of(name), path=path)


def read_stage(config: "Config", home: "Home") -> Stage:
    """From the table of this home's stack if control writes to it, else from this machine."""
    import time

    from control.budget import Ceiling, choose_ceiling
    from control.pressure import PressureReader
    from control.pressure_level import Level
    from control.states import Phase, is_fresh
    from control.table import Table, TableRefused

    reading = PressureReader(os.environ).read(time.monotonic())
    ceiling = choose_ceiling(int(config.memory_budget_gb * GIB), reading.device_bytes, reading.total_bytes,
                             reading.limit_bytes)
    try:
        table = Table.open(home.table)
    except TableRefused:
        return Stage(ceiling, (), False, reading.available_bytes)
    snapshot, now_ns = table.snapshot(), time.monotonic_ns()
    table.close()
    words = snapshot.control
    if words is None or not is_fresh(words.heartbeat_ns, now_ns):
        return Stage(ceiling, (), False, reading.available_bytes)
    if words.ceiling_bytes and words.ceiling_bytes != ceiling.bytes:
        ceiling = Ceiling(words.ceiling_bytes, "as the running stack has it")
    if words.leaked_bytes:
        ceiling = Ceiling(max(0, ceiling.bytes - words.leaked_bytes),
                          f"{ceiling.why}; less what processes that ended did not give back")
    loaded = tuple(Loaded(row.name, row.control.share_bytes, bool(row.control.pinned),
                          row.phase(now_ns) not in (Phase.STARTING, Phase.EMPTY))
                   for row in snapshot.rows if row.control and row.control.share_bytes)
    critical = words.pressure_permille / 10 if words.pressure_level >= Level.CRITICAL else 0.0
    return Stage(ceiling, loaded, True, reading.available_bytes, critical)


def choose_verdict(need_bytes: int, ceiling_bytes: int, others: "Sequence[Loaded]") -> Verdict:
    """Whether `need_bytes` fit beside `others`, and if not, which of them would be enough. Pinned ones are last."""
    from control.budget import size

    if need_bytes > ceiling_bytes:
        return Verdict(NEVER, f"can never fit: it needs at least {size(need_bytes)}, and the budget for all models is "
                              f"{size(ceiling_bytes)}")
    missing = need_bytes + sum(each.share_bytes for each in others) - ceiling_bytes
    if missing <= 0:
        return Verdict(NOW, "fits beside those loaded" if others else "fits")
    makers = choose_makers(missing, others)
    names = [f"{each.name} (pinned: `warden unpin {each.name}` first)" if each.pinned else each.name for each in makers]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    verb = "has" if len(names) == 1 else "have"
    return Verdict(LATER, f"fits when {listed} {verb} made room", tuple(each.name for each in makers))


def choose_makers(missing_bytes: int, others: "Sequence[Loaded]") -> "list[Loaded]":
    """Few models that free enough together: as few pinned ones as possible, and none that is not needed."""
    makers: list[Loaded] = []
    for each in sorted(others, key=lambda each: (each.pinned, -each.share_bytes)):
        makers.append(each)
        if sum(maker.share_bytes for maker in makers) >= missing_bytes:
            break
    spare = sum(maker.share_bytes for maker in makers) - missing_bytes
    for each in sorted(makers, key=lambda each: (not each.pinned, -each.share_bytes)):
        if each.share_bytes <= spare:
            makers.remove(each)
            spare -= each.share_bytes
    return makers


def describe(plan: "Plan", stage: Stage) -> dict:
    """Plan and stage for `--json`: plain values."""
    from control.budget import parts_of

    return {
        "rows": plan.rows, "row_tokens": plan.row_tokens, "context_length": plan.context_length,
        "share_bytes": plan.share_bytes, "measured": plan.measured,
        "parts": [part._asdict() for part in parts_of(plan)],
        "ceiling_bytes": stage.ceiling.bytes, "ceiling_why": stage.ceiling.why,
        "available_bytes": stage.available_bytes, "stack_runs": stage.stack_runs,
        "loaded": [each._asdict() for each in stage.loaded],
    }


def choose_lines(model: "ModelConfig", plan: "Plan", least: "Plan", stage: Stage, verdict: Verdict) -> list[str]:
    """What people read: the sum, the budget, who is loaded, the verdict, and what else they should know."""
    from control.budget import parts_of, size

    rows = [(part.name, size(part.bytes), part.detail) for part in parts_of(plan)]
    rows.append(("share", size(plan.share_bytes), f"{plan.rows} at a time; one alone may have {plan.context_length} "
                 "tokens, answer included"))
    if plan.share_bytes > least.share_bytes:
        rows.append(("at least", size(least.share_bytes), f"for 1 row of {least.row_tokens} tokens"))
    rows.append(("budget", size(stage.ceiling.bytes), stage.ceiling.why))
    for each in stage.loaded:
        state = "loaded" if each.has_model else "started, no model yet"
        notes = [f"this model, {state}" if each.name == model.slug else state]
        rows.append((f"  {each.name}", size(each.share_bytes), ", ".join(notes + ["pinned"] * each.pinned)))
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"{model.name}: {model.path or model.engine}"]
    lines += [f"  {name:<{first}}  {amount:>{second}}  {note}".rstrip() for name, amount, note in rows]
    if not stage.stack_runs:
        lines.append("no stack runs: the budget is what it would be, and nothing is loaded")
    if 0 < plan.configured_bytes < plan.share_bytes:
        lines.append(f"memory_gb = {plan.configured_bytes / GIB:.4g} is less than it needs, so it gets what it needs")
    own = next((each.share_bytes for each in stage.loaded if each.name == model.slug), 0)
    if verdict.kind == NOW and 0 < stage.available_bytes + own < least.share_bytes:
        lines.append(f"other programs leave {size(stage.available_bytes)} just now; it is loaded when they leave more")
    if stage.critical_percent:
        lines.append(f"memory is at {stage.critical_percent:g} % just now: nothing is loaded until that falls")
    return [*lines, verdict.text]
