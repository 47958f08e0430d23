"""API keys: only hashes are kept, all are compared in constant time, an unreadable file is never no keys."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import keys
from gateway.keys import KEYS_MAX, PREFIX, SECRET_BYTES, Key, KeysRefused, decode_keys, encode_keys, find, secret_of

NAMES = st.text("abcdefghijklmnop-", min_size=1, max_size=keys.NAME_MAX_CHARS)
SOME = st.lists(st.builds(
    Key, NAMES, st.binary(max_size=8).map(lambda b: hashlib.sha256(b).hexdigest()),
    st.sampled_from(["person", "agent"]), st.sampled_from(["high", "medium", "low"]),
    st.lists(st.text(max_size=9), max_size=3), st.none() | st.integers(0, 10**9), st.integers(0, 10**9),
), max_size=5, unique_by=lambda key: key.name)


def key_of(name: str, secret: str) -> Key:
    return Key(name, keys.hash_of(secret))


@given(SOME)
def test_a_file_comes_back_the_same(some):
    assert decode_keys(encode_keys(some), "keys.json") == some


@given(st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES))
def test_a_secret_is_never_in_the_file_and_is_found_by_itself_alone(random):
    secret = secret_of(random)
    known = [key_of("a", "warden-other"), key_of("b", secret)]
    assert secret.startswith(PREFIX) and len(secret) == len(PREFIX) + 2 * SECRET_BYTES
    data = encode_keys(known)
    assert secret.encode() not in data and random.hex().encode() not in data
    assert find(secret, known) is known[1]
    for wrong in (secret[:-1], secret + "0", secret.upper(), secret.removeprefix(PREFIX), "", " " + secret):
        assert find(wrong, known) is None


def test_the_hash_itself_is_no_key():
    known = [key_of("a", "warden-1")]
    assert find(known[0].sha256, known) is None


def test_all_are_compared_in_constant_time_wherever_the_right_one_stands(monkeypatch):
    compared = []

    def counting(one: str, other: str) -> bool:
        compared.append(other)
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(keys, "hmac", type("Counting", (), {"compare_digest": staticmethod(counting)}))
    known = [key_of(f"k{n}", f"warden-{n}") for n in range(9)]
    for asked in ("warden-0", "warden-8", "warden-none", ""):
        compared.clear()
        find(asked, known)
        assert compared == [key.sha256 for key in known], asked


@given(st.text())
def test_any_text_can_be_asked_for(text):
    assert find(text, [key_of("a", "warden-1")]) is None


def test_what_utf_8_cannot_say_is_a_wrong_key_and_no_error():
    assert find("warden-\ud800", [key_of("a", "warden-1")]) is None


HASH = b"a" * 64


@pytest.mark.parametrize("data", [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'"\xff"', b'{"version":1}', b'{"version":2,"keys":[]}',
    b'{"version":1,"keys":[{"name":"a","sha256":"short"}]}', b'{"version":1,"keys":[{"name":"","sha256":"%s"}]}' % HASH,
    b'{"version":1,"keys":[{"name":"\xff","sha256":"%s"}]}' % HASH,
    b'{"version":1,"keys":[{"x":' + b"[" * 100_000, b'{"version":1,"keys":[],"more":1}',
    b'{"version":1,"keys":[{"name":"a","sha256":"%s","audience":"everybody"}]}' % HASH,
    b'{"version":1,"keys":[{"name":"a","sha256":"%s","rate":-1}]}' % HASH,
], ids=lambda data: data[:40].decode(errors="replace"))
def test_a_file_that_is_not_as_it_should_be_is_refused_by_name_with_a_remedy(data):
    with pytest.raises(KeysRefused, match=r"^keys\.json: .*; (mend it|remove)"):
        decode_keys(data, "keys.json")


@given(st.binary(max_size=200))
def test_any_bytes_are_keys_or_refused(data):
    try:
        decode_keys(data, "keys.json")
    except KeysRefused:
        pass


def test_two_of_one_name_and_more_than_can_be_compared_are_refused():
    with pytest.raises(KeysRefused, match="same name"):
        decode_keys(encode_keys([key_of("a", "1"), key_of("a", "2")]), "keys.json")
    many = [key_of(f"k{n}", str(n)) for n in range(KEYS_MAX + 1)]
    assert len(decode_keys(encode_keys(many[1:]), "keys.json")) == KEYS_MAX
    with pytest.raises(KeysRefused):
        decode_keys(encode_keys(many), "keys.json")
