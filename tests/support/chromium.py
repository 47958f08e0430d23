"""Where a Chromium is, and getting one: `python -m tests.support.chromium`, which `make test` runs first.

A browser is installed only where that was asked for: in CI, or with WARDEN_INSTALL_CHROMIUM=1, by root on a system with
apt-get. Anywhere else nothing is installed, and the tests that need one are skipped and say so. It never fails: tests
without a browser are better than none.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
OF_A_MAC = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
            "/Applications/Chromium.app/Contents/MacOS/Chromium")
INSTALL_WITHIN_S = 240
WHY_SKIPPED = ("there is no Chromium here; install one, or let the tests do it (Debian, as root): "
               "WARDEN_INSTALL_CHROMIUM=1 make test")
COMMANDS = (("apt-get", "update", "-qq"), ("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"))


def find_browser() -> str | None:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or next((path for path in OF_A_MAC if Path(path).is_file()), None)


def may_install(env: Mapping[str, str], *, is_root: bool, has_apt: bool) -> bool:
    """Was it asked for, and could it work?"""
    asked = env.get("WARDEN_INSTALL_CHROMIUM", "") or ("1" if env.get("CI") else "0")
    return asked == "1" and is_root and has_apt


def install() -> None:
    """Whatever goes wrong is not said: the skipped tests say what is missing."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in COMMANDS:
        try:
            subprocess.run(command, timeout=INSTALL_WITHIN_S, env=env, check=False, **quiet)
        except (OSError, subprocess.TimeoutExpired):
            return


def main() -> None:
    if find_browser() is None and may_install(os.environ, is_root=os.geteuid() == 0,
                                              has_apt=shutil.which("apt-get") is not None):
        print("installing Chromium for the tests of the pages", file=sys.stderr)
        install()


if __name__ == "__main__":
    main()
