"""What a run of the tests leaves for people to look at, screenshots: in `.artefacts/`, or where WARDEN_ARTEFACTS says.
"""

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".artefacts"


def artefact(name: str) -> Path:
    """Where this one goes; what stood there from an earlier run is overwritten."""
    folder = Path(os.environ.get("WARDEN_ARTEFACTS") or FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
