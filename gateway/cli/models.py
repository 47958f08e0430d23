"""`warden ls`, `check` and `version`: what the configuration says about the models, without asking any process."""

from typing import Annotated

import typer

import gateway


def ls() -> None:
    """The configured models."""
    from gateway.cli.settings import read_config
    from gateway.cli.text_table import print_table

    config = read_config()
    default = config.find("")
    print_table(
        ["NAME", "ENGINE", "ALIASES", "PATH"],
        [
            [f"{model.name} (default)" if model is default else model.name, model.engine,
             ", ".join(model.aliases), str(model.path)]
            for model in config.models
        ],
    )


def check(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]", help="A file to check in place of the one in use.")] = "",
) -> None:
    """Check the configuration and start nothing."""
    from gateway.cli.settings import http_url, read_config

    checked = read_config(config)
    names = ", ".join(model.name for model in checked.models)
    print(f"ok: {checked.source}")
    print(f"http: {http_url(checked.host, checked.port)}")
    print(f"limits: {checked.max_running} running, {checked.max_queued} queued")
    print(f"models: {names}")


def version() -> None:
    """The version of mlx-warden."""
    print(gateway.VERSION)
