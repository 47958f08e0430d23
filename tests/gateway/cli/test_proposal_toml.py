"""The proposed file is one that the product loads, whatever the models were called, and comments cannot end early."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from control.config import load_config
from gateway.cli.proposal import KINDS, OllamaFound, choose_proposal
from gateway.cli.proposal_toml import LINE_MAX_CHARS, proposal_toml
from tests.support.found_models import found, machine

ANY_OLLAMA = OllamaFound("http://127.0.0.1:11434", "0.9\n9", ("llava:7b",), True)


def load(text: str, folder: Path):
    (folder / "warden.toml").write_text(text, encoding="utf-8")
    return load_config({"WARDEN_CONFIG": str(folder / "warden.toml"), "HOME": str(folder), "WARDEN_HOME": str(folder)},
                       folder, models_must_be_whole=False)


def test_what_stands_in_it_is_the_proposal(tmp_path):
    proposal = choose_proposal(machine(
        found("a/Qwen3-8B-4bit", 4.6), found("a/Coder-7B", 4.0), found("a/big", 99.0), ollama=ANY_OLLAMA,
        victoria_url="http://127.0.0.1:8010", cache_variables=("HF_HOME",)))
    text = proposal_toml(proposal)
    config = load(text, tmp_path)
    assert [model.name for model in config.models] == ["qwen3-8b", "coder-7b"]
    assert config.find("qwen3:8b") is config.find("a/Qwen3-8B-4bit") is config.default
    assert (config.ollama_url, config.ollama_vision_model, config.victoria_url) == (
        "http://127.0.0.1:11434", "llava:7b", "http://127.0.0.1:8010")
    assert config.categories == {"coding": "coder-7b"}
    assert "HF_HOME set" in text and "# - a/big: too big" in text and " = 5." in text
    assert max(map(len, text.splitlines())) <= LINE_MAX_CHARS or "aliases" in max(text.splitlines(), key=len)


def test_without_the_marks_the_rest_is_valid_too(tmp_path):
    text = proposal_toml(choose_proposal(machine(*(found(f"a/m{number}", 1.0) for number in range(12)))))
    more = "\n".join(line.removeprefix("#") if line.startswith(("#[", "#path", "#aliases")) else line
                     for line in text.splitlines())
    assert len(load(text, tmp_path).models) == 8 and len(load(more, tmp_path).models) == 13


def test_an_empty_proposal_serves_the_built_in_model(tmp_path):
    assert [model.name for model in load(proposal_toml(choose_proposal(machine())), tmp_path).models] == ["guide"]


def test_an_ollama_elsewhere_is_a_comment(tmp_path):
    elsewhere = ANY_OLLAMA._replace(url="http://10.0.0.9:11434", is_here=False)
    text = proposal_toml(choose_proposal(machine(found("a/x"), ollama=elsewhere)))
    assert load(text, tmp_path).ollama_url == "" and '#ollama_url = "http://10.0.0.9:11434"' in text


anything = st.text(max_size=60)
models = st.builds(found, anything, st.floats(0.01, 20), path=anything, kind=st.sampled_from(KINDS), sees=st.booleans(),
                   problem=st.one_of(st.just(""), anything), origin=anything, bits=st.sampled_from((0, 4)))


@given(st.lists(models, max_size=14), st.booleans())
def test_any_facts_give_a_file_that_is_loaded(tmp_path_factory, there, has_ollama):
    proposal = choose_proposal(machine(*there, ollama=ANY_OLLAMA if has_ollama else None))
    config = load(proposal_toml(proposal), tmp_path_factory.mktemp("any"))
    assert [model.name for model in config.models] == [each.name for each in proposal.chosen] or proposal.is_empty
    if proposal.chosen:
        assert config.default.name == proposal.chosen[0].name
