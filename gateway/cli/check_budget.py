"""Do the configured models fit into this machine's memory? The sum of `warden check` and `warden doctor`.

Each model counts with the least that it needs, as `warden fits` works it out; what is kept (pinned) or loaded at start
(preloaded) must fit together, and every model must fit alone. `judge` is pure; `read_needs` reads files and nothing
else.
"""

from typing import TYPE_CHECKING, NamedTuple

from gateway.cli.doctor_finding import Finding, listed, note, ok, problem, warning

if TYPE_CHECKING:
    from control.budget import Ceiling
    from control.config import Config
    from control.home import Home

GIB = 1024**3
GPU = "what the GPU is recommended to use"


class Need(NamedTuple):
    """A model and the least that it takes, in bytes (0: not known, for `trouble`). `kept`: pinned | preload | "".

    `context` is what the operator asks for in tokens (0: nothing), `longest` what the model was made for.
    `configured_bytes`: memory_gb.
    """

    name: str
    least_bytes: int
    kept: str = ""
    trouble: str = ""
    context: int = 0
    longest: int = 0
    configured_bytes: int = 0


def read_needs(config: "Config", home: "Home") -> tuple[Need, ...]:
    """What each model needs, by its files and its profile."""
    from control.budget import make_plan
    from control.model_size import SizeUnknown, read_facts
    from control.profiles import fingerprint, read_profile

    needs = []
    for model in config.models:
        kept = "pinned" if model.pinned else "preload" if model.preload else ""
        try:
            facts = read_facts(model)
        except SizeUnknown as unknown:
            needs.append(Need(model.name, 0, kept, str(unknown)))
            continue
        profile = read_profile(home.profiles, model.slug, fingerprint(model))
        plan = make_plan(facts, batch=min(model.batch_size, config.rows_max), context=model.context_length,
                         memory_bytes=int(model.memory_gb * GIB), profile=profile, shrink=0, room_bytes=None)
        needs.append(Need(model.name, plan.share_bytes, kept, "", model.context_length, facts.context_length,
                          int(model.memory_gb * GIB)))
    return tuple(needs)


def read_ceiling(config: "Config") -> "Ceiling":
    """What all models may have on this machine, by this configuration."""
    import os
    import time

    from control.budget import choose_ceiling
    from control.pressure import PressureReader

    reading = PressureReader(os.environ).read(time.monotonic())
    return choose_ceiling(int(config.memory_budget_gb * GIB), reading.device_bytes, reading.total_bytes,
                          reading.limit_bytes)


def judge(needs: tuple[Need, ...], ceiling_bytes: int, why: str) -> list[Finding]:
    """Findings, the last of them ok if there is nothing to say against the sum."""
    from control.budget import size

    found = [problem(need.name, need.trouble, "correct its path, or fetch it again") for need in needs if need.trouble]
    known = [need for need in needs if not need.trouble]
    budget = f"{size(ceiling_bytes)} ({why})"
    for need in known:
        if need.least_bytes > ceiling_bytes:
            found.append(problem(need.name, f"can never be loaded: it needs {size(need.least_bytes)}, and all models "
                                 f"together may have {budget}", _remedy(why, need)))
        if 0 < need.configured_bytes < need.least_bytes:
            found.append(note(need.name, f"memory_gb = {need.configured_bytes / GIB:.4g} is less than the "
                              f"{size(need.least_bytes)} that it needs, which it gets", "raise memory_gb, or leave it "
                                                                                        "out"))
        if need.context > need.longest > 0:
            found.append(note(need.name, f"context_length = {need.context} is more than the {need.longest} that it was "
                              "made for, which it gets", "lower context_length, or leave it out"))
    pinned = [need for need in known if need.kept == "pinned"]
    kept = [need for need in known if need.kept]
    if pinned and _sum(pinned) > ceiling_bytes:
        found.append(warning("fit", f"the pinned models do not fit together: they need {size(_sum(pinned))} of "
                                       f"{budget}",
                             f"unpin one of {_names(pinned)}, or choose smaller ones"))
    elif kept and _sum(kept) > ceiling_bytes:
        found.append(warning("fit", f"what is pinned and preloaded does not fit together: {size(_sum(kept))} of "
                                       f"{budget}",
                             f"leave out preload for one of {_names(kept)}"))
    else:
        shut_out = [need for need in known if need.kept != "pinned"
                    and need.least_bytes <= ceiling_bytes < need.least_bytes + _sum(pinned)]
        if shut_out:
            found.append(warning("fit", f"beside the pinned {_names(pinned)} ({size(_sum(pinned))} of {budget}) "
                                           "there is "
                                 f"never room for {_names(shut_out)}", "unpin one, or choose smaller ones"))
    if not found:
        found.append(ok("fit", _praise(known, kept, budget)))
    return found


def _praise(known: list[Need], kept: list[Need], budget: str) -> str:
    from control.budget import size

    least = _sum(known)
    if len(known) == 1:
        return f"the model needs {size(least)} of {budget}"
    text = f"each model fits alone, and all together need {size(least)} of {budget}"
    return f"{text}; what is pinned and preloaded takes {size(_sum(kept))}" if kept else text


def _remedy(why: str, need: Need) -> str:
    if why.startswith("memory_budget_gb"):
        return "raise memory_budget_gb in [memory]"
    smaller = "choose a smaller or more quantised one"
    if why.startswith(GPU):
        wanted_mb = -(-need.least_bytes // 1024**2)
        return (f"{smaller}; a Mac with memory to spare can give the GPU more: "
                f"`sudo sysctl iogpu.wired_limit_mb={wanted_mb}`")
    return smaller


def _sum(needs: list[Need]) -> int:
    return sum(need.least_bytes for need in needs)


def _names(needs: list[Need]) -> str:
    return listed([need.name for need in needs])
