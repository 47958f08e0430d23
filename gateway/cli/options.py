"""What several commands take: declared once, so that it means the same everywhere. Nothing heavy is imported here."""

from typing import Annotated

import typer

KEY_MAX_CHARS = 256  # of the client protocol


def check_key(given: str) -> str:
    """Raises: typer.BadParameter, which never quotes what was given."""
    if len(given) > KEY_MAX_CHARS or not (given.isascii() and given.isprintable()):
        raise typer.BadParameter("this is no API key: ours are one line like warden-0123...")
    return given


Key = Annotated[str, typer.Option(
    metavar="KEY", envvar="WARDEN_KEY", show_default=False, callback=check_key,
    help="API key to ask with. Better in the variable: other users can read command lines.")]
