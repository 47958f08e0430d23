"""A `systemctl` and a `launchctl` that record what they are asked, and answer as a file beside them says."""

from pathlib import Path

PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >> "{folder}/asked"
for failing in "{folder}"/fail-*; do
    [ -e "$failing" ] || continue
    case "$*" in *"$(basename "$failing" | cut -c6-)"*) cat "$failing" >&2; exit 1;; esac
done
case "$*" in *print*/*/*) [ -e "{folder}/loaded" ] && echo "state = running" || exit 113;; esac
case "$*" in *is-active*) [ -e "{folder}/loaded" ] || exit 3;; esac
exit 0
"""


class Managers:
    """Both programs in `folder`, which belongs first on the PATH."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        for name in ("systemctl", "launchctl"):
            (folder / name).write_text(PROGRAM.format(folder=folder))
            (folder / name).chmod(0o755)

    def asked(self) -> list[str]:
        """What they were asked since the last call."""
        path = self._folder / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def fail(self, word: str, said: str) -> None:
        """Whoever is asked with this word fails, saying this."""
        (self._folder / f"fail-{word}").write_text(f"{said}\n")

    def mend(self, word: str) -> None:
        (self._folder / f"fail-{word}").unlink()

    def run_it(self, runs: bool = True) -> None:
        """From now on the service runs, for them."""
        (self._folder / "loaded").touch() if runs else (self._folder / "loaded").unlink(missing_ok=True)
