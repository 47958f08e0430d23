"""`warden`: the list of commands, and the one place where a command's end becomes an exit code.

Nothing heavy is imported before a command is chosen, so that `warden --help` answers at once.
"""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.cli import (
    answers,
    batch,
    check,
    clients,
    doctor,
    fits,
    init,
    keys,
    lifecycle,
    logs,
    models,
    ps,
    pull,
    route,
    run,
    service,
    stack,
    top,
)
from gateway.cli.exits import CommandFailed

OF_PYDANTIC = "Value error, "
GROUPS = {  # of `warden --help`, what a new person needs first; a command that stands in none is listed at the end
    "Start and stop": ("init", "up", "down", "service"),
    "Ask": ("run", "ask", "batch"),
    "Models": ("pull", "ls", "load", "unload", "pin", "unpin", "cp", "rm", "fits"),
    "Look": ("ps", "top", "logs"),
    "Set up and mend": ("doctor", "check", "clients", "key", "route", "ctl", "version"),
}
REST = "More"
OF_OTHERS = {  # what people type who come from ollama, lms and the like -> what it is here
    "list": "`warden ls`", "show": "`warden ls`, or `warden fits MODEL`", "status": "`warden ps`",
    "chat": "`warden run`",
    "serve": "`warden up`", "start": "`warden up`", "restart": "`warden down && warden up`",
    "stop": "`warden unload MODEL`, or `warden down` for all of it",
}
HELP_MAX_CHARS = 1000  # the first sentence, whole


class Commands(TyperGroup):
    """Says what is wrong with an argument, and not who found it; lists the commands by what they are for."""

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:
        known = {name: command for name in self.list_commands(ctx)
                 if (command := self.get_command(ctx, name)) is not None and not command.hidden}
        grouped = {name for names in GROUPS.values() for name in names}
        width = max(map(len, known))
        for heading, names in (GROUPS | {REST: tuple(name for name in known if name not in grouped)}).items():
            rows = [(name.ljust(width), known[name].get_short_help_str(HELP_MAX_CHARS)) for name in names
                    if name in known]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:
        if args and args[0] in OF_OTHERS and args[0] not in self.commands and not ctx.resilient_parsing:
            ctx.fail(f"No such command {args[0]!r}; here it is {OF_OTHERS[args[0]]}.")
        return super().resolve_command(ctx, args)

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
    epilog="Begin with `warden up`, then `warden run`.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def of_all(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True,
                                                 callback=models.show_version)] = False) -> None:
    """The options that stand before a command."""


app.command()(init.init)
app.command()(stack.up)
app.command()(stack.down)
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)(stack.ctl)
app.command()(ps.ps)
app.command()(top.top)
app.command()(logs.logs)
app.command()(pull.pull)
app.command()(pull.cp)
app.command()(pull.rm)
app.command()(lifecycle.load)
app.command()(lifecycle.unload)
app.command()(lifecycle.pin)
app.command()(lifecycle.unpin)
app.command()(models.ls)
app.command()(clients.clients)
app.command()(check.check)
app.command()(doctor.doctor)
app.command()(fits.fits)
app.command()(run.run)
app.command()(answers.ask)
app.command()(batch.batch)
app.command()(route.route)
app.add_typer(keys.app, name="key")
app.add_typer(service.app, name="service")
app.command()(models.version)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code (see exits.py), 130 after Ctrl-C. Entry point of `warden`."""
    try:
        app(args=arguments, prog_name="warden", standalone_mode=True)
    except CommandFailed as failed:
        print(failed, file=sys.stderr)
        return failed.code
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
