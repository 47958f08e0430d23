"""What `warden up` must know about a stack that runs already: where it listens, and what would be different today.

The rendered supervisor.conf is the witness, because it is what supervisord was started with; today's configuration says
only what the next start would give. Differences are named by section and key, and never with their values: one of them
is the password. Values in, values out, but for `read_rendered`.
"""

import configparser
from pathlib import Path

from control.supervisord import ProcessFact
from gateway.cli.exits import CommandFailed

NAMED_MAX = 4


class Rendered:
    """A rendered configuration. Raises ValueError if it does not say where http listens and with which password."""

    def __init__(self, text: str) -> None:
        self.sections = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
        try:
            self.sections.read_string(text)
            self.password = self.sections["unix_http_server"]["password"]
            self.host, _, port = self.sections["fcgi-program:http"]["socket"].removeprefix("tcp://").rpartition(":")
            self.port = int(port)
        except (KeyError, ValueError, configparser.Error):  # whose texts may quote the line with the password
            raise ValueError("is not what `warden up` writes") from None


def read_rendered(path: Path) -> Rendered:
    """What stands in `path`.

    Raises:
        CommandFailed: it cannot be read, or is none.
    """
    try:
        return Rendered(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except ValueError as error:
        problem = str(error)
    raise CommandFailed(f"{path}: {problem}; run `warden down`, then `warden up`")


def choose_differences(running: Rendered, today: Rendered) -> list[str]:
    """The places, `[section] key`, in which the two are not the same; at most NAMED_MAX, and how many more."""
    before, after = _settings(running), _settings(today)
    places = [f"[{section}] {key}" for section, key in before | after
              if before.get((section, key)) != after.get((section, key))]
    more = [f"{len(places) - NAMED_MAX} more"] if len(places) > NAMED_MAX else []
    return places[:NAMED_MAX] + more


def choose_remedy(facts: dict[str, ProcessFact]) -> str:
    """What brings back a stack that is not whole. Workers do not count: only control starts them."""
    stopped = [name for name, fact in facts.items() if not fact.pid and not name.startswith("worker-")]
    return f"run `warden ctl start {' '.join(stopped)}`" if stopped else "`warden ctl status` shows more"


def _settings(rendered: Rendered) -> dict[tuple[str, str], str]:
    return {(name, key): value for name, section in rendered.sections.items() for key, value in section.items()}
