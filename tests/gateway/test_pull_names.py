"""What people write for a model to be pulled: repositories, with the hub's address or a tag, and directories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pull_names import Wanted, bare, check_allowed, read_wanted
from gateway.refusal import Refusal


@pytest.mark.parametrize("model", [
    "org/Tiny-4bit", "org/Tiny-4bit:latest", "hf.co/org/Tiny-4bit", "HF.co/org/Tiny-4bit",
    "huggingface.co/org/Tiny-4bit:latest", "https://huggingface.co/org/Tiny-4bit"])
def test_a_repository_is_called_by_its_id(model):
    assert read_wanted(model, "") == Wanted("org/Tiny-4bit", "org/Tiny-4bit")
    assert read_wanted("mine", model) == Wanted("mine", "org/Tiny-4bit")


def test_a_directory_is_called_by_its_last_part():
    assert read_wanted("/models/mine/", "") == Wanted("mine", "", "/models/mine")
    assert read_wanted("short", "/models/x/../mine").words == ("check", "/models/mine")


@pytest.mark.parametrize("model, source, code, hint", [
    ("llama3.2", "", "model_not_found", "mlx-community/"), ("llama3.2:3b", "", "model_not_found", "Hugging Face"),
    ("hf.co/llama", "", "model_not_found", "mlx-community/"), ("org/tiny:4bit", "", "invalid_request", "no tag"),
    ("org/ti ny", "", "invalid_request", "no name of a repository"), ("org/..", "", "invalid_request", "no name"),
    ("a/b/c", "", "invalid_request", "no name"), ("./mine", "", "invalid_request", "absolute"),
    ("~/mine", "", "invalid_request", "absolute"), ("../mine", "", "invalid_request", "absolute"),
    ("/", "", "invalid_request", "cannot be a name"), ("/models/ü", "", "invalid_request", "cannot be a name"),
    ("a name", "org/tiny", "invalid_request", "cannot be a name"), ("org/" + "x" * 100, "", "invalid_request", "96")])
def test_what_cannot_be_fetched_is_refused_with_a_remedy(model, source, code, hint):
    with pytest.raises(Refusal) as refused:
        read_wanted(model, source)
    assert refused.value.code == code and hint in refused.value.message


@pytest.mark.parametrize("patterns, is_allowed", [
    ((), False), (("*",), True), (("org",), True), (("ORG/tiny",), True), (("other", "org/t*"), True), (("or",), False),
    (("org/tin",), False), (("other/*",), False), (("tiny",), False)])
def test_patterns_name_organisations_or_repositories(patterns, is_allowed):
    try:
        check_allowed(Wanted("mine", "Org/Tiny"), patterns)
    except Refusal as refusal:
        assert not is_allowed and refusal.code == "model_not_allowed"
    else:
        assert is_allowed
    check_allowed(Wanted("mine", "", "/models/mine"), patterns)


@given(st.text(min_size=1), st.text())
def test_any_text_is_read_or_refused(model, source):
    try:
        wanted = read_wanted(model, source)
    except Refusal:
        return
    assert ".." not in wanted.repository and bool(wanted.repository) != bool(wanted.directory)
    assert bare(wanted.name) == wanted.name or not source
