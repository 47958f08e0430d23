"""What the benches' command lines have in common: how targets are named, and how a wrong option is refused (one line).

A key for another server never stands on the command line, where every user of the machine can read it: the option
names the environment variable that holds it. Refused: two targets with one name, a URL that is not http(s) or has a
password in it (the report repeats it), a name that a target of the bench itself has.
"""

import argparse
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import NoReturn
from urllib.parse import urlsplit

from bench.dialects import DIALECT_NAMES
from bench.load import Target
from bench.machine import machine_name
from bench.ref_batch import NAME as BARE
from bench.ref_server import NAME as REFERENCE_SERVER

SEED_DEFAULT = 1
ROUNDS_DEFAULT = 3
ROUNDS_MAX = 99
NAME_MAX_CHARS = 24  # it heads a column of the report
OURS = ("warden", "warden-zmq", BARE, REFERENCE_SERVER)


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line, and help texts that keep their examples as they are written."""

    def __init__(self, bench: str, description: str, examples: str) -> None:
        super().__init__(prog=f"python -m bench {bench}", description=description, epilog=examples, allow_abbrev=False,
                         formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help shows all options)\n")


def add_run_options(parser: Parser) -> None:
    """--seed, --rounds, and those of `add_output_options`."""
    parser.add_argument("--seed", type=int, default=SEED_DEFAULT, help="of prompts and arrivals (%(default)s)")
    parser.add_argument("--rounds", type=whole(1, ROUNDS_MAX), default=ROUNDS_DEFAULT,
                        help="each target is measured that often, in turn; figures are medians (%(default)s)")
    add_output_options(parser)


def add_output_options(parser: Parser) -> None:
    """--json and --save, for `report.choose_path`."""
    parser.add_argument("--json", metavar="PATH", default="", help="where to write all figures "
                        "(default: bench-NAME-TIME.json in the current directory)")
    add_save_option(parser)


def add_save_option(parser: Parser) -> None:
    """--save: None if it is not given."""
    parser.add_argument("--save", nargs="?", metavar="MACHINE", type=machine_folder, const=machine_name(),
                        help="write all figures, a page and plots into bench/results/MACHINE instead, in place of "
                        "what this bench left there (default name: %(const)s)")


def machine_folder(text: str) -> str:
    """An argparse type: a name for a folder, that a URL and a shell take as it is."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,39}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name such as linux-2core: lower case letters, digits, - .")
    return text


def add_target_options(parser: Parser) -> None:
    """--url, --against, --dialect-of, --model-of, --key-of; see `read_targets`."""
    parser.add_argument("--url", default="", help="measure this running stack instead of starting one")
    parser.add_argument("--against", action="append", default=[], metavar="NAME=URL",
                        help="measure this OpenAI- or Ollama-compatible server too, in turn with ours; repeatable")
    parser.add_argument("--dialect-of", action="append", default=[], metavar="NAME=DIALECT",
                        help=f"how a target is asked: {' or '.join(DIALECT_NAMES)} (default: as it lists its models; "
                        "openai, if it speaks both)")
    parser.add_argument("--model-of", action="append", default=[], metavar="NAME=MODEL",
                        help="the model to ask of a target (default: the first that it lists)")
    parser.add_argument("--key-of", action="append", default=[], metavar="NAME=VARIABLE",
                        help="environment variable that holds the API key of a target")


def read_targets(parser: Parser, options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> list[Target]:
    """The HTTP targets named by --url (as "warden") and --against, in that order. Wrong ones end in `parser.error`."""
    urls = ([("warden", options.url)] if options.url else []) + _pairs(parser, "--against", options.against)
    names = [name for name, _ in urls]
    if len(set(names)) < len(names) or set(OURS) & set(names[bool(options.url):]):
        parser.error(f"--against: each target needs a name of its own, and {', '.join(OURS)} are taken")
    models = dict(_pairs(parser, "--model-of", options.model_of))
    variables = dict(_pairs(parser, "--key-of", options.key_of))
    dialects = dict(_pairs(parser, "--dialect-of", options.dialect_of))
    for name, dialect in dialects.items():
        if dialect not in DIALECT_NAMES:
            parser.error(f"--dialect-of {name}={dialect}: there are {' and '.join(DIALECT_NAMES)}")
    for name in (*models, *variables, *dialects):
        if name not in names:
            parser.error(f"there is no target {name!r}; name one by --against {name}=URL" + (
                "" if options.url else ", or the stack by --url (it is then called warden)"))
    return [Target(name, DIALECT_NAMES.get(dialects.get(name, ""), ""), _base_url(parser, url), models.get(name, ""),
                   _headers(parser, variables.get(name, ""), environ)) for name, url in urls]


def _pairs(parser: Parser, option: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value or len(name) > NAME_MAX_CHARS:
            parser.error(f"{option}: {text!r} is not NAME=..., with a name of at most {NAME_MAX_CHARS} characters")
        pairs.append((name, value))
    return pairs


def _base_url(parser: Parser, url: str) -> str:
    """Without a slash, /v1 or /api at its end."""
    try:
        parts = urlsplit(url)
        whole_url = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc \
            and (parts.port or 1) > 0
    except ValueError:
        whole_url = False
    if not whole_url:
        parser.error(f"{url!r} is not a URL such as http://127.0.0.1:8080 (keys go by --key-of)")
    return url.rstrip("/").removesuffix("/v1").removesuffix("/api")


def _headers(parser: Parser, variable: str, environ: Mapping[str, str]) -> dict[str, str]:
    if not variable:
        return {}
    if not environ.get(variable):
        parser.error(f"--key-of: the environment variable {variable} is not set")
    return {"Authorization": f"Bearer {environ[variable]}"}


def whole(low: int, high: int):
    """An argparse type: a whole number from `low` to `high`."""
    return _within(int, "a whole number", low, high)


def number(low: float, high: float):
    """An argparse type: a number from `low` to `high`."""
    return _within(float, "a number", low, high)


def _within(kind: type, what: str, low: float, high: float):
    def read(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {low:g} to {high:g}")
        return value
    return read


def command_line(bench: str, arguments: Sequence[str]) -> str:
    """What to type to measure the same again."""
    return shlex.join(["python", "-m", "bench", bench, *arguments])
