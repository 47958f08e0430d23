"""`warden ls`, `check` and `version`: what the configuration says about the models, without asking any process."""

from typing import TYPE_CHECKING, Annotated

import typer

import gateway

if TYPE_CHECKING:
    from control.config import ModelConfig


def ls() -> None:
    """The configured models."""
    from gateway.cli.settings import read_config
    from gateway.cli.text_table import print_table

    config = read_config()
    default = config.find("")
    print_table(
        ["NAME", "ENGINE", "ALIASES", "PATH"],
        [[called(model, default), model.engine, ", ".join(model.aliases), str(model.path)] for model in config.models],
    )


def called(model: "ModelConfig", default: "ModelConfig | None") -> str:
    notes = ["default"] * (model is default) + ["for agents"] * (model.audience == "agents")
    return f"{model.name} ({', '.join(notes)})" if notes else model.name


def check(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]", help="A file to check in place of the one in use.")] = "",
    example: Annotated[
        bool, typer.Option("--example", help="Print every setting with its default and meaning, to begin a file with.")
    ] = False,
) -> None:
    """Check the configuration and start nothing."""
    if example:
        from control.example_config import example_toml

        print(example_toml(), end="")
        return
    from gateway.cli.settings import http_url, read_config, read_home, refuse_open_without_keys

    checked = read_config(config)
    refuse_open_without_keys(checked, read_home())
    names = ", ".join(f"{model.name} (for agents)" if model.audience == "agents" else model.name
                      for model in checked.models)
    relays = ", ".join(f"{name} at {getattr(checked, f'{name}_url')}" for name in checked.relays)
    print(f"ok: {checked.source}")
    print(f"http: {http_url(checked.host, checked.port)}")
    print(f"limits: {checked.max_running} running, {checked.max_queued} queued")
    print(f"models: {names}")
    if relays:
        print(f"relays: {relays}")


def version() -> None:
    """The version of mlx-warden."""
    print(gateway.VERSION)
