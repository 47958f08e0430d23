"""What is done with any declared setting: how its value is checked, described, read from a variable and mended."""

import pytest

from control.setting_rules import Setting, check, described, from_text, remedy
from control.settings import Control, Limits, Memory, ModelSettings, settings_of


def declared(kind: type, default: object, key: str = "x", low: float = 0, high: float = 0, choices=(),
             refuse=None) -> Setting:
    """One setting that stands in no file."""
    return Setting(key, kind, default, "Why.", low, high, choices, (), refuse, None)


@pytest.mark.parametrize(("item", "text"), [
    (declared(int, 1, low=1, high=10**7), "a whole number from 1 to 10000000"),
    (declared(float, 0.5, low=-1, high=0.5), "a number from -1 to 0.5"),
    (declared(float, 1.0, "wait_s", 0, 86_400), "a number of seconds from 0 to 86400"),
    (declared(float, 1.0, "rate_per_s", 0, 10), "a number from 0 to 10"),
    (declared(int, 1, "body_max_bytes", 1, 2**28), "a whole number of bytes from 1 to 268435456"),
    (declared(float, 0.0, "memory_gb", 0, 1024), "a number of GiB from 0 to 1024"),
    (declared(float, 85.0, "memory_warning_percent", 1, 100), "a number in percent from 1 to 100"),
    (declared(bool, False), "true or false"), (declared(str, ""), "a text in quotes"),
    (declared(tuple, ()), "a list of texts"), (declared(str, "a", choices=("a", "b")), '"a" or "b"'),
])
def test_a_setting_says_what_a_value_must_be(item: Setting, text: str) -> None:
    assert described(item) == text
    with pytest.raises(ValueError, match=f"^must be {text}, not 9000000000$"):
        check(item, 9 * 10**9)


def test_a_text_may_be_refused_for_what_it_says() -> None:
    item = declared(str, "a", refuse=lambda text: "" if text == "a" else "is not a")
    assert check(item, "a") == "a"
    with pytest.raises(ValueError, match=r'^"b" is not a$'):
        check(item, "b")
    with pytest.raises(ValueError, match=r'^"b" is not a$'):
        check(declared(tuple, (), refuse=item.refuse), ["a", "b"])


def test_whole_numbers_do_for_numbers_and_lists_become_tuples():
    aging = check(settings_of(Limits)["aging_s"], 5)
    assert aging == 5.0 and type(aging) is float
    assert check(settings_of(ModelSettings)["aliases"], ["a", "b"]) == ("a", "b")


def test_texts_and_lists_have_an_end():
    with pytest.raises(ValueError, match="4097 characters long; the limit is 4096"):
        check(settings_of(ModelSettings)["path"], "x" * 4097)
    with pytest.raises(ValueError, match="65 entries; the limit is 64"):
        check(settings_of(ModelSettings)["aliases"], ["x"] * 65)


def test_from_text_reads_each_kind_and_leaves_the_rest_to_check():
    model, limits = settings_of(ModelSettings), settings_of(Limits)
    assert from_text(limits["max_running"], "7") == 7
    assert from_text(limits["aging_s"], "7") == 7.0
    assert from_text(model["aliases"], " a, b,,") == ["a", "b"]
    assert from_text(model["preload"], "True") is True
    assert from_text(model["engine"], "echo") == "echo"
    for wrong in ("", "5.5", "x", "9" * 5000):
        assert from_text(limits["max_running"], wrong) == wrong


def test_the_remedy_is_the_mended_value_or_an_example():
    model, limits = settings_of(ModelSettings), settings_of(Limits)
    assert remedy(limits["max_running"], "7") == "write max_running = 7"
    assert remedy(limits["max_running"], 7.0) == "write max_running = 7"
    assert remedy(model["aliases"], "a") == 'write aliases = ["a"]'
    assert remedy(model["preload"], "true") == "write preload = true"
    assert remedy(limits["max_running"], 0) == "write for example max_running = 5"
    assert remedy(limits["max_running"], "x", "MLX_MAX_CONCURRENT") == \
        "set for example MLX_MAX_CONCURRENT=5 or unset it"
    assert remedy(settings_of(Control)["models_dir"], 5) == "correct it or leave models_dir out"
    assert remedy(settings_of(Memory)["keep_alive"], 300) == 'write for example keep_alive = "5m"'
    assert remedy(settings_of(Memory)["keep_alive"], "x", "OLLAMA_KEEP_ALIVE") == \
        "set for example OLLAMA_KEEP_ALIVE=5m or unset it"
