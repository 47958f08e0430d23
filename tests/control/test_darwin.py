"""The two calls of macOS, by the C calling convention, with functions that play its kernel."""

import errno
import os
import struct
import sys
from types import SimpleNamespace

import pytest

from control.darwin import phys_footprint_bytes, read_sysctl
from tests.support.mac_library import kernel, processes

GIB = 1024**3


@pytest.mark.parametrize(("copied", "number"), [
    (struct.pack("=i", 2), 2), (struct.pack("=i", -1), -1), (struct.pack("=q", 64 * GIB), 64 * GIB),
    (struct.pack("=q", -1), -1)])
def test_a_number_of_four_or_eight_bytes_is_read(copied: bytes, number: int) -> None:
    assert read_sysctl("a.b", kernel({b"a.b": copied})) == number


def test_a_name_that_the_kernel_does_not_know_is_an_error_with_its_name() -> None:
    with pytest.raises(OSError, match=r"sysctl a\.b: No such file or directory") as caught:
        read_sysctl("a.b", kernel({}))
    assert caught.value.errno == errno.ENOENT


def test_the_footprint_is_the_eighth_number() -> None:
    assert phys_footprint_bytes(77, processes({77: 12 * GIB})) == 12 * GIB


def test_a_process_that_is_gone_is_an_error() -> None:
    with pytest.raises(ProcessLookupError, match="process 78: No such process"):
        phys_footprint_bytes(78, processes({77: 1}))


def test_a_system_without_these_calls_is_an_error_and_no_crash() -> None:
    for call in (lambda: read_sysctl("a.b", SimpleNamespace()), lambda: phys_footprint_bytes(1, SimpleNamespace())):
        with pytest.raises(OSError, match="is missing"):
            call()


@pytest.mark.skipif(sys.platform != "darwin", reason="needs a Mac")
def test_a_real_mac_tells_both() -> None:
    assert read_sysctl("hw.memsize") > GIB
    assert read_sysctl("kern.memorystatus_vm_pressure_level") in (1, 2, 4)
    assert phys_footprint_bytes(os.getpid()) > 1024**2


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has it")
def test_another_system_has_no_such_library() -> None:
    with pytest.raises(OSError, match="libSystem"):
        read_sysctl("hw.memsize")
