"""`warden ls` and `version`: what the configuration says about the models, without asking any process."""

from typing import TYPE_CHECKING

import typer

import gateway
from gateway.cli.options import Json, print_json

if TYPE_CHECKING:
    from control.config import ModelConfig


def ls(as_json: Json = False) -> None:
    """The configured models."""
    from gateway.cli.settings import read_config
    from gateway.cli.text_table import print_table

    config = read_config()
    default = config.find("")
    if as_json:
        print_json([{"name": model.name, "engine": model.engine, "aliases": list(model.aliases), "path": model.path,
                     "default": model is default, "audience": model.audience, "pulled": model.pulled}
                    for model in config.models])
        return
    print_table(
        ["NAME", "ENGINE", "ALIASES", "PATH"],
        [[called(model, default), model.engine, ", ".join(model.aliases), str(model.path)] for model in config.models],
    )


def called(model: "ModelConfig", default: "ModelConfig | None") -> str:
    notes = ["default"] * (model is default) + ["for agents"] * (model.audience == "agents")
    return f"{model.name} ({', '.join(notes)})" if notes else model.name


def version(as_json: Json = False) -> None:
    """The version of mlx-warden."""
    if as_json:
        print_json({"version": gateway.VERSION})
    else:
        print(gateway.VERSION)


def show_version(wanted: bool) -> None:
    """`warden --version`, before any command is looked for."""
    if wanted:
        version()
        raise typer.Exit
