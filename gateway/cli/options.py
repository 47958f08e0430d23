"""What several commands take and how they print JSON: declared once, so that it means the same everywhere.

Nothing heavy is imported here.
"""

from typing import Annotated

import typer

from gateway.cli.completion import complete_model

KEY_MAX_CHARS = 256  # of the client protocol


def check_key(given: str) -> str:
    """Raises: typer.BadParameter, which never quotes what was given."""
    if len(given) > KEY_MAX_CHARS or not (given.isascii() and given.isprintable()):
        raise typer.BadParameter("this is no API key: ours are one line like warden-0123...")
    return given


Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output, and nothing else there.")]
Key = Annotated[str, typer.Option(
    metavar="KEY", envvar="WARDEN_KEY", show_default=False, callback=check_key,
    help="API key to ask with. Better in the variable: other users can read command lines.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name or alias.", autocompletion=complete_model)]
ModelOption = Annotated[str, typer.Option(help="Name or alias. Default: the default model.", show_default=False,
                                          autocompletion=complete_model)]


def print_json(value: object) -> None:
    """One value, indented. Text that a terminal would obey is escaped."""
    import json

    print(json.dumps(value, indent=2))
