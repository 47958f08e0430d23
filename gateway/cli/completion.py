"""What a shell completes where a model's name is expected: names and aliases of this home's configuration and library.

No process is asked, and nothing is ever printed or raised: a person in the middle of a line is not told that the
configuration is broken. Nothing is imported before the shell asks.
"""


def complete_model(incomplete: str) -> list[str]:
    """Names that begin so."""
    return [name for name in model_names() if name.startswith(incomplete)]


def model_names() -> list[str]:
    """Names, then aliases; nothing if the configuration or the directory cannot be read."""
    import os
    from pathlib import Path

    from control.config import ConfigError, load_config

    try:
        config = load_config(dict(os.environ), Path.cwd(), models_must_be_whole=False)
    except (ConfigError, OSError):
        return []
    names = [model.name for model in config.models] + [alias for model in config.models for alias in model.aliases]
    return list(dict.fromkeys(names))
