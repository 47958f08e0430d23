"""What a new user is told about real models: lines to paste, for this machine's cache and this home.

The text is made from facts, so that it can be tested; nothing is downloaded or written here.
"""

import shlex
import shutil
from pathlib import Path

SUGGESTED = "mlx-community/Qwen3-4B-4bit"  # fits a Mac with 8 GB; any MLX model will do
LISTED_MAX = 5


def add_a_model(config_file: Path, cached: list[str], warden: str, hf: str) -> str:
    """Lines for the terminal. `cached`: ids in the Hugging Face cache; `warden` and `hf`: how these are called."""
    chosen = next((model for model in cached if model.startswith("mlx-community/")), cached[0] if cached else SUGGESTED)
    name = chosen.rpartition("/")[2].lower()
    table = f'[models."{name}"]\\npath = "{chosen}"\\n'
    lines = ["its model, guide, answers questions about mlx-warden and nothing else. To add a real one:"]
    if cached:
        more = ", ..." if len(cached) > LISTED_MAX else ""
        lines.append(f"  (your Hugging Face cache holds {', '.join(cached[:LISTED_MAX])}{more})")
    else:
        lines.append(f"  {hf} download {chosen}")
    lines += [f"  printf '{table}' >> {shlex.quote(str(config_file))}",
              f"  {warden} check && {warden} down && {warden} up"]  # what is refused must not cost the running stack
    return "\n".join(lines)


def programs_as_called(argv_0: str) -> tuple[str, str]:
    """`warden` and `hf` as a person in this shell must write them: by name if they are found, else by path."""
    folder = Path(argv_0).parent if Path(argv_0).name == "warden" else None
    return tuple(_as_called(name, folder) for name in ("warden", "hf"))


def _as_called(name: str, folder: Path | None) -> str:
    if folder is None or shutil.which(name) == str(folder.absolute() / name):
        return name
    return shlex.quote(str(folder / name))
