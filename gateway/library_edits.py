"""The library after each kind of change, which changes are refused, and which snapshots nobody refers to then. Pure."""

from msgspec.structs import replace

from control.config import MODELS_MAX, Config, ModelConfig, canonical, slug_of
from control.library import ALIASES_MAX, DROPPED_MAX, Dropped, Fetched, Library
from gateway.refusal import Refusal

WEIGHTS_STAY = "its weights stay: another name or model uses them, or they were there before mlx-warden"


def why_not_new(name: str, config: Config) -> Refusal | None:
    """Why no pulled model may be called so; None if one may, also in the place of one that is pulled already."""
    known, slug = config.find(name), slug_of(name)
    if known is not None and known.pulled and canonical(known.name) == canonical(name):
        return None
    if slug in config.by_slug and (known is None or known.slug == slug and canonical(known.name) != canonical(name)):
        return Refusal("invalid_request", f"model: the process of {name} would be called worker-{slug}, and so is the "
                       f"one of {config.by_slug[slug].name}; choose another name")
    if known is not None:
        return Refusal("invalid_request", f"model: {name} is a name of {known.name} already; delete that, or pull it "
                       "under another name")
    if len(config.models) >= MODELS_MAX:
        return Refusal("invalid_request", f"{MODELS_MAX} models are configured, which is the limit; delete one")
    return None


def why_not_ours(name: str, model: ModelConfig, config: Config) -> str:
    """What somebody is told who would delete a model that nobody pulled, or a name of it that nobody copied."""
    place = config.places.get(f"models.{model.name}")
    if place is None:
        return f"model: {name} comes with the product and is not deleted; a warden.toml with other models replaces it"
    return (f"model: {name} is configured by hand, so it is not deleted here: remove it at {place}, then run `warden "
            "down` and `warden up`; its files are yours")


def with_model(library: Library, entry: Fetched) -> Library:
    """Added, or put in the place of the one of that name. A snapshot that is used again is not deleted."""
    others = tuple(model for model in library.models if canonical(model.name) != canonical(entry.name))
    dropped = tuple(drop for drop in library.dropped if (drop.source, drop.revision) != (entry.source, entry.revision))
    before = library.find(entry.name)
    if before is not None and before.revision == entry.revision:
        entry = replace(entry, by_us=entry.by_us or before.by_us)
    return replace(library, models=(*others, entry), dropped=dropped)


def with_copy(library: Library, name: str, model: ModelConfig, config: Config) -> Library:
    """`name` for that model, which may have gone since it was asked. Raises: Refusal."""
    if (found := config.find(model.name)) is None or found.slug != model.slug:
        raise Refusal("model_not_found", f'model "{model.name}" not found: it was deleted meanwhile')
    known = config.find(name)
    if known is not None and known.slug != model.slug:
        raise Refusal("invalid_request", f"destination: {name} is a name of {known.name} already")
    if known is not None:
        return library
    if len(library.aliases) >= ALIASES_MAX:
        raise Refusal("invalid_request", f"{ALIASES_MAX} names were copied, which is the limit; delete one")
    return with_alias(library, name, model.name)


def without_copy(library: Library, name: str) -> Library:
    """Raises: Refusal, if it is no copied name any more: its model was deleted, and it may have taken the place."""
    if name not in library.aliases:
        raise Refusal("model_not_found", f'"{name}" is no copied name any more: its model was deleted meanwhile')
    return without_alias(library, name)


def with_alias(library: Library, alias: str, name: str) -> Library:
    return replace(library, aliases=library.aliases | {alias: name})


def without_alias(library: Library, alias: str) -> Library:
    return replace(library, aliases={each: name for each, name in library.aliases.items() if each != alias})


def without_model(library: Library, model: ModelConfig, config: Config) -> Library:
    """Its first copied name takes its place, if there is one. Else its weights are to be deleted, if this product
    fetched them and no other model of the library or of the configuration lies there.
    """
    entry = library.find(model.name)
    if entry is None:
        return library
    others = tuple(each for each in library.models if each is not entry)
    heirs = [alias for alias, name in library.aliases.items() if canonical(name) == canonical(entry.name)]
    if heirs:
        aliases = {alias: heirs[0] if alias in heirs else name for alias, name in library.aliases.items()
                   if alias != heirs[0]}
        return replace(library, models=(*others, replace(entry, name=heirs[0])), aliases=aliases)
    drop = Dropped(entry.source, entry.revision)
    in_use = any(each.path == entry.path for each in others) or any(
        each.path == entry.path for each in config.models if each.slug != model.slug)
    if not entry.by_us or not entry.source or in_use or len(library.dropped) >= DROPPED_MAX:
        return replace(library, models=others)
    return replace(library, models=others, dropped=(*library.dropped, drop))


def without_dropped(library: Library, drop: Dropped) -> Library:
    return replace(library, dropped=tuple(each for each in library.dropped if each != drop))


def weights_text(trouble: str, size: int) -> str:
    """What came of deleting them. `trouble` "": nothing; `size` in bytes."""
    if trouble:
        return f"its weights could not be deleted: {trouble}"
    return f"{size / 1e6:.1f} MB are free again" if size else (
        "its weights stay, for another home of mlx-warden uses them, or were gone already")
