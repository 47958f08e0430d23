"""`warden`: the list of commands, and the one place where a command's end becomes an exit code.

Nothing heavy is imported before a command is chosen, so that `warden --help` answers at once.
"""

import sys

import typer
from typer.core import TyperGroup

from gateway.cli import answers, batch, fits, keys, lifecycle, models, ps, route, stack
from gateway.cli.exits import CommandFailed

OF_PYDANTIC = "Value error, "


class Commands(TyperGroup):
    """Says what is wrong with an argument, and not who found it."""

    def invoke(self, ctx: typer.Context) -> object:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as wrong:
            wrong.message = wrong.message.removeprefix(OF_PYDANTIC)
            raise


app = typer.Typer(
    cls=Commands,
    name="warden",
    help="Several language models on one machine, one process each; none that answers or loads is ever terminated.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(stack.up)
app.command()(stack.down)
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)(stack.ctl)
app.command()(ps.ps)
app.command()(lifecycle.load)
app.command()(lifecycle.unload)
app.command()(lifecycle.pin)
app.command()(lifecycle.unpin)
app.command()(models.ls)
app.command()(models.check)
app.command()(fits.fits)
app.command()(answers.ask)
app.command()(batch.batch)
app.command()(route.route)
app.add_typer(keys.app, name="key")
app.command()(models.version)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code (see exits.py), 130 after Ctrl-C. Entry point of `warden`."""
    try:
        app(args=arguments, standalone_mode=True)
    except CommandFailed as failed:
        print(failed, file=sys.stderr)
        return failed.code
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
