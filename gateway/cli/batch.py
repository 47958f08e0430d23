"""`warden batch`: a file of requests, answered in class MEDIUM, and resumable: what is answered is not asked again.

The whole file is checked first, and so are the names of its models; then at most `--concurrency` requests are on their
way. Answers are appended to the output as they come (`batch_output`), so Ctrl-C and a kill cost only what was on its
way. What the gateway refuses for want of room is asked again when it says. What happens meanwhile goes to stderr: a bar
on a terminal, else a line now and then. `--json`: in the end one object with the numbers. Exit codes: see `exits`.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.completion import complete_model
from gateway.cli.exits import FAILED, INTERRUPTED, USAGE, CommandFailed
from gateway.cli.options import Json, Key, print_json

if TYPE_CHECKING:
    from gateway.cli.batch_input import Item
    from gateway.cli.batch_output import Output
    from gateway.client import BlockingClient, Outcome, Tally

STREAM = "-"
INPUT_MAX_BYTES = 512 * 1024 * 1024
CONCURRENCY = 8
CONCURRENCY_MAX = 256
FILE_HELP = ("One JSON object per line: prompt or messages; model, category, system, max_tokens, temperature and the "
             "like; id. -: stdin.")
OUT_HELP = ("Where answers are appended as they come, one JSON object per line. By default beside the input, as "
            "NAME.answers.jsonl; -: stdout.")


def batch(
    file: Annotated[str, typer.Argument(metavar="FILE.jsonl", help=FILE_HELP)],
    out: Annotated[str, typer.Option(metavar="FILE", help=OUT_HELP)] = "",
    concurrency: Annotated[int, typer.Option(min=1, max=CONCURRENCY_MAX, help="Requests on their way at a time.")
                           ] = CONCURRENCY,
    model: Annotated[str, typer.Option(help="For lines that name neither model nor category.",
                                       autocompletion=complete_model)] = "",
    priority: Annotated[Literal["medium", "low"], typer.Option(help="low: after everything else.")] = "medium",
    as_json: Json = False,
    key: Key = "",
) -> None:
    """Answer every request of a file. Run it again to go on after an interruption."""
    from gateway.cli.batch_input import LineRefused, read_items
    from gateway.cli.connection import connected
    from gateway.cli.settings import read_home

    target = out or choose_out(file)
    if as_json and target == STREAM:
        raise CommandFailed("--json: the answers go to stdout, as JSON lines already; name a file with --out for them",
                            USAGE)
    try:
        items = read_items(read_lines(file), "stdin" if file == STREAM else file, model)
    except LineRefused as refused:
        raise CommandFailed(str(refused), USAGE) from None
    with connected(read_home(), key=key) as client:
        refuse_unknown_models(client, items, "stdin" if file == STREAM else file)
        with opened_output(file, target) as output:
            left = [item for item in items if (item.key, item.hash) not in output.answered]
            if len(left) < len(items):
                note(f"{len(items) - len(left)} of {len(items)} are answered already in {target}")
            failed = run(client, left, output, concurrency, priority) if left else 0
    where = "" if target == STREAM else f" in {target}"
    if as_json:
        print_json({"requests": len(items), "answered": len(items) - failed, "failed": failed, "out": target})
    note(f"{len(items) - failed} of {len(items)} answered{where}")
    if failed:
        raise CommandFailed(f"{failed} failed; the same command again asks only these", FAILED)


def choose_out(file: str) -> str:
    """Beside the input; a pipe's answers go to the next pipe."""
    path = Path(file)
    return STREAM if file == STREAM else str(path.with_name(f"{path.name.removesuffix('.jsonl')}.answers.jsonl"))


def read_lines(file: str) -> list[bytes]:
    """Raises: CommandFailed."""
    try:
        if file == STREAM:
            data = sys.stdin.buffer.read(INPUT_MAX_BYTES + 1)
        else:
            with open(file, "rb") as stream:
                data = stream.read(INPUT_MAX_BYTES + 1)
    except OSError as problem:
        raise CommandFailed(f"{file}: cannot be read ({problem.strerror}); correct the path", USAGE) from None
    if len(data) > INPUT_MAX_BYTES:
        raise CommandFailed(f"{file}: is larger than {INPUT_MAX_BYTES} bytes; split it", USAGE)
    return data.split(b"\n")


def refuse_unknown_models(client: "BlockingClient", items: "Sequence[Item]", name: str) -> None:
    """Raises: CommandFailed, with the line whose model is not there or not for this caller."""
    from gateway.cli.batch_input import first_of_each_model
    from gateway.cli.connection import is_callers_fault
    from gateway.client import GatewayError

    for item in first_of_each_model(items):
        try:
            client.route(**item.fields, kind="batch")
        except GatewayError as error:
            if error.code == "unauthorized" or not is_callers_fault(error.code):
                raise
            raise CommandFailed(f"{name}:{item.line}: {error.message}", USAGE) from None


@contextmanager
def opened_output(file: str, target: str) -> "Iterator[Output]":
    """Raises: CommandFailed."""
    from gateway.cli.batch_output import StreamOutput, opened

    if target == STREAM:
        yield StreamOutput(sys.stdout.buffer)
        return
    path = Path(target)
    if file != STREAM and path.exists() and path.samefile(file):
        raise CommandFailed(f"--out: {target} is the input itself; choose another", USAGE)
    with opened(path) as output:
        yield output


def run(client: "BlockingClient", items: "Sequence[Item]", output: "Output", concurrency: int, priority: str) -> int:
    """Ask all of `items`; returns how many failed. Raises: CommandFailed, typer.Exit after Ctrl-C."""
    from gateway.cli.batch_progress import shown

    answered = 0
    with shown(len(items), sys.stderr, answers_on_terminal=_on_terminal(output)) as show:
        def on_progress(tally: "Tally", outcome: "Outcome | None") -> None:
            nonlocal answered
            if outcome is not None and outcome.error is None:
                output.write(items[outcome.index], outcome)
                answered = tally.answered
            elif outcome is not None and outcome.asked:
                show.line(f"{items[outcome.index].called}: {outcome.error.message}")
            show.update(tally)

        try:
            outcomes = client.submit_many([item.fields for item in items], concurrency=concurrency, kind="batch",
                                          priority=priority, on_progress=on_progress)
        except KeyboardInterrupt:
            show.line(f"stopped: {answered} of {len(items)} answered; the same command again goes on")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise CommandFailed("nobody reads the answers any more") from None
        except OSError as problem:
            raise CommandFailed(f"an answer cannot be written ({problem.strerror}); make room, then run the same "
                                "command again") from None
    return sum(outcome.error is not None for outcome in outcomes)


def _on_terminal(output: "Output") -> bool:
    from gateway.cli.batch_output import StreamOutput

    return isinstance(output, StreamOutput) and sys.stdout.isatty()


def note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
