"""`warden doctor` on the configuration, the keys and the cache of Hugging Face. Pure."""

from typing import NamedTuple

from control.budget import size
from gateway.cli.doctor_finding import Finding, counted, listed, note, ok, problem, warning

BUILT_IN = "built-in defaults"


class ConfigFact(NamedTuple):
    """`error`: ConfigError's line, "" if the file is right. `shadowed`: a file of the home that is not read for it.

    `open_to`: the file can be changed by others (its mode). `key_trouble`: why the keys cannot be used.
    """

    source: str
    error: str = ""
    models: tuple[str, ...] = ()
    default: str = ""
    agents: int = 0
    relays: tuple[str, ...] = ()
    shadowed: str = ""
    open_to: str = ""
    keys: int = 0
    needs_key: bool = False
    key_trouble: str = ""
    suspicious: tuple[Finding, ...] = ()


class CacheFact(NamedTuple):
    """`whole`: models that can be loaded; `broken`: what a configured path could not use, and why; `other`: the rest.

    `halves`: repositories with a download that was broken off. `token`: where one was found, "" for none. `complete`:
    everything was looked at.
    """

    path: str
    exists: bool
    bytes: int = 0
    whole: tuple[str, ...] = ()
    broken: tuple[tuple[str, str], ...] = ()
    halves: tuple[str, ...] = ()
    other: int = 0
    offline: str = ""
    token: str = ""
    complete: bool = True


def check_config(fact: ConfigFact) -> list[Finding]:
    if fact.error:
        text, _, remedy = fact.error.rpartition("; ")
        return [problem("configuration", text or fact.error, remedy or "`warden check` says more")]
    if fact.source == BUILT_IN:
        found = [note("configuration", "there is none: only guide runs, which answers questions about mlx-warden",
                      "`warden init` proposes one for this machine")]
    else:
        relays = f"; relays: {', '.join(fact.relays)}" if fact.relays else ""
        found = [ok("configuration", f"{fact.source}: {counted(len(fact.models), 'model')}, {fact.default} by default"
                    f"{relays}")]
    if fact.shadowed:
        found.append(note("configuration", f"{fact.shadowed} is not read here, because of {fact.source}",
                          "keep one of the two, or set WARDEN_CONFIG"))
    if fact.open_to:
        found.append(warning("configuration", f"others can change {fact.source} (mode {fact.open_to})",
                             f"`chmod go-w {fact.source}`"))
    if fact.key_trouble:
        text, _, remedy = fact.key_trouble.rpartition("; ")
        found.append(problem("keys", text, remedy))
    elif fact.keys or fact.needs_key:
        found.append(ok("keys", f"{counted(fact.keys, 'API key')}; callers "
                                f"{'need' if fact.needs_key else 'need not give'} "
                        "one"))
    return found + list(fact.suspicious)


def check_cache(fact: CacheFact) -> list[Finding]:
    what = "cache"
    if not fact.exists:
        found = [ok(what, f"Hugging Face has fetched nothing yet ({fact.path})")]
    else:
        others = f", {fact.other} of other kinds" if fact.other else ""
        found = [ok(what, f"{'' if fact.complete else 'at least '}{counted(len(fact.whole), 'model')} to load{others}; "
                    f"{size(fact.bytes)} in {fact.path}")]
    found += [warning(what, f"{name} is not whole: {why}", f"`hf download {name}`") for name, why in fact.broken]
    lost = [name for name in fact.halves if name not in {name for name, _ in fact.broken}]
    if lost:
        found.append(note(what, f"a download of {listed(lost)} was broken off or is under way",
                          f"`hf download {lost[0]}` goes on with it"))
    if fact.offline:
        found.append(note(what, f"{fact.offline} is set: nothing can be pulled", f"`unset {fact.offline}`"))
    if fact.token:
        found.append(ok(what, f"a token of Hugging Face is there ({fact.token})"))
    return found
