"""Who asks: a key is what it says, no key is a local person, and only our own http speaks for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.states import Priority
from gateway import callers, keys, protocol
from gateway.callers import AGENT, PERSON, Callers
from gateway.keys import Key, hash_of
from gateway.refusal import Refusal
from tests.support.gateway_world import SECRET, make_config, make_model

ANN, BOT = "warden-ann", "warden-bot"
KEYS = [Key("ann", hash_of(ANN), max_priority="medium", models=["b-alias", "moondream", "Victoria"], rate=7),
        Key("bot", hash_of(BOT), audience="agent")]
OPEN, NEEDED, REACHABLE = {}, {"require_key": True}, {"host": "0.0.0.0"}
HOSTS = [OPEN, NEEDED, REACHABLE]


def make(found=KEYS, secret: str = SECRET, **settings) -> Callers:
    made = Callers(make_config("a", "b", make_model("tiny", audience="agents"), **settings), secret)
    made.set_keys(found)
    return made


def greet(made: Callers, client: bytes = b"c", **fields) -> bytes:
    made.on_hello(client, protocol.Hello(**fields))
    return client


def code_of(made: Callers, client: bytes, *asked: str) -> str:
    try:
        made.identify(client, *asked)
    except Refusal as refusal:
        return refusal.code
    return ""


@pytest.mark.parametrize("settings", HOSTS)
def test_a_key_is_what_it_says_however_it_is_given(settings):
    made = make(**settings)
    for client, key in ((b"raw", ANN), (greet(made, b"http", secret=SECRET), ANN), (greet(made, b"with", key=ANN), "")):
        ann = made.identify(client, key)
        assert (ann.id, ann.name, ann.audience, ann.max_priority, ann.rate) == (
            "key ann", "ann", PERSON, Priority.MEDIUM, 7)
        assert ann.models == {"b"} and ann.elsewhere == {"moondream", "victoria"}
    assert ann.is_limited and ann.why_no_change().code == "model_not_allowed"
    bot = made.identify(b"raw", BOT)
    assert bot.is_limited
    assert (bot.audience, bot.max_priority, bot.models, bot.rate) == (AGENT, Priority.HIGH, None, 500)


def test_the_key_of_a_request_beats_the_one_of_its_connection():
    made = make()
    assert made.identify(greet(made, key=ANN), BOT).name == "bot"


@pytest.mark.parametrize(("settings", "http", "key", "code"), [
    (OPEN, False, "", ""), (OPEN, True, "", ""),
    (NEEDED, True, "", "unauthorized"), (REACHABLE, True, "", "unauthorized"),
    (NEEDED, False, "", ""), (REACHABLE, False, "", ""),  # a connection of its own is this machine's user
    (OPEN, True, "ollama", ""), (OPEN, False, "not needed", ""), (OPEN, True, hash_of(ANN), ""),
    (NEEDED, True, "ollama", "unauthorized"), (REACHABLE, True, "ollama", "unauthorized"),
    (NEEDED, False, "ollama", ""),
    *((settings, http, key, "unauthorized") for settings in HOSTS for http in (False, True)
      for key in ("warden-", "warden-revoked", ANN + "0")),
])
def test_a_key_that_nobody_knows(settings, http, key, code):
    made = make(**settings)
    client = greet(made, secret=SECRET if http else "")
    assert code_of(made, client, key, "10.0.0.9") == code
    if not code:
        nobody = made.identify(client, key)
        assert (nobody.name, nobody.audience, nobody.models) == ("", PERSON, None)


def test_a_revoked_key_of_an_open_connection_counts_no_more():
    made = make()
    client = greet(made, key=ANN)
    assert made.identify(client).name == "ann"
    made.set_keys(KEYS[1:])
    assert code_of(made, client) == "unauthorized"


def test_only_http_speaks_for_others():
    made = make()
    http, liar, raw = greet(made, b"http", secret=SECRET), greet(made, b"liar", secret="guess"), greet(made, b"raw")
    assert made.identify(http, "", "10.0.0.9").id == "10.0.0.9"
    assert made.identify(http, "", "user ann").id == "user ann"
    for client in (liar, raw, b"silent"):
        assert made.identify(client, "", "10.0.0.9").id == client.hex()
        assert made.identify(client, ANN, "user x").id == "key ann"
    greet(made, b"http")  # a newer hello is the truth
    assert made.identify(b"http", "", "10.0.0.9").id == b"http".hex()


def test_users_of_one_key_wait_as_themselves_and_share_its_rate():
    made = make()
    http = greet(made, secret=SECRET)
    ann, ben, alone = (made.identify(http, BOT, who) for who in ("user ann", "user ben", "10.0.0.9"))
    assert len({ann.id, ben.id, alone.id}) == 3 and {who.rate_id for who in (ann, ben, alone)} == {"key bot"}


def test_without_a_secret_nobody_is_http():
    made = make(secret="")
    for secret in ("", SECRET):
        assert made.identify(greet(made, secret=secret), "", "10.0.0.9").id == b"c".hex()


@pytest.mark.parametrize("settings", [NEEDED, REACHABLE])
@pytest.mark.parametrize(("ours", "said"), [("", SECRET), ("", ""), (SECRET, "of another start")])
def test_a_secret_that_is_lost_or_another_lets_nobody_in_without_a_key(settings, ours, said):
    made = make(secret=ours, **settings)
    client = greet(made, secret=said)
    for key in ("", "ollama"):
        assert code_of(made, client, key, "10.0.0.9") == "unauthorized"
    assert made.identify(client, ANN, "user x").id == "key ann"  # and it speaks for nobody


@pytest.mark.parametrize("settings", [NEEDED, REACHABLE])
def test_what_http_asks_before_its_hello_never_passes_for_this_machines_user(settings):
    """A gateway that has just begun may read a request before the hello of the connection."""
    made = make(**settings)
    assert code_of(made, b"http", "", "10.0.0.9") == code_of(made, b"http", "ollama") == "gateway_unavailable"
    assert made.identify(b"http", ANN, "10.0.0.9").name == "ann"
    greet(made, b"http", secret=SECRET)
    assert code_of(made, b"http", "", "10.0.0.9") == "unauthorized"


@pytest.mark.parametrize("settings", HOSTS)
def test_the_operator_is_who_said_hello_without_a_key_and_is_surely_not_http(settings):
    made = make(**settings)
    assert made.identify(greet(made, b"cli")).is_operator
    assert not made.identify(greet(made, b"key", key=ANN)).is_operator
    assert not made.identify(b"http", BOT).is_operator
    open_to_all, lost = make(), make(secret="")
    for client in (b"no hello", greet(open_to_all, b"http", secret=SECRET), greet(open_to_all, b"old", secret="old")):
        assert not open_to_all.identify(client).is_operator
    assert not lost.identify(greet(lost)).is_operator  # anybody may be http


def test_a_crowd_of_connections_fills_no_memory_and_makes_us_forget_no_http():
    made = make(**NEEDED)
    http, regular = greet(made, b"http", secret=SECRET), greet(made, b"regular", key=ANN)
    for n in range(2 * callers.LINKS_MAX):
        greet(made, b"crowd %d" % n)
        assert made.identify(regular).name == "ann"  # who asks is not forgotten either
    assert len(made._links) <= callers.LINKS_MAX
    assert code_of(made, http, "", "10.0.0.9") == "unauthorized"
    assert code_of(made, b"crowd 0") == "gateway_unavailable"
    for n in range(2 * callers.FACES_MAX):
        greet(made, b"face %d" % n, secret=SECRET)
    assert len(made._faces) <= callers.FACES_MAX


@given(st.sampled_from(Priority), st.sampled_from(Priority))
def test_a_clamp_lowers_and_never_raises(asked, most):
    clamped = make().identify(b"c")._replace(max_priority=most).clamp(asked)
    assert clamped == max(asked, most)


@given(st.sampled_from([PERSON, AGENT]), st.none() | st.sets(st.sampled_from(["a", "b", "tiny"])),
       st.sampled_from(["a", "b", "tiny"]))
def test_a_model_is_for_whom_it_is_and_for_the_keys_that_name_it(audience, allowed, name):
    made = make()
    caller = made.identify(b"c")._replace(audience=audience, models=None if allowed is None else frozenset(allowed))
    refusal = caller.why_not(made.config.find(name))
    reserved, forbidden = name == "tiny" and audience == PERSON, allowed is not None and name not in allowed
    assert (refusal.code if refusal else "") == ("model_reserved" * reserved or "model_not_allowed" * forbidden)
    assert caller.may_use(made.config.find(name)) == (refusal is None)


def test_a_key_whose_models_are_gone_may_use_none():
    for models in (["gone"], [""]):
        caller = make([Key("k", hash_of("warden-k"), models=models)]).identify(b"c", "warden-k")
        assert caller.models == frozenset() and not caller.may_use(make_model("a"))


def test_what_only_another_server_has_is_for_keys_without_a_list_and_those_that_name_it():
    made = make()
    ann, bot = made.identify(b"c", ANN), made.identify(b"c", BOT)
    assert bot.why_not_elsewhere("llava:7b") is None
    assert ann.why_not_elsewhere("Moondream:latest") is None and ann.why_not_elsewhere("victoria") is None
    assert ann.why_not_elsewhere("llava:7b").code == "model_not_allowed"


@given(st.text(max_size=40))
def test_any_text_as_a_key_is_nobody_or_refused_and_never_somebody(text):
    made = make()
    assert code_of(made, b"c", text) == ("unauthorized" if text.startswith(keys.PREFIX) else "")
    if not text.startswith(keys.PREFIX):
        assert made.identify(b"c", text).name == ""
