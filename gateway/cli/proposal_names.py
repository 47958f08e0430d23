"""What a found model is called: a short name, the name that Ollama gives the same model, and what it is good for. Pure.

A name of Ollama is given only where family and size stand in the model's own name and nothing else does: a fine-tune,
a base model or a variant that thinks is not what people mean by `qwen3:4b`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from control.config import canonical, slug_of
from control.config_checks import RELAY
from control.library import is_name

LONGEST_CHARS = 80
NAMELESS = "model"
_QUANTISED = re.compile(
    r"[-_.](?:mlx|dwq(?:-\w+)*|awq|gptq|hi|\d{1,2}[-_]?bits?|q\d(?:[-_]\w+)?|bf16|fp16|f16|fp32|mxfp4|mxfp8|nvfp4|"
    r"int[48]|g\d+)$")
_SIZE = r"(\d+(?:\.\d+)?[bm])"
_AT_OLLAMA = tuple((re.compile(rf"{pattern}(?:-(?:instruct|it|chat|hf|qat|v\d(?:\.\d)?|\d{{4}}))*"), name)
                   for pattern, name in (
    (rf"(?:meta-)?llama-(3(?:\.\d)?)-{_SIZE}", r"llama\1:\2"),
    (rf"llama-2-{_SIZE}", r"llama2:\1"),
    (rf"tinyllama-{_SIZE}", r"tinyllama:\1"),
    (rf"qwen3-coder-{_SIZE}-a\d+b", r"qwen3-coder:\1"),
    (rf"qwen3-{_SIZE}(?:-a\d+b)?", r"qwen3:\1"),
    (rf"qwen(2|2\.5)-{_SIZE}", r"qwen\1:\2"),
    (rf"qwen2\.5-coder-{_SIZE}", r"qwen2.5-coder:\1"),
    (rf"qwq-{_SIZE}", r"qwq:\1"),
    (rf"gemma-(2|3)-{_SIZE}", r"gemma\1:\2"),
    (r"phi-3\.5-mini", "phi3.5:3.8b"),
    (r"phi-3-mini(?:-\d+k)?", "phi3:3.8b"),
    (r"phi-4-mini", "phi4-mini:3.8b"),
    (r"phi-4", "phi4:14b"),
    (r"mistral-7b", "mistral:7b"),
    (r"mistral-nemo", "mistral-nemo:12b"),
    (r"mixtral-(8x\d+b)", r"mixtral:\1"),
    (rf"deepseek-r1-distill-(?:qwen|llama)-{_SIZE}", r"deepseek-r1:\1"),
    (rf"smollm2-{_SIZE}", r"smollm2:\1"),
    (rf"gpt-oss-{_SIZE}", r"gpt-oss:\1"),
    (rf"granite-(3\.[23])-{_SIZE}", r"granite\1:\2"),
    (rf"codellama-{_SIZE}", r"codellama:\1"),
    (rf"starcoder2-{_SIZE}", r"starcoder2:\1"),
))
_CATEGORIES = (
    ("coding", re.compile(r"(?:^|[-_.])(?:coder|code(?:llama|stral|gemma|gen)?|starcoder2?|devstral)(?:[-_.]|$)")),
    ("reasoning", re.compile(r"(?:^|[-_.])(?:r1|qwq|thinking|reasoning|reasoner|magistral)(?:[-_.]|$)")),
)


def base_of(title: str) -> str:
    """`ORG/NAME` without the organisation, in small letters and with nothing that no name may hold."""
    base = re.sub(r"[^a-z0-9._-]+", "-", title.rpartition("/")[2].lower())
    return base[:LONGEST_CHARS].strip("-._") or NAMELESS


def short_of(title: str) -> str:
    """The same without what says how the weights are stored: qwen3-4b for mlx-community/Qwen3-4B-4bit."""
    base = base_of(title)
    while (shorter := _QUANTISED.sub("", base)) != base:
        base = shorter
    return base


def at_ollama(title: str) -> str:
    """What Ollama calls this model, "" if that cannot be said for sure."""
    short = short_of(title)
    return next((found.expand(name) for pattern, name in _AT_OLLAMA if (found := pattern.fullmatch(short))), "")


def category_of(title: str) -> str:
    """`coding` or `reasoning` if the model was made for that, else ""."""
    short = short_of(title)
    return next((name for name, pattern in _CATEGORIES if pattern.search(short)), "")


def choose_names(models: Sequence[tuple[str, str]]) -> list[str]:
    """A name for each (title, name that it has already or ""), in order. No two are the same to a configuration.

    Two that differ only in how their weights are stored both keep that in their names.
    """
    shorts = Counter(short_of(title) for title, name in models if not name)
    taken = {canonical(name) for _, name in models if name}
    slugs = {slug_of(name) for _, name in models if name}
    chosen = []
    for title, name in models:
        if not name:
            name = next(each for each in _spellings(title, shorts) if canonical(each) not in taken
                        and slug_of(each) not in slugs and not slug_of(each).startswith(RELAY) and is_name(each))
            taken.add(canonical(name))
            slugs.add(slug_of(name))
        chosen.append(name)
    return chosen


def choose_aliases(names: Sequence[str], titles: Sequence[str], chats: Sequence[bool]) -> list[tuple[str, ...]]:
    """Further names of each: that of Ollama for one that chats, and its title. Who comes first gets a name."""
    taken = {canonical(name) for name in names}
    return [tuple(_not_taken((at_ollama(title) if chat else "", title if "/" in title else ""), taken))
            for title, chat in zip(titles, chats, strict=True)]


def _not_taken(wanted: Iterable[str], taken: set[str]) -> Iterator[str]:
    for name in wanted:
        if name and is_name(name) and canonical(name) not in taken:
            taken.add(canonical(name))
            yield name


def _spellings(title: str, shorts: Counter[str]) -> Iterator[str]:
    short, base, organisation = short_of(title), base_of(title), base_of(title.rpartition("/")[0])
    if shorts[short] == 1:
        yield short
    yield base
    yield f"{organisation}-{base}"[:LONGEST_CHARS]
    number = 2
    while True:
        yield f"{NAMELESS}-{base}"[:LONGEST_CHARS - 4] + f"-{number}"
        number += 1
