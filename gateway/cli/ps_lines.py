"""The overview as lines for a terminal: two tables, or cards where tables are too wide. Values in, lines out."""

import textwrap

from control.overview import size_text
from gateway.cli.text_table import aligned, printable, widest

HEADER = ["NAME", "STATE", "PID", "MEM/SHARE", "CTX", "IN-FLIGHT", "QUEUED", "TOK/S", "UNTIL", "REASON"]
RELAY_HEADER = ["RELAY", "STATE", "BREAKER", "PID", "IN-FLIGHT", "QUEUED", "REASON"]
CARD_MIN_COLUMNS = 8
TOGETHER = "\u00a0"


def lines_of(seen: dict, width: int | None) -> list[str]:
    """The models and relays of an overview for a terminal of `width` columns (None: any), as cards where tables are too
    wide for it."""
    tables = [[HEADER, *(cells(line) for line in seen["models"])]]
    if seen["relays"]:
        tables.append([RELAY_HEADER, *(relay_cells(line) for line in seen["relays"])])
    if width is not None and any(widest(table) > width for table in tables):
        return [part for line in (*seen["models"], *seen["relays"]) for part in card(line, width)]
    return [line for table in tables for line in ("", *aligned(table, width))][1:]


def card(line: dict, width: int) -> list[str]:
    """A model or relay on a few narrow lines."""
    lines = [f"{line['name']}  {line['state']}"]
    for text in (joined(facts_of(line)), printable(line["reason"])):
        lines += textwrap.wrap(text, max(CARD_MIN_COLUMNS, width), initial_indent="  ", subsequent_indent="  ",
                               break_on_hyphens=False)
    return [each.replace(TOGETHER, " ") for each in lines]


def joined(facts: list[str]) -> str:
    """Facts as a list that breaks between them only; what keeps their words together is TOGETHER."""
    return ", ".join(fact.replace(" ", TOGETHER) for fact in facts)


def facts_of(line: dict) -> list[str]:
    """What is known of a model or relay besides its state and reason, each with its unit."""
    until, breaker = line.get("until", "-"), line.get("breaker", "")
    facts = [{"pinned": "pinned", "in use": "in use", "now": "may go now", "-": ""}.get(until, f"stays {until}")]
    facts.append(breaker and f"breaker {breaker.replace('_', '-')}")
    if line.get("memory_bytes") or line.get("share_bytes"):
        facts.append(f"{size_text(line['memory_bytes'])} of {size_text(line['share_bytes'])}")
    facts += [f"{in_flight(line)} in flight"] if line["in_flight"] is not None else []
    facts += [f"{line['queued']} queued"] if line["queued"] is not None else []
    facts.append(line["tokens_per_s"] and f"{line['tokens_per_s']:.0f} tok/s")
    for word, name in (("context", "context_length"), ("pid", "pid")):
        facts += [f"{word} {line[name]}"] if line.get(name) else []
    return list(filter(None, facts))


def cells(line: dict) -> list[str]:
    """One line of the table, in the order of HEADER."""
    sizes = "/".join(size_text(line[name]) for name in ("memory_bytes", "share_bytes"))
    numbers = [in_flight(line), _number(line["queued"])]
    rate = f"{line['tokens_per_s']:.0f}" if line["tokens_per_s"] else "-"
    return [line["name"], line["state"], str(line["pid"] or "-"), "-" if sizes == "-/-" else sizes,
            str(line["context_length"] or "-"), *numbers, rate, line["until"], line["reason"]]


def relay_cells(line: dict) -> list[str]:
    """One line of the table, in the order of RELAY_HEADER."""
    return [line["name"], line["state"], line["breaker"].replace("_", "-") or "-", str(line["pid"] or "-"),
            _number(line["in_flight"]), _number(line["queued"]), line["reason"]]


def in_flight(line: dict) -> str:
    """How many answers are under way, and how many of these are paused, if any."""
    paused = line.get("paused")
    return f"{line['in_flight']} ({paused} paused)" if paused else _number(line["in_flight"])


def _number(count: int | None) -> str:
    return "-" if count is None else str(count)
