"""What is legal in a configuration and yet hardly meant: the warnings of `warden check` and `warden doctor`. Pure."""

from typing import TYPE_CHECKING

from gateway.cli.doctor_finding import Finding, listed, note, warning

if TYPE_CHECKING:
    from control.config import Config, ModelConfig

CHAINS = ("chat", "chat_victoria", "task", "batch", "agent")


def suspicious(config: "Config", keys: int) -> list[Finding]:
    """Everything of that kind; `keys`: how many API keys the home has."""
    return [*_names(config), *_same_weights(config), *_agents(config), *_relays(config), *_reach(config, keys)]


def _names(config: "Config") -> list[Finding]:
    """A model can be asked by the name of its process too, unless another model has that as a name or an alias."""
    found = []
    for model in config.models:
        for name in (model.name, *model.aliases):
            other = config.by_slug.get(name.lower().removesuffix(":latest"))
            if other is not None and other is not model:
                kind = "alias" if name in model.aliases else "name"
                found.append(warning(model.name, f"its {kind} {name} is also how the process of {other.name} is "
                                                 "called: who "
                                     f"asks for {name} gets {model.name}, and `warden ps` calls {other.name} so",
                                     f"choose another {kind}"))
        if model.name.lower() in (alias.lower() for alias in model.aliases):
            found.append(note(model.name, "has its own name as an alias", "leave that alias out"))
    return found


def _same_weights(config: "Config") -> list[Finding]:
    by_path: dict[str, list[ModelConfig]] = {}
    for model in config.models:
        if model.path:
            by_path.setdefault(model.path, []).append(model)
    return [note(models[0].name, f"has the same weights as {listed([each.name for each in models[1:]])}, and each of "
                 "them is loaded by itself", "one model with aliases takes the memory once")
            for models in by_path.values() if len(models) > 1]


def _agents(config: "Config") -> list[Finding]:
    reserved = {model.name: model for model in config.models if model.audience == "agents"}
    found = []
    if len(reserved) == len(config.models):
        found.append(warning("audience", "every model is reserved for agents: people are always refused",
                             "leave out audience for one of them"))
    for category, name in config.categories.items():
        model = config.find(name)
        if model is not None and model.name in reserved and len(reserved) < len(config.models):
            found.append(warning("categories", f"{category} leads to {model.name}, which is reserved for agents: "
                                               "people who "
                                 "ask for it are refused", f"give {category} a model for all"))
    return found


def _relays(config: "Config") -> list[Finding]:
    found = []
    chains = {f"chain_{name}": getattr(config, f"chain_{name}") for name in CHAINS}
    for backend in ("ollama", "victoria"):
        if backend in config.relays and not any(backend in chain for chain in chains.values()):
            found.append(warning("relays", f"{backend}_url is set, and no chain names {backend}: it gets no work",
                                 f"add \"{backend}\" to a chain in [routing]"))
        if backend not in config.relays:
            asked = [name for name, chain in chains.items() if backend in chain and name in config.places]
            if asked:
                found.append(note("routing", f"{listed(asked)} {'names' if len(asked) == 1 else 'name'} {backend}, and "
                                  f"{backend}_url is not set: it is passed over", f"set {backend}_url in [relays]"))
    return found


def _reach(config: "Config", keys: int) -> list[Finding]:
    found = []
    if config.is_reachable:
        found.append(note("http", f"other machines reach {config.host}, and keys and prompts cross the network in the "
                                  "clear",
                          "put a proxy with TLS before it where the network is not yours"))
    if config.require_key and not keys:
        found.append(warning("keys", "require_key is set and there is no key: nobody can ask",
                             "`warden key create --name NAME`"))
    return found
