"""A proposal as people read it in a terminal, and as values for `--json`. Pure.

`full_lines` is what `warden init` shows, with the arithmetic of each model; `short_lines` is what `warden up` shows
before it asks. Lines are wrapped at `width` columns, and nothing is cut.
"""

import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from control.budget import parts_of, size
from gateway.cli.proposal import CHATS, Chosen, Proposal, arithmetic, given, remarks_of

SHOWN_MAX = 3
CATEGORY_NOTES = {"coding": "for coding", "reasoning": "for reasoning", "fast": "the fast one"}
CAN_BE_MENDED = ("too big", "incomplete")  # how such reasons begin
INDENT = "  "
COLUMNS_MAX = 100


class Row(NamedTuple):
    """One model in the short form."""

    name: str
    needs: str
    note: str


def full_lines(proposal: Proposal, width: int) -> list[str]:
    """What was found, the arithmetic of each model, what is left out and why."""
    facts, lines = proposal.facts, []
    lines += ["Found on this machine:"]
    lines += [line for place, count in facts.places
              for line in _wrapped(f"{_counted(count, 'model') if count else 'nothing'} in the {place}", width)]
    lines += [line for text in _servers(proposal) for line in _wrapped(text, width)]
    budget = f"All models together may have {size(facts.ceiling.bytes)}: {facts.ceiling.why}."
    lines += ["", *_wrapped(budget, width, "")]
    for each in proposal.chosen:
        lines += ["", *_wrapped(f"{each.name}: {', '.join(_notes(proposal, each))}".removesuffix(": "), width, "")]
        lines += _wrapped(f"the default: {proposal.default_why}", width) if each is proposal.chosen[0] else []
        lines += _wrapped(f"{each.found.title}, {each.found.origin}", width)
        lines += _wrapped(f"for one answer of {each.least.row_tokens:,} tokens: {arithmetic(each.least)}", width)
        lines += _wrapped(f"with the whole budget: {given(each)}, for {size(each.alone.share_bytes)}", width)
        lines += [line for remark in remarks_of(each) for line in _wrapped(remark, width)]
    if proposal.chosen:
        lines += ["", *_wrapped(_together(proposal), width, ""), *_just_now(proposal, width)]
    if proposal.spare:
        names = ", ".join(each.name for each in proposal.spare)
        lines += _wrapped(f"Found too, and in the file with a # before it: {names}.", width, "")
    return [*lines, *_left_out(proposal, width)]


def short_lines(proposal: Proposal, width: int) -> list[str]:
    """The models with what each needs, the servers, and how many were left out."""
    rows = [Row(each.name, size(each.least.share_bytes), ", ".join(_notes(proposal, each))) for each in proposal.chosen]
    first, second = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    lines = [f"{INDENT}{row.name:<{first}}  {row.needs:>{second}}  {row.note}".rstrip() for row in rows]
    lines += [line for text in _servers(proposal) for line in _wrapped(text, width)]
    if proposal.is_empty:
        return lines + _left_out_briefly(proposal, width)
    lines += _wrapped(f"{size(proposal.facts.ceiling.bytes)} for all models together "
                      f"({proposal.facts.ceiling.why}); each is loaded when it is first asked", width)
    lines += _just_now(proposal, width)
    if proposal.spare:
        lines += _wrapped(f"{_counted(len(proposal.spare), 'more model')} in the file with a # before it", width)
    return lines + _left_out_briefly(proposal, width)


def describe(proposal: Proposal) -> dict:
    """Plain values for `--json`."""
    facts = proposal.facts
    return {
        "ceiling_bytes": facts.ceiling.bytes, "ceiling_why": facts.ceiling.why,
        "available_bytes": facts.available_bytes, "default_model": proposal.chosen[0].name if proposal.chosen else "",
        "default_why": proposal.default_why, "together": list(proposal.together), "categories": proposal.categories,
        "models": [_described(each) for each in proposal.chosen],
        "spare": [_described(each) for each in proposal.spare],
        "left_out": [left._asdict() for left in proposal.left_out],
        "ollama_url": proposal.ollama_url, "ollama": facts.ollama._asdict() if facts.ollama else None,
        "victoria_url": proposal.victoria_url,
        "places": [{"place": place, "models": count} for place, count in facts.places],
    }


def _described(chosen: Chosen) -> dict:
    found = chosen.found
    return {"name": chosen.name, "title": found.title, "aliases": list(chosen.aliases), "path": found.path,
            "origin": found.origin, "kind": found.kind, "bits": found.bits, "needs_bytes": chosen.least.share_bytes,
            "parts": [part._asdict() for part in parts_of(chosen.least)], "rows": chosen.alone.rows,
            "context_length": chosen.alone.context_length, "remarks": remarks_of(chosen)}


def _notes(proposal: Proposal, chosen: Chosen) -> list[str]:
    """What stands behind its name."""
    notes = ["default"] * (chosen is proposal.chosen[0]) + [chosen.found.kind] * (chosen.found.kind != CHATS)
    notes += [CATEGORY_NOTES[category] for category, name in proposal.categories.items() if name == chosen.name]
    return notes + [f"also {alias}" for alias in chosen.aliases if "/" not in alias]


def _servers(proposal: Proposal) -> Iterator[str]:
    ollama = proposal.facts.ollama
    if proposal.ollama_url:
        yield (f"Ollama {ollama.version} at {ollama.url} with {_counted(len(ollama.models), 'model')}: answers images, "
               "and simple work while MLX is busy")
    elif ollama:
        yield f"Ollama {ollama.version} at {ollama.url}, another machine: not used unless you say so in the file"
    if proposal.victoria_url:
        yield f"the Victoria agent at {proposal.victoria_url}"


def _together(proposal: Proposal) -> str:
    if len(proposal.together) == len(proposal.chosen):
        return "All of them can stay loaded at once." if len(proposal.chosen) > 1 else ""
    needs = {each.name: each.least.share_bytes for each in proposal.chosen}
    together = " + ".join(proposal.together)
    total = size(sum(needs[name] for name in proposal.together))
    return (f"All of them need {size(sum(needs.values()))} at once, so they take turns; {together} can stay loaded "
            f"together ({total})." if len(proposal.together) > 1 else
            f"All of them need {size(sum(needs.values()))} at once, so they take turns, one at a time.")


def _just_now(proposal: Proposal, width: int) -> list[str]:
    """What other programs use is no reason against a proposal, and one why the first answer may not come."""
    if proposal.is_empty:
        return []
    needs, available = proposal.chosen[0].least.share_bytes, proposal.facts.available_bytes
    text = f"just now other programs leave {size(available)}: {proposal.chosen[0].name} is loaded when they leave more"
    return _wrapped(text, width) if 0 < available < needs else []


def _left_out(proposal: Proposal, width: int) -> Iterator[str]:
    """One line for each reason, those that a person can do something about first."""
    by_reason: dict[str, list[str]] = {}
    for left in sorted(proposal.left_out, key=lambda left: not left.why.startswith(CAN_BE_MENDED)):
        by_reason.setdefault(left.why, []).append(left.title)
    if by_reason:
        yield from ("", "Left out:")
    for why, titles in by_reason.items():
        yield from _wrapped(f"{', '.join(titles)}: {why}", width)


def _left_out_briefly(proposal: Proposal, width: int) -> list[str]:
    """Names where something can be done about it, else how many."""
    parts, others = [], len(proposal.left_out)
    for reason in CAN_BE_MENDED:
        names = [left.title.rpartition("/")[2] for left in proposal.left_out if left.why.startswith(reason)]
        others -= len(names)
        if names:
            more = f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else ""
            parts.append(f"{', '.join(names[:SHOWN_MAX])}{more} ({reason})")
    if others:
        parts.append(f"{others} that MLX cannot run as {'a language model' if others == 1 else 'language models'}")
    return _wrapped(f"left out: {'; '.join(parts)}", width) if parts else []


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _wrapped(text: str, width: int, indent: str = INDENT) -> list[str]:
    plain = "".join(character if character.isprintable() else " " for character in text)
    return textwrap.wrap(plain, min(width, COLUMNS_MAX), initial_indent=indent, subsequent_indent=f"{indent}  ",
                         break_on_hyphens=False, break_long_words=False)
