"""What follows from the configuration, the keys and the cache of Hugging Face."""

import pytest

from gateway.cli.doctor_finding import warning
from gateway.cli.doctor_models import BUILT_IN, CacheFact, ConfigFact, check_cache, check_config
from tests.support.findings import levels, told

FILE = ConfigFact("/w.toml", "", ("a", "b"), "a")
CACHE = CacheFact("/hub", True, 5 * 1024**3, ("org/a",))


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, "ok", ("/w.toml", "2 models", "a by default")),
    ({"relays": ("ollama",)}, "ok", ("relays: ollama",)),
    ({"error": "/w.toml:3: server.prot: unknown setting; did you mean port?"}, "problem",
     ("/w.toml:3: server.prot", "did you mean port?")),
    ({"source": BUILT_IN}, "note", ("only guide", "warden init")),
    ({"shadowed": "/h/warden.toml"}, "note", ("/h/warden.toml is not read", "WARDEN_CONFIG")),
    ({"open_to": "0666"}, "warning", ("0666", "chmod go-w /w.toml")),
    ({"keys": 2}, "ok", ("2 API keys", "need not give")), ({"needs_key": True, "keys": 1}, "ok", ("1 API key",)),
    ({"key_trouble": "/h/keys.json: there is no API key; make one with `warden key create`"}, "problem",
     ("no API key", "warden key create")),
    ({"suspicious": (warning("audience", "odd", "mend"),)}, "warning", ("odd",)),
])
def test_configuration(changes: dict, level: str, words: tuple[str, ...]) -> None:
    told(check_config(FILE._replace(**changes)), level, *words)


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, "ok", ("1 model to load", "5.0 GiB in /hub")), ({"other": 3}, "ok", ("3 of other kinds",)),
    ({"complete": False}, "ok", ("at least 1 model",)), ({"exists": False}, "ok", ("nothing yet",)),
    ({"broken": (("org/b", "lacks x.safetensors"),)}, "warning", ("org/b", "lacks x", "hf download org/b")),
    ({"halves": ("org/c",)}, "note", ("org/c", "broken off", "hf download org/c")),
    ({"offline": "HF_HUB_OFFLINE"}, "note", ("HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")),
    ({"token": "HF_TOKEN"}, "ok", ("a token", "HF_TOKEN")),
])
def test_cache(changes: dict, level: str, words: tuple[str, ...]) -> None:
    told(check_cache(CACHE._replace(**changes)), level, *words)


def test_a_model_that_is_not_whole_is_told_once() -> None:
    fact = CACHE._replace(broken=(("org/b", "lacks x"),), halves=("org/b",))
    assert levels(check_cache(fact)) == ["ok", "warning"]
