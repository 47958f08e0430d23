"""`warden doctor` on memory and disks: how much there is for models and why, how short of it the machine is. Pure."""

from typing import NamedTuple

from control.budget import GIB, MIB, Ceiling, size
from control.pressure_level import Level
from gateway.cli.doctor_finding import Finding, note, ok, problem, warning

SWAP_MIN_PERCENT = 25  # of the machine's memory
SMALL_CEILING_BYTES = 2 * GIB
HOME_MIN_BYTES = 100 * MIB
HOME_LOW_BYTES, CACHE_LOW_BYTES = GIB, 10 * GIB
LOGS_MAX_BYTES = GIB
NETWORKED = {"nfs", "nfs4", "smbfs", "cifs", "smb3", "afpfs", "webdav", "fuse.sshfs", "9p", "ceph", "glusterfs"}
SYNCED = ("/Mobile Documents/", "/CloudStorage/", "/Dropbox/", "/OneDrive/", "/Google Drive/")


class MemoryFact(NamedTuple):
    """Bytes; `used_percent` None: not known. `limit_bytes`: the least that the machine or a control group holds us to.

    `wired_limit_mb`: what the operator of a Mac set as iogpu.wired_limit_mb, 0 for none. `source` "file": pressure is
    injected. `level`: with the thresholds of the configuration.
    """

    total_bytes: int
    available_bytes: int
    limit_bytes: int
    device_bytes: int
    used_percent: float | None
    source: str
    level: Level
    ceiling: Ceiling
    swap_used_bytes: int = 0
    wired_limit_mb: int = 0
    trouble: str = ""


class Place(NamedTuple):
    """A directory that should have room. `kind`: of its file system, "" if not known."""

    what: str
    path: str
    free_bytes: int
    kind: str = ""


class DiskFact(NamedTuple):
    """`places`: the home first, then the cache of Hugging Face."""

    places: tuple[Place, ...]
    logs_bytes: int
    logs: str = ""


def check_memory(fact: MemoryFact) -> list[Finding]:
    if not fact.total_bytes:
        return [problem("memory", f"cannot be read: {fact.trouble or 'the system does not say'}",
                        "set memory_budget_gb in [memory], so that models are loaded within it")]
    used = "" if fact.used_percent is None else f", {fact.used_percent:.0f} % used"
    found = [ok("memory", f"{size(fact.total_bytes)}{used}")]
    why = fact.ceiling.why
    if fact.wired_limit_mb and not why.startswith("memory_budget_gb"):
        why += f", iogpu.wired_limit_mb = {fact.wired_limit_mb}"
    may = f"all models together may have {size(fact.ceiling.bytes)}: {why}"
    if fact.ceiling.bytes < SMALL_CEILING_BYTES:
        found.append(warning("budget", may, _more_memory(fact)))
    elif "was cut" in fact.ceiling.why:
        found.append(note("budget", may, "lower memory_budget_gb, or leave it out"))
    else:
        found.append(ok("budget", may))
    return found + _pressure(fact)


def _more_memory(fact: MemoryFact) -> str:
    if fact.limit_bytes < fact.total_bytes:
        return "give the container or service more memory"
    return "raise memory_budget_gb" if fact.ceiling.why.startswith("memory_budget_gb") else "use small models"


def _pressure(fact: MemoryFact) -> list[Finding]:
    found = []
    used = "" if fact.used_percent is None else f" at {fact.used_percent:.0f} % used"
    if fact.level >= Level.CRITICAL:
        found.append(problem("pressure", f"memory is {fact.level.name.lower()}{used}: nothing is loaded",
                             "quit programs that hold much memory"))
    elif fact.level is Level.WARN:
        found.append(warning("pressure", f"memory is short{used}: idle models are unloaded",
                             "quit programs that hold much memory, or configure smaller models"))
    if fact.source == "file":
        found.append(warning("pressure", "is what WARDEN_PRESSURE_FILE says, and not measured",
                             "`unset WARDEN_PRESSURE_FILE`"))
    if fact.swap_used_bytes * 100 > fact.total_bytes * SWAP_MIN_PERCENT:
        found.append(note("swap", f"{size(fact.swap_used_bytes)} of memory were moved to disk",
                          "models that share memory with much else answer slowly: quit what you do not need"))
    if fact.trouble:
        found.append(note("memory", f"a source of its numbers fails: {fact.trouble}", "others are used in its place"))
    return found


def check_disk(fact: DiskFact) -> list[Finding]:
    found = [_room(place, index == 0) for index, place in enumerate(fact.places)]
    if fact.logs_bytes > LOGS_MAX_BYTES:
        found.append(note("logs", f"take {size(fact.logs_bytes)}", f"remove old ones from {fact.logs}"))
    return found


def _room(place: Place, is_home: bool) -> Finding:
    text = f"{size(place.free_bytes)} free ({place.path})"
    if is_home and place.kind in NETWORKED:
        return warning(place.what, f"lies on a network file system ({place.kind}): locks and shared memory may fail "
                                   "there",
                       "set WARDEN_HOME to a directory on a disk of this machine")
    if is_home and any(part in f"{place.path}/" for part in SYNCED):
        return warning(place.what, f"{place.path} is synchronised with other machines, which breaks locks and sockets",
                       "set WARDEN_HOME to a directory that is not")
    if is_home and place.free_bytes < HOME_MIN_BYTES:
        return problem(place.what, f"the disk is full: {text}", "free some space; the table and the logs need it")
    if place.free_bytes < (HOME_LOW_BYTES if is_home else CACHE_LOW_BYTES):
        return warning(place.what, f"the disk is nearly full: {text}",
                       "free some space" if is_home else "free some space, or set HF_HOME to a larger disk")
    return ok(place.what, text)
