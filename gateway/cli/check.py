"""`warden check`: what a configuration says, whether it can work on this machine, and what in it is hardly meant.

Exit code 0: the file is right, whatever is warned of. 2: it is wrong, and one line on stderr says file, line, key and
remedy. Nothing is started and nothing written; weights are looked for and measured by their headers, not opened.
"""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from gateway.cli.options import Json, print_json

if TYPE_CHECKING:
    from control.budget import Ceiling
    from control.config import Config
    from gateway.cli.check_budget import Need
    from gateway.cli.doctor_finding import Finding


class Checked(NamedTuple):
    """A configuration about which nothing is wrong, and what was found out about it."""

    config: "Config"
    keys: int
    needs: "tuple[Need, ...]"
    ceiling: "Ceiling"
    findings: "list[Finding]"


def check(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]", help="A file to check in place of the one in use.")] = "",
    example: Annotated[
        bool, typer.Option("--example", help="Print every setting with its default and meaning, to begin a file with.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the configuration and start nothing."""
    if example:
        from control.example_config import example_toml

        print(example_toml(), end="")
        return
    checked = read_checked(config)
    if as_json:
        print_json(describe(checked))
        return
    print_checked(checked)


def read_checked(file: str) -> Checked:
    """Raises: CommandFailed, exit code 2, with the first thing that is wrong."""
    from gateway.cli.check_budget import judge, read_ceiling, read_needs
    from gateway.cli.check_suspicious import suspicious
    from gateway.cli.settings import read_config, read_home, refuse_open_without_keys

    config, home = read_config(file), read_home()
    refuse_open_without_keys(config, home)
    keys, ceiling, needs = count_keys(), read_ceiling(config), read_needs(config, home)
    findings = [*suspicious(config, keys), *judge(needs, ceiling.bytes, ceiling.why)]
    # What this machine has no memory for is still a right file.
    mild = [finding._replace(level="warning") if finding.level == "problem" else finding for finding in findings]
    return Checked(config, keys, needs, ceiling, mild)


def count_keys() -> int:
    """Raises: CommandFailed if the file of keys is damaged or open to others."""
    from gateway import key_file
    from gateway.cli.exits import USAGE, CommandFailed
    from gateway.cli.settings import read_home
    from gateway.keys import KeysRefused

    try:
        return len(key_file.read_keys(key_file.key_path(read_home())))
    except KeysRefused as refused:
        raise CommandFailed(str(refused), USAGE) from None


def print_checked(checked: Checked) -> None:
    from gateway.cli.doctor_text import finding_lines, how_it_looks, wrapped
    from gateway.cli.settings import http_url
    from gateway.cli.text_table import print_table, terminal_width

    config = checked.config
    print(f"ok: {config.source}")
    print()
    reach = "for other machines too" if config.is_reachable else "for this machine only"
    lines = [f"http: {http_url(config.host, config.port)}, {reach}; {_keys(config, checked.keys)}",
             f"limits: {config.max_running} running, {config.max_queued} queued for at most "
             f"{config.queue_deadline_s:g} s; {_rate(config)}"]
    lines += [f"relays: {', '.join(f'{name} at {_url(config, name)}' for name in config.relays)}"] * bool(config.relays)
    lines += [f"categories: {', '.join(f'{name} -> {model}' for name, model in config.categories.items())}"] * bool(
        config.categories)
    width = terminal_width()
    for line in lines:
        print(wrapped(line, width))
    print()
    print_table(["MODEL", "NEEDS", "LOADED", "FOR", "ALIASES"], _rows(checked))
    print()
    for finding in checked.findings:
        print("\n".join(finding_lines(finding, how_it_looks())))


def _rows(checked: Checked) -> list[list[str]]:
    from control.budget import size

    config, rows = checked.config, []
    for model, need in zip(config.models, checked.needs, strict=True):
        kept = {"pinned": "pinned", "preload": "at start"}.get(need.kept, "when asked")
        name = f"{model.name} (default)" if model is config.default else model.name
        audience = "agents" if model.audience == "agents" else "all"
        rows.append([name, size(need.least_bytes) if need.least_bytes else "-", kept, audience,
                     ", ".join(model.aliases) or "-"])
    return rows


def _keys(config: "Config", keys: int) -> str:
    have = f"{keys or 'no'} key{'' if keys == 1 else 's'}"
    return f"every caller needs a key ({have})" if config.needs_key else f"no key is needed ({have})"


def _rate(config: "Config") -> str:
    if not config.rate_limit_max:
        return "any number of requests for each caller"
    return f"{config.rate_limit_max} requests in {config.rate_limit_window_s:g} s for each caller"


def _url(config: "Config", backend: str) -> str:
    return getattr(config, f"{backend}_url")


def describe(checked: Checked) -> dict:
    """The same for programs: plain values."""
    config = checked.config
    return {
        "source": config.source, "host": config.host, "port": config.port, "reachable": config.is_reachable,
        "needs_key": config.needs_key, "keys": checked.keys, "max_running": config.max_running,
        "max_queued": config.max_queued, "queue_deadline_s": config.queue_deadline_s,
        "rate_limit_max": config.rate_limit_max, "rate_limit_window_s": config.rate_limit_window_s,
        "relays": {name: _url(config, name) for name in config.relays}, "categories": dict(config.categories),
        "models": [{"name": model.name, "slug": model.slug, "engine": model.engine, "path": model.path,
                    "aliases": list(model.aliases), "audience": model.audience, "default": model is config.default,
                    "preload": model.preload, "pinned": model.pinned, "least_bytes": need.least_bytes}
                   for model, need in zip(config.models, checked.needs, strict=True)],
        "ceiling_bytes": checked.ceiling.bytes, "ceiling_why": checked.ceiling.why,
        "findings": [finding._asdict() for finding in checked.findings],
    }
