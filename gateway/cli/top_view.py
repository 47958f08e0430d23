"""What `warden top` draws: from the overview, the last minute, the decisions and a size to lines of text.

From top to bottom: who warns of what, memory and its shares, the queue by class, tokens per second, models and relays,
the selected one in full, decisions. Where lines are few the rows scroll around the selected one and decisions are
fewer; where columns are few the table has fewer of them, and the selected one's facts stand below it. Values in, lines
out: the time and the size are arguments.
"""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

from control.decisions import EVICTION, LOAD, MEMORY, ORDER, REFUSAL, ROUTE, TROUBLE, Decision
from control.overview import CLASSES, size_text
from gateway.cli.ps_lines import TOGETHER, facts_of, in_flight, joined
from gateway.cli.text_table import printable
from gateway.cli.top_bars import Marks, memory_bar, share_bar
from gateway.cli.top_history import TOTAL, History, sparkline
from gateway.cli.watch import STYLES

KINDS = {EVICTION: "magenta", LOAD: "green", REFUSAL: "yellow", TROUBLE: "red", ROUTE: "cyan", ORDER: "blue",
         MEMORY: "yellow"}
SHARE_STYLES = ("cyan", "magenta", "blue", "green", "yellow", "red")
LABEL_COLUMNS, BAR_MIN_COLUMNS, BAR_MAX_COLUMNS = 9, 8, 40
SPARK_COLUMNS, REASON_MIN_COLUMNS = 10, 16
FOLD_MIN_COLUMNS = 8  # narrower, and the terminal cuts it
LOW_LINES, NARROW_COLUMNS = 20, 60  # fewer than these are few
REMARK_LINES, DETAIL_LINES, DECISION_LINES, ROWS_MIN = 3, 3, 4, 3
HELP = (("q, Ctrl-C", "end"), ("up, down, k, j", "select a model or relay"), ("p", "pause, go on"),
        ("?", "this, and back"),
        ("", ""), ("RUN", "answers in flight"), ("WAIT", "requests queued for it"),
        ("TOK/S", "tokens per second now, and its last minute"), ("MEMORY/SHARE", "what it has, of what it may take"),
        ("UNTIL", "how long it stays loaded if nothing asks for it"))


class Told(NamedTuple):
    """A decision, and its time for people."""

    at: str
    decision: Decision


class View(NamedTuple):
    """All that a frame depends on. `seen` None: nothing runs, for the reason `why`. `thresholds`: percents of used
    memory at which the pressure changes. `selected`: a name."""

    seen: dict | None
    why: str
    history: History
    decisions: Sequence[Told]
    thresholds: tuple[float, ...]
    clock: str
    columns: int
    lines: int
    marks: Marks
    selected: str = ""
    paused: bool = False
    help: bool = False


def draw(view: View) -> list[Text]:
    """At most `view.lines` lines."""
    title = _title(view)
    if view.help:
        width = max(len(key) for key, _ in HELP) + 2
        return [title, Text(), *(Text.assemble((key.ljust(width), "bold"), text) for key, text in HELP)][:view.lines]
    if view.seen is None:
        lines = [title, *_folded("! ", printable(view.why), view.columns, REMARK_LINES, "bold yellow")]
        return [*lines, *_decisions(view, view.lines - len(lines))][:view.lines]
    lines = [title]
    for remark in view.seen["remarks"]:
        lines += _folded("! ", printable(remark), view.columns, REMARK_LINES, "bold yellow")
    lines += [*_memory(view), *_queue(view), _tokens(view)]
    lines += [Text()] * (view.lines >= LOW_LINES)
    left = view.lines - len(lines)
    rows = _rows(view)
    details = _details(view, min(DETAIL_LINES, left - len(rows) - DECISION_LINES))
    room = max(ROWS_MIN, left - 1 - len(details) - (DECISION_LINES if view.decisions else 0))
    lines += [*rows[:1], *_window(rows[1:], _position(view), room), *details]
    return [*lines, *_decisions(view, view.lines - len(lines))][:view.lines]


def everybody(seen: dict | None) -> list[dict]:
    return [*seen["models"], *seen["relays"]] if seen else []


def _title(view: View) -> Text:
    ready = sum(line["state"] == "ready" for line in view.seen["models"]) if view.seen else 0
    count = len(view.seen["models"]) if view.seen else 0
    left = Text.assemble(("mlx-warden", "bold"), f"  {ready} of {count} models ready" if view.seen else "")
    right = f"{'PAUSED  ' if view.paused else ''}{view.clock}  ? help  q end"
    gap = view.columns - left.cell_len - len(right)
    if gap < 1:
        left, right = Text("mlx-warden", style="bold"), f"{'PAUSED ' if view.paused else ''}{view.clock}  ? q"
        gap = max(1, view.columns - left.cell_len - len(right))
    return left + Text(" " * gap) + Text(right, style="reverse" if view.paused else "dim")


def _folded(first: str, text: str, columns: int, most: int, style: str) -> list[Text]:
    width = max(len(first) + FOLD_MIN_COLUMNS, columns)
    lines = textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * len(first), max_lines=most,
                          placeholder=" ...", break_on_hyphens=False)
    return [Text(line.replace(TOGETHER, " "), style=style) for line in lines]


def _label(word: str) -> Text:
    return Text(word.ljust(LABEL_COLUMNS), style="bold")


def _memory(view: View) -> list[Text]:
    memory = view.seen["memory"]
    if memory is None:
        return [_label("Memory") + Text("not known: control is silent", style="yellow")]
    used = memory["used_percent"]
    told = Text(f" {used:.1f} % of {size_text(memory['total_bytes'])}" if used is not None else " not read yet")
    told.append(f", {memory['level']}", "green" if memory["level"] == "normal" else "bold red")
    limits = f" ({', '.join(f'{percent:g}' for percent in view.thresholds)})" if view.thresholds else ""
    room = view.columns - LABEL_COLUMNS - told.cell_len
    if room - len(limits) >= BAR_MIN_COLUMNS:
        told.append(limits, "dim")
        room -= len(limits)
    columns = max(BAR_MIN_COLUMNS, min(BAR_MAX_COLUMNS, room))
    first = _label("Memory") + memory_bar(used or 0.0, memory["level"], view.thresholds, columns, view.marks) + told
    loaded = [(line["share_bytes"], SHARE_STYLES[number % len(SHARE_STYLES)], number)
              for number, line in enumerate(view.seen["models"])]
    second = _label("Shares") + share_bar(loaded, memory["ceiling_bytes"], columns, view.marks)
    given = size_text(memory["reserved_bytes"]) if memory["reserved_bytes"] else "0"
    second.append(f" {given} of {size_text(memory['ceiling_bytes'])} given out")
    if memory["leaked_bytes"]:
        second.append(f", {size_text(memory['leaked_bytes'])} lost", "red")
    return [first, second]


def _queue(view: View) -> list[Text]:
    queue = view.seen["queue"]
    if queue is None:
        return [_label("Queue") + Text("not known: the gateway is silent", style="yellow")]
    lines = []
    for word, what in (("Running", "running"), ("Waiting", "queued")):
        counts = [(name, queue[what][name]) for name in CLASSES] + [("relays", queue[f"relay_{what}"])]
        if view.columns < NARROW_COLUMNS or view.lines < LOW_LINES:
            lines.append(f"{word} " + "/".join(str(count) for _, count in counts))
        else:
            lines.append(_label(word) + Text("  ").join(
                Text(f"{name} {count:>3}", style="" if count else "dim") for name, count in counts))
    if isinstance(lines[0], str):
        names = " (high/medium/low/relays)"
        text = "  ".join(lines)
        return [Text(text + names if len(text + names) <= view.columns else text)]
    return lines


def _tokens(view: View) -> Text:
    values = view.history.of(TOTAL)
    number = f"{values[-1]:.0f}" if values else "-"
    columns = min(60, view.columns - LABEL_COLUMNS - len(number) - 1)
    return _label("Tokens/s") + Text(f"{number} ") + Text(sparkline(values, columns, view.marks.spark), style="green")


# -- models and relays ---------------------------------------------------------------------------------------


def _position(view: View) -> int:
    names = [line["name"] for line in everybody(view.seen)]
    return names.index(view.selected) if view.selected in names else 0


def _rows(view: View) -> list[Text]:
    """The header and a row for each, with those columns that have room; the last takes what is left."""
    lines = everybody(view.seen)
    cells = [_cells(line, view) for line in lines]
    head = ("MODEL", "STATE", "RUN", "WAIT", "TOK/S", "LAST MINUTE", "MEMORY/SHARE", "UNTIL")
    widths = [max(map(len, column)) + 2 for column in zip(head, *cells, strict=True)]
    kept = list(range(len(head)))
    for spare in (5, 6, 7, 3, 2):
        if sum(widths[number] for number in kept) + 2 > view.columns:
            kept.remove(spare)
    left = view.columns - sum(widths[number] for number in kept) - 2
    reason = left >= REASON_MIN_COLUMNS
    first = "  " + "".join(head[number].ljust(widths[number]) for number in kept) + "REASON" * reason
    rows = [Text(first.rstrip(), style="bold")]
    for number, (line, each) in enumerate(zip(lines, cells, strict=True)):
        chosen = line["name"] == view.selected
        row = Text(view.marks.chosen if chosen else " ")
        is_model = number < len(view.seen["models"]) and line["share_bytes"]
        row.append(view.marks.share(number) if is_model else " ", SHARE_STYLES[number % len(SHARE_STYLES)])
        for column in kept:
            row.append(each[column].ljust(widths[column]), _style(column, each[column]))
        if reason:
            row.append(printable(line["reason"]), "dim")
        row.truncate(max(1, view.columns), overflow="ellipsis")
        if chosen:
            row.stylize("bold")
        rows.append(row)
    return rows


def _style(column: int, text: str) -> str:
    if column == 1:
        return STYLES.get(text.split()[0], "dim")
    return "green" if column == 5 else ""


def _cells(line: dict, view: View) -> tuple[str, ...]:
    sizes = [size_text(line.get(name, 0)) for name in ("memory_bytes", "share_bytes")]
    if sizes[0][-3:] == sizes[1][-3:]:
        sizes[0] = sizes[0].partition(" ")[0]  # one unit is enough
    state = line["state"]
    if line.get("breaker", "closed") not in ("closed", ""):
        state = f"{state} ({line['breaker'].replace('_', '-')})"
    if line.get("load_percent") is not None:
        state = f"{state} {line['load_percent']:.0f} %"
    rate = f"{line['tokens_per_s']:.0f}" if line["tokens_per_s"] else "-"
    values = view.history.of(line["name"])
    spark = sparkline(values, SPARK_COLUMNS, view.marks.spark) if any(values) else ""
    counts = [in_flight(line), "-" if line["queued"] is None else str(line["queued"])]
    return line["name"], state, *counts, rate, spark, "/".join(sizes) if sizes != ["-", "-"] else "-", line.get(
        "until", "-")


def _window(rows: list[Text], position: int, room: int) -> list[Text]:
    """So many of the rows, among them the selected one; the last says how many are not shown."""
    if len(rows) <= room:
        return rows
    first = max(0, min(position - room // 2, len(rows) - room + 1))
    shown = rows[first:first + room - 1]
    return [*shown, Text(f"  {len(rows) - len(shown)} more: up and down", style="dim")]


def _details(view: View, most: int) -> list[Text]:
    """The selected one in full, if that takes no more lines than `most`."""
    line = next((line for line in everybody(view.seen) if line["name"] == view.selected), None)
    if line is None or most < 1:
        return []
    text = "; ".join(filter(None, (printable(line["reason"]), joined(facts_of(line)))))
    return _folded("  ", f"{line['name']}: {text}", view.columns, most, "italic")


# -- decisions -----------------------------------------------------------------------------------------------


def _decisions(view: View, room: int) -> list[Text]:
    """The newest that fit, the newest last."""
    if room < 2 or not view.decisions:
        return []
    shown: list[Text] = []
    for at, decision in reversed(view.decisions):
        head = f"{at} {decision.kind.ljust(9)}" if view.columns >= NARROW_COLUMNS else f"{at} "
        if len(shown) >= room - 1:
            break
        texts = _folded(head, printable(decision.text), view.columns, room - 1 - len(shown), "")
        texts[0].stylize("dim", 0, len(at))
        texts[0].stylize(KINDS.get(decision.kind, ""), len(at) + 1, len(head))
        shown = [*texts, *shown]
    return [Text("Decisions", style="bold"), *shown] if shown else []
