"""Two calls of macOS as C functions: code that makes them runs here by the real calling convention."""

import ctypes
import errno
import struct
from types import SimpleNamespace

SYSCTL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t),
                          ctypes.c_void_p, ctypes.c_size_t, use_errno=True)
RUSAGE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, use_errno=True)


def kernel(numbers: dict[bytes, bytes]) -> SimpleNamespace:
    """A library whose `sysctlbyname` knows these, as the bytes that the kernel copies out."""
    def sysctlbyname(name, place, size, new, new_size) -> int:
        assert (new, new_size) == (None, 0)
        if name not in numbers or size[0] < len(numbers[name]):
            ctypes.set_errno(errno.ENOENT)
            return -1
        ctypes.memmove(place, numbers[name], len(numbers[name]))
        size[0] = len(numbers[name])
        return 0

    return SimpleNamespace(sysctlbyname=SYSCTL(sysctlbyname))


def processes(footprints: dict[int, int]) -> SimpleNamespace:
    """A library whose `proc_pid_rusage` fills in version 0 of the answer: a UUID and ten numbers."""
    def proc_pid_rusage(pid, flavor, place) -> int:
        assert flavor == 0
        if pid not in footprints:
            ctypes.set_errno(errno.ESRCH)
            return -1
        answer = bytes(range(16)) + struct.pack("=10Q", 1, 2, 3, 4, 5, 6, 7, footprints[pid], 9, 10)
        ctypes.memmove(place, answer, len(answer))
        return 0

    return SimpleNamespace(proc_pid_rusage=RUSAGE(proc_pid_rusage))
