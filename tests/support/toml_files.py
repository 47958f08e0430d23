"""A place to load configurations from: a working directory, a home, a model directory and a Hugging Face cache."""

from pathlib import Path

from control.config import Config, ConfigError, load_config

ECHO = '[models.echo]\nengine = "echo"\n'


class Place:
    """Directories below `root`, and an environment that points to them and to nothing else."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cwd = root / "cwd"
        self.home = root / "home" / ".warden"
        self.file = self.cwd / "warden.toml"
        self.env = {"HOME": str(root / "home")}
        for directory in (self.cwd, self.home):
            directory.mkdir(parents=True)

    def load(self, text: str | None = None, **env: str) -> Config:
        """Write `text` to ./warden.toml, unless it is None, and load with these variables."""
        if text is not None:
            self.file.write_text(text, "utf-8")
        return load_config({**self.env, **env}, self.cwd)

    def error(self, text: str | None = None, **env: str) -> str:
        """The line that `load` is refused with, without the way to the working directory."""
        try:
            config = self.load(text, **env)
        except ConfigError as error:
            return str(error).replace(f"{self.cwd}/", "")
        raise AssertionError(f"not refused: {config}")


def make_weights(directory: Path) -> Path:
    """A directory that looks like a model."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text("{}")
    (directory / "model.safetensors").touch()
    return directory


def make_cached(cache: Path, model_id: str, revision: str = "0123abcd") -> Path:
    """A model as Hugging Face's tools leave it in `cache`. Returns the snapshot."""
    folder = cache / f"models--{model_id.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(revision)
    return make_weights(folder / "snapshots" / revision)
