"""Which of the models found here to serve, under which names, and why: facts in, a proposal out. Pure.

1. A model is proposed if its files are whole, mlx_lm can run it, and the least that it needs (one row, by the
   arithmetic of `control/budget.py`) fits into the budget for all models. What is left out says why, with the numbers.
2. The default is the largest model for general talk that needs at most COMFORTABLE_PERCENT of the budget, so that there
   is room for longer prompts and a small second model; else the smallest one that chats.
3. MODELS_MAX are served, those fetched last; the others stand in the file too, commented out.
4. Ollama and Victoria become relays if they answer on this machine. One elsewhere is named and not used: what people
   ask must not leave the machine because a variable was set once.

The same facts give the same proposal, in whatever order they were found.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from control.budget import Ceiling, ModelFacts, Plan, make_plan, parts_of, size
from gateway.cli.proposal_names import category_of, choose_aliases, choose_names

MODELS_MAX = 8
BATCH_MAX = 8  # `batch_size` of a model that does not say
COMFORTABLE_PERCENT = 75
FAST_PERCENT = 50  # of what the default needs: from there on a model is the fast one
CHATS, COMPLETES, EMBEDS = "chats", "completes text", "embeds"
KINDS = (CHATS, COMPLETES, EMBEDS)
NOT_QUANTISED = " (its weights are not quantised: a 4-bit one takes about a third)"
SEE_AT_OLLAMA = ("moondream", "llama3.2-vision", "qwen2.5vl", "qwen3-vl", "llava", "minicpm-v", "granite3.2-vision",
                 "mistral-small3.1", "mistral-small3.2", "bakllava", "llava-llama3", "llava-phi3", "gemma3")


class Found(NamedTuple):
    """A directory that should hold a model. `title` is ORG/NAME as it was fetched, `path` what the file would say.

    `problem`: why nothing can be served from it, "" if something can; then `facts` are there. `bits`: 0 if its weights
    are as they were trained. `sees`: made for images too. `fetched_at`: seconds since 1970. `served_as`: its name in
    this home already, from a pull.
    """

    title: str
    origin: str
    path: str
    facts: ModelFacts | None = None
    problem: str = ""
    kind: str = CHATS
    bits: int = 0
    sees: bool = False
    fetched_at: int = 0
    served_as: str = ""


class OllamaFound(NamedTuple):
    """An Ollama that answered. `is_here`: on this machine."""

    url: str
    version: str
    models: tuple[str, ...]
    is_here: bool


class Facts(NamedTuple):
    """All that a proposal depends on. `max_running` as configured; `places`: where models were looked for, and how many
    directories were there; `cache_variables`: what of the environment says where the cache is.
    """

    models: tuple[Found, ...]
    ceiling: Ceiling
    available_bytes: int
    max_running: int
    ollama: OllamaFound | None = None
    victoria_url: str = ""
    places: tuple[tuple[str, int], ...] = ()
    cache_variables: tuple[str, ...] = ()


class Chosen(NamedTuple):
    """A model to serve. `least`: for one row; `alone`: when it may have the whole budget."""

    found: Found
    name: str
    aliases: tuple[str, ...]
    least: Plan
    alone: Plan


class LeftOut(NamedTuple):
    title: str
    why: str


class Proposal(NamedTuple):
    """`chosen`: the default first, never more than MODELS_MAX; `spare`: would do as well. `together`: names of those
    that can stay loaded at the same time. `vision_model` is Ollama's, "" where its default will do.
    """

    facts: Facts
    chosen: tuple[Chosen, ...]
    spare: tuple[Chosen, ...]
    left_out: tuple[LeftOut, ...]
    default_why: str
    together: tuple[str, ...]
    categories: dict[str, str]
    ollama_url: str
    vision_model: str
    victoria_url: str

    @property
    def is_empty(self) -> bool:
        """Is there no model to serve?"""
        return not self.chosen


def choose_proposal(facts: Facts) -> Proposal:
    ollama_url = facts.ollama.url if facts.ollama and facts.ollama.is_here else ""
    rows = min(BATCH_MAX, facts.max_running + bool(ollama_url or facts.victoria_url))
    models, left_out = _sort_out(facts, rows)
    default, why = _choose_default(models, facts.ceiling)
    rest = sorted((each for each in models if each is not default), key=_newest)
    served = sorted(rest[:MODELS_MAX - 1], key=_largest)
    ordered = [*([default] if default else []), *served, *rest[MODELS_MAX - 1:]]
    names = choose_names([(each.title, each.served_as) for each in ordered])
    aliases = choose_aliases(names, [each.title for each in ordered], [each.kind == CHATS for each in ordered])
    plans = [(_plan(each, rows, None), _plan(each, rows, facts.ceiling.bytes)) for each in ordered]
    chosen = [Chosen(found, name, others, *both)
              for found, name, others, both in zip(ordered, names, aliases, plans, strict=True)]
    served = tuple(chosen[:MODELS_MAX])
    return Proposal(
        facts=facts, chosen=served, spare=tuple(chosen[MODELS_MAX:]), left_out=tuple(left_out), default_why=why,
        together=_together(served, facts.ceiling.bytes), categories=_categories(served), ollama_url=ollama_url,
        vision_model=_vision_model(facts.ollama) if ollama_url else "", victoria_url=facts.victoria_url)


def _sort_out(facts: Facts, rows: int) -> tuple[list[Found], list[LeftOut]]:
    """What could be served, and what could not; one that is there twice counts once."""
    good, left, seen = [], [], {}
    for found in sorted(facts.models, key=lambda each: (each.title.lower(), each.origin, each.path, repr(each))):
        writable = found.path.isprintable() and found.path
        problem = found.problem or ("" if writable else "its path holds what cannot be written into a configuration")
        if not problem and found.title.lower() in seen:
            problem = f"the copy in {found.origin}; the one in {seen[found.title.lower()]} is taken"
        if not problem and facts.ceiling.bytes <= 0:
            problem = "how much memory this machine has is not known; set memory_budget_gb"
        if not problem and (needs := _plan(found, rows, None).share_bytes) > facts.ceiling.bytes:
            problem = (f"too big: it needs at least {size(needs)}, and all models together may have "
                       f"{size(facts.ceiling.bytes)}" + (NOT_QUANTISED if not found.bits else ""))
        if problem:
            left.append(LeftOut(found.title, problem))
        else:
            seen[found.title.lower()] = found.origin
            good.append(found)
    return good, left


def _plan(found: Found, rows: int, room_bytes: int | None) -> Plan:
    return make_plan(found.facts, batch=rows, context=0, memory_bytes=0, profile=None, shrink=0, room_bytes=room_bytes)


def _choose_default(models: Sequence[Found], ceiling: Ceiling) -> tuple[Found | None, str]:
    """The default model and the reason, as the end of a sentence."""
    if not models:
        return None, ""
    chat = [each for each in models if each.kind == CHATS]
    general = [each for each in chat if not category_of(each.title)] or chat
    comfortable = [each for each in general
                   if _plan(each, 1, None).share_bytes * 100 <= ceiling.bytes * COMFORTABLE_PERCENT]
    if comfortable:
        return min(comfortable, key=_largest), (
            f"the largest for general use that needs at most {COMFORTABLE_PERCENT} % of the budget" if len(models) > 1
            else "the only one")
    most = KINDS.index(min((each.kind for each in models), key=KINDS.index))
    left = general or [each for each in models if each.kind == KINDS[most]]
    return max(left, key=_largest), "the smallest; none leaves a quarter of the budget free"


def _largest(found: Found) -> tuple:
    return KINDS.index(found.kind), -found.facts.tensor_bytes, found.title, found.path


def _newest(found: Found) -> tuple:
    return KINDS.index(found.kind), -found.fetched_at, found.title, found.path


def _together(chosen: Iterable[Chosen], ceiling_bytes: int) -> tuple[str, ...]:
    """The default, and after it the smallest first, as far as the least that each needs fits."""
    names, taken_bytes = [], 0
    first, *others = chosen or (None,)
    for each in [*([first] if first else []), *sorted(others, key=lambda each: (each.least.share_bytes, each.name))]:
        if taken_bytes + each.least.share_bytes <= ceiling_bytes:
            taken_bytes += each.least.share_bytes
            names.append(each.name)
    return tuple(names)


def _categories(chosen: Sequence[Chosen]) -> dict[str, str]:
    """Only what is obvious: the largest one made for it, and as `fast` the smallest one if it is much smaller."""
    found: dict[str, str] = {}
    chat = [each for each in chosen if each.found.kind == CHATS]
    for each in sorted(chat, key=lambda each: _largest(each.found)):
        if category := category_of(each.found.title):
            found.setdefault(category, each.name)
    general = [each for each in chat if not category_of(each.found.title)]
    smallest = max(general, key=lambda each: _largest(each.found), default=None)
    if smallest and smallest.least.share_bytes * 100 <= chosen[0].least.share_bytes * FAST_PERCENT:
        found["fast"] = smallest.name
    return found


def _vision_model(ollama: OllamaFound) -> str:
    """One of its models that reads images, if it has not the one that is asked by default."""
    families = {name.partition(":")[0]: name for name in sorted(ollama.models, reverse=True)}
    there = next((families[family] for family in SEE_AT_OLLAMA if family in families), "")
    return "" if there.partition(":")[0] == SEE_AT_OLLAMA[0] else there


def arithmetic(plan: Plan) -> str:
    """weights 4.4 GiB + KV 612 MiB + ... = 5.8 GiB; the parts of the plan, in order."""
    return f"{' + '.join(f'{part.name} {size(part.bytes)}' for part in parts_of(plan))} = {size(plan.share_bytes)}"


def given(chosen: Chosen) -> str:
    """What it can do when it has the whole budget."""
    rows = chosen.alone.rows
    return (f"{rows} answers at a time, or one" if rows > 1 else "one answer at a time,") + (
        f" of {chosen.alone.context_length:,} tokens")


def remarks_of(chosen: Chosen) -> list[str]:
    """What somebody should know of this model besides its size."""
    found, remarks = chosen.found, []
    if found.kind == COMPLETES:
        remarks.append("it has no chat template: a base model, which goes on with a text and does not chat")
    if found.kind == EMBEDS:
        remarks.append("for embeddings")
    if found.sees:
        remarks.append("its text part only: images go to Ollama, if there is one")
    if not found.bits:
        remarks.append(NOT_QUANTISED.strip(" ()"))
    return remarks
