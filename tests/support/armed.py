"""Failpoints from the test's side: arm one in a process that runs, and see whether it acted."""

import os
from pathlib import Path


def arm(directory: Path, name: str, action: str) -> None:
    """From now on the next process that passes `name` is killed, stopped or made to fail there."""
    scratch = directory / f"{name}.arming"
    scratch.write_text(action)
    os.rename(scratch, directory / name)


def has_acted(directory: Path, name: str) -> bool:
    """Has some process taken it?"""
    return (directory / f"{name}.hit").exists()
