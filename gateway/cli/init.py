"""`warden init`, and what `warden up` asks a person who has no configuration yet.

1. Looks at what is here (`init_facts`), works out a proposal (`proposal`) and shows it with the arithmetic.
2. Writes `$WARDEN_HOME/warden.toml` (0600) when a person says so, or with --yes. The text has been loaded as a
   configuration before it gets that name, and a file that is there is never written over.
3. `warden up` shows the short form and asks once, if somebody can answer; otherwise it says how to take the proposal.
   "never" is remembered in the home, so that nobody is asked every day; `warden init` goes on working.
Nothing is fetched, loaded or started here.
"""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from gateway.cli.options import Json, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from control.budget import Ceiling
    from control.config import Config
    from control.home import Home
    from gateway.cli.proposal import Proposal

NEVER_FILE = "init.never"
NEVER_TEXT = "Somebody answered never when `warden up` proposed a configuration. Remove this file to be asked again.\n"
COLUMNS_WITHOUT_TERMINAL = 100
TRIES_MAX = 3

Say = Callable[[str], None]


class Offered(NamedTuple):
    """What `up` goes on with. `ceiling`: of all models, None if nothing was looked at."""

    config: "Config"
    was_taken: bool = False
    is_open: bool = False  # there is a proposal, and nobody has taken it
    ceiling: "Ceiling | None" = None


def init(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write it without asking.")] = False,
    only_print: Annotated[bool, typer.Option("--print", help="Print the file and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Find the models of this machine and propose a configuration that fits its memory."""
    from control.config import BUILT_IN
    from gateway.cli.exits import USAGE, CommandFailed
    from gateway.cli.first_model import add_a_model, warden_as_called
    from gateway.cli.proposal_text import describe, full_lines
    from gateway.cli.proposal_toml import proposal_toml
    from gateway.cli.settings import read_config, read_home
    from gateway.cli.starting import is_running

    config, home, warden = read_config(), read_home(), warden_as_called(sys.argv[0])
    proposal = look_around(config, home)
    text = proposal_toml(proposal)
    if only_print:
        print(text, end="")
        return
    if not as_json:
        print("\n".join(full_lines(proposal, columns())))
        print()
    written = None
    if proposal.is_empty:
        lines = add_a_model(proposal.facts.ceiling, warden)
    else:
        if config.source != BUILT_IN and not as_json:
            raise CommandFailed(f"{config.source} is in use and is not written over; `{warden} init --print` prints "
                                "the proposal as a file", USAGE)
        path = home.root / "warden.toml"
        if config.source == BUILT_IN and (yes or not as_json and may_ask() and ask(f"Write {path}?", "Yn") == "y"):
            written = write_configuration(home, text)
        restart = f"{warden} down && {warden} up" if is_running(home) else f"{warden} up"
        lines = [f"To use this: {warden} init --yes && {restart}" if written is None else f"To use it: {restart}"]
    if as_json:
        print_json(describe(proposal) | {"toml": text, "written": str(written) if written else None})
    else:
        print("\n".join([*([f"written: {written}"] if written else []), *lines]))


def offer(config: "Config", home: "Home", say: Say) -> Offered:
    """What `warden up` does before it starts a home without a configuration: show, ask, write. Else nothing."""
    from control.config import BUILT_IN
    from gateway.cli.first_model import warden_as_called
    from gateway.cli.proposal_text import short_lines
    from gateway.cli.proposal_toml import proposal_toml
    from gateway.cli.settings import read_config
    from gateway.cli.starting import is_running

    if config.source != BUILT_IN or is_running(home) or (home.root / NEVER_FILE).exists():
        return Offered(config)
    proposal = look_around(config, home)
    ceiling = proposal.facts.ceiling
    if proposal.is_empty:
        found = short_lines(proposal, columns())
        for line in ("No model of yours was found that MLX can serve here:", *found) if found else ():
            say(line)
        return Offered(config, ceiling=ceiling)
    warden = warden_as_called(sys.argv[0])
    for line in ("No configuration yet. This machine has:", *short_lines(proposal, columns())):
        say(line)
    say(f"`{warden} init --print` shows the file, with the arithmetic and the reasons.")
    if not may_ask():
        return Offered(config, is_open=True, ceiling=ceiling)
    say(f"Yes writes {home.root / 'warden.toml'}, no starts the built-in model; never asks no more.")
    answer = ask("Use this?", "Yn", "never")
    if answer == "y":
        say(f"written: {write_configuration(home, proposal_toml(proposal))}")
        return Offered(read_config(), was_taken=True, ceiling=ceiling)
    if answer == "never":
        (home.root / NEVER_FILE).write_text(NEVER_TEXT, encoding="utf-8")
    return Offered(config, is_open=True, ceiling=ceiling)


def look_around(config: "Config", home: "Home") -> "Proposal":
    from gateway.cli.init_facts import gather_facts
    from gateway.cli.proposal import choose_proposal

    return choose_proposal(gather_facts(config, home, os.environ))


def write_configuration(home: "Home", text: str) -> "Path":
    """The path, once the whole file stands there.

    Raises:
        CommandFailed: a file is there already, it cannot be written, or it would be refused.
    """
    from pathlib import Path

    from control.config import ConfigError, load_config
    from control.home import HomeRefused, prepare_home
    from control.private_file import write_private
    from gateway.cli.exits import USAGE, CommandFailed

    path = home.root / "warden.toml"
    scratch = home.root / ".warden.toml.proposed"
    try:
        prepare_home(home)
        write_private(scratch, text.encode("utf-8"))
        load_config({**os.environ, "WARDEN_CONFIG": str(scratch)}, Path.cwd())
        os.link(scratch, path)  # fails where something is
    except FileExistsError:
        raise CommandFailed(f"{path} is there already and is not written over", USAGE) from None
    except (HomeRefused, ConfigError) as refused:
        raise CommandFailed(f"nothing was written: {refused}", USAGE) from None
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}") from None
    finally:
        scratch.unlink(missing_ok=True)
    return path


def may_ask() -> bool:
    """Is there a person who sees the question and can answer it?"""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(question: str, letters: str, *words: str) -> str:
    """One of the letters or words, in lower case; the letter in capitals for Enter. No end of input is a yes: "n".

    After TRIES_MAX answers that are none of them it is "n" too.
    """
    allowed = {letter.lower() for letter in letters} | set(words)
    default = next(letter.lower() for letter in letters if letter.isupper())
    for _ in range(TRIES_MAX):
        try:
            answer = input(f"{question} [{'/'.join((*letters, *words))}] ").strip().lower()
        except EOFError:
            print()
            return "n"
        answer = {"yes": "y", "no": "n", "": default}.get(answer, answer)
        if answer in allowed:
            return answer
        print(f"Please answer {', '.join(sorted(allowed))}.")
    return "n"


def columns() -> int:
    from gateway.cli.terminal_size import columns_of_output

    return columns_of_output() if sys.stdout.isatty() else COLUMNS_WITHOUT_TERMINAL
