"""Looks at many things beside each other, each for a limited time, and hands back what was seen.

A probe is a function without arguments that returns a fact and changes nothing. It runs in a thread of its own, which
is left behind if it overstays (a file server that hangs, a program that does not end), and dies with this process; in
place of its fact stands `Unseen` with the reason. So `warden doctor` ends in time whatever the machine does.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping

from gateway.cli.doctor_finding import Unseen

Probe = Callable[[], object]


def look(probes: Mapping[str, Probe], limit_s: float) -> dict[str, object]:
    """The facts by the names of their probes, or an Unseen each."""
    seen: dict[str, object] = {}
    threads = {name: threading.Thread(target=_run, args=(name, probe, seen), name=name, daemon=True)
               for name, probe in probes.items()}
    give_up_at = time.monotonic() + limit_s
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, give_up_at - time.monotonic()))
    late, broken = Unseen(f"it takes longer than {limit_s:g} s"), Unseen("it failed; standard error says how")
    return {name: seen.get(name, late if threads[name].is_alive() else broken) for name in probes}


def _run(name: str, probe: Probe, seen: dict[str, object]) -> None:
    try:
        seen[name] = probe()
    except (OSError, ValueError, ArithmeticError, LookupError, RuntimeError,
            subprocess.SubprocessError) as error:
        seen[name] = Unseen(f"{type(error).__name__}: {error}")
