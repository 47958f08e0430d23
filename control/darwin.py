"""What only macOS can say and psutil does not pass on: two system calls, made without starting a process.

`read_sysctl` asks the kernel for one number; the `sysctl` program would do the same, but a machine that is short of
memory is the wrong one to start a process on. `phys_footprint_bytes` is what Activity Monitor shows as a process's
memory: it counts Metal buffers and compressed pages, which the resident size does not.

Not run on a Mac. The declarations follow sys/sysctl.h, libproc.h and sys/resource.h, and the tests call them by the C
calling convention with functions that play the system. On any other system nothing here is called.
"""

import ctypes
import errno
import os
from functools import cache

UUID_BYTES = 16
WIDE_BYTES = 8
RUSAGE_INFO_V0 = 0
SYSTEM_LIBRARY = "/usr/lib/libSystem.B.dylib"


class _RusageInfoV0(ctypes.Structure):
    """struct rusage_info_v0: the oldest of the kernel's answers, and the footprint is in it."""

    _fields_ = [("uuid", ctypes.c_uint8 * UUID_BYTES), *((name, ctypes.c_uint64) for name in (
        "user_time", "system_time", "pkg_idle_wkups", "interrupt_wkups", "pageins", "wired_size", "resident_size",
        "phys_footprint", "proc_start_abstime", "proc_exit_abstime"))]


def read_sysctl(name: str, library: object = None) -> int:
    """A number that the kernel keeps under this name. Raises OSError; `library` stands in for the system's."""
    call = _function(library, "sysctlbyname", ctypes.c_char_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t),
                     ctypes.c_void_p, ctypes.c_size_t)
    value = ctypes.c_int64(0)
    size = ctypes.c_size_t(WIDE_BYTES)
    if call(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0) != 0:
        raise _refused(f"sysctl {name}")
    # A number of four bytes fills the lower half: every Mac that runs MLX is little-endian.
    return value.value if size.value == WIDE_BYTES else ctypes.c_int32(value.value).value


def phys_footprint_bytes(pid: int, library: object = None) -> int:
    """Raises OSError for a process that is gone or of another user; `library` stands in for the system's."""
    call = _function(library, "proc_pid_rusage", ctypes.c_int, ctypes.c_int, ctypes.POINTER(_RusageInfoV0))
    facts = _RusageInfoV0()
    if call(pid, RUSAGE_INFO_V0, ctypes.byref(facts)) != 0:
        raise _refused(f"process {pid}")
    return facts.phys_footprint


@cache
def _system_library() -> ctypes.CDLL:
    return ctypes.CDLL(SYSTEM_LIBRARY, use_errno=True)


def _function(library: object, name: str, *takes: type) -> ctypes._CFuncPtr:
    """The C function that takes these and returns an int. Raises OSError where there is none such."""
    try:
        function = getattr(library or _system_library(), name)
    except AttributeError as missing:
        raise OSError(errno.ENOSYS, f"{name} is missing: {missing}") from None
    function.argtypes, function.restype = takes, ctypes.c_int
    return function


def _refused(what: str) -> OSError:
    return OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
