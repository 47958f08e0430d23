"""A proposal as the text of a `warden.toml`: what is served, and in comments where it came from and the arithmetic.

Guarantee: the text is TOML that `control.config.load_config` accepts, whatever the names of the models were, since only
names that a configuration may hold are written, paths as TOML strings, and comments without line ends. Pure.
"""

import textwrap
from collections.abc import Iterable

from control.budget import size
from control.toml_text import dotted, toml
from gateway.cli.proposal import Chosen, Proposal, arithmetic, given, remarks_of

LINE_MAX_CHARS = 100
HEAD = """mlx-warden's configuration, proposed from what was found on this machine. Change what you like: `warden check`
reads it, `warden check --example` shows every setting. It counts from the next `warden up` on."""
MODELS = """Each model is loaded when it is first asked, and makes room when it is idle. The sum is the least that it
needs, for one answer; behind it stands what it can do when it has the whole budget."""


def proposal_toml(proposal: Proposal) -> str:
    """The whole file. A proposal without models gives one with the built-in model."""
    facts = proposal.facts
    lines = [*_comment(HEAD),
             *_comment(f"All models together may have {size(facts.ceiling.bytes)}: {facts.ceiling.why}.")]
    if facts.cache_variables:
        names = " and ".join(facts.cache_variables)
        lines += _comment(f"The models were found with {names} set; set it too wherever the stack is started.")
    lines += ["", *_control(proposal), *_relays(proposal), *_categories(proposal)]
    if proposal.chosen:
        lines += [*_comment(MODELS), ""]
    for chosen in proposal.chosen:
        lines += _table(chosen)
    if proposal.spare:
        lines += [*_comment("These were found too and would fit. Take the # away to serve them."), ""]
        for chosen in proposal.spare:
            lines += _table(chosen, "#")
    mark = "#" if proposal.chosen else ""
    if "guide" not in {each.name for each in (*proposal.chosen, *proposal.spare)}:
        lines += [*_comment("The model that comes with mlx-warden. It answers questions about it, and nothing else."),
                  f"{mark}[models.guide]", f'{mark}path = "guide"', ""]
    if proposal.left_out:
        lines += ["# Left out:", *(line for left in proposal.left_out
                                   for line in _comment(f"{left.title}: {left.why}", "- "))]
    return "\n".join(lines).rstrip() + "\n"


def _control(proposal: Proposal) -> list[str]:
    if not proposal.chosen:
        return []
    default = proposal.chosen[0].name
    return ["[control]", *_comment(f"For requests that name no model: {proposal.default_why}."),
            f"default_model = {toml(default)}", ""]


def _relays(proposal: Proposal) -> list[str]:
    ollama, lines = proposal.facts.ollama, []
    if proposal.ollama_url:
        lines += [*_comment(f"Ollama {ollama.version} answers here, with {len(ollama.models)} models. Simple work goes "
                            "there while MLX is busy, images always, and what MLX cannot serve just now. It takes "
                            "memory of its own, which the budget above does not know."),
                  f"ollama_url = {toml(proposal.ollama_url)}"]
        if proposal.vision_model:
            lines += [f"ollama_vision_model = {toml(proposal.vision_model)}"]
    elif ollama:
        lines += [*_comment(f"Ollama {ollama.version} answers on another machine (OLLAMA_HOST). Not used unless you "
                            "take the # away: prompts would go there."), f"#ollama_url = {toml(ollama.url)}"]
    if proposal.victoria_url:
        lines += [*_comment("The Victoria agent answers here."), f"victoria_url = {toml(proposal.victoria_url)}"]
    return ["[relays]", *lines, ""] if lines else []


def _categories(proposal: Proposal) -> list[str]:
    if not proposal.categories:
        return []
    lines = [f"{dotted([category])} = {toml(name)}" for category, name in sorted(proposal.categories.items())]
    return [*_comment("Which model answers requests that name a category and no model."), "[categories]", *lines, ""]


def _table(chosen: Chosen, mark: str = "") -> list[str]:
    found = chosen.found
    lines = [*_comment(f"{found.title}, {found.origin}. {arithmetic(chosen.least)}; {given(chosen)}."),
             *(line for remark in remarks_of(chosen) for line in _comment(f"{remark}.", "! ")),
             f"{mark}[{dotted(['models', chosen.name])}]", f"{mark}path = {toml(found.path)}"]
    if chosen.aliases:
        lines.append(f"{mark}aliases = {toml(chosen.aliases)}")
    return [*lines, ""]


def _comment(text: str, bullet: str = "") -> Iterable[str]:
    plain = "".join(character if character.isprintable() else " " for character in text.replace("\n", " "))
    return textwrap.wrap(plain, LINE_MAX_CHARS, initial_indent=f"# {bullet}",
                         subsequent_indent=f"# {' ' * len(bullet)}", break_on_hyphens=False) or ["#"]
