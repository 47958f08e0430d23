"""How we speak of a model that is reserved for agents where nobody is asked who he is: not by its name. Pure."""

import re
from collections.abc import Callable

from control.config import Config

RESERVED = "a model reserved for agents"


def name_of(config: Config, slug: str) -> str:
    """How a row of the table is called: by the model's name, else by its slug; RESERVED if it is for agents."""
    model = config.by_slug.get(slug)
    if model is None:
        return slug
    return RESERVED if model.audience == "agents" else model.name


def hiding(config: Config) -> Callable[[str], str]:
    """Takes the names of models that are reserved for agents out of a text, and where their weights lie, which is named
    after them. Where no model is reserved there is nothing to do.
    """
    if all(model.audience != "agents" for model in config.models):
        return str
    names = {name.lower(): model.audience for model in config.models
             for name in (model.slug, f"worker-{model.slug}", model.name, *model.aliases)}
    elsewhere = {name.lower(): "agents" for model in config.models if model.audience == "agents"
                 for name in (model.path, model.ollama_model) if name}
    names = elsewhere | names
    # The longest first, also those that may be read: one name can be a part of another.
    spelt = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    whole = re.compile(rf"(?<![\w-])(?:{spelt})(?![\w-])", re.IGNORECASE)

    def said(found: re.Match[str]) -> str:
        # Case is ignored by other rules in `re` than in `lower` ("\u017f" is an s): what is not found is hidden.
        return found[0] if names.get(found[0].lower()) == "all" else RESERVED

    return lambda text: whole.sub(said, text)
