"""The official `ollama` package: pull, list, show, copy and delete against a real stack and a hub of our own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest

from tests.support.contract_stack import contract_settings
from tests.support.live_stack import LiveStack
from tests.support.models import model_path
from tests.support.scripted_hub import Hub, sha256_of

TINY = "org/tiny"
SIZE = (model_path("1m") / "model.safetensors").stat().st_size
NAMED = {"num_predict": 4}


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("hub"))
    for name in (TINY, "org/other"):
        shutil.copytree(model_path("1m"), hub.folder / name)
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("hf")


@pytest.fixture(scope="module")
def stack(hub, cache, tmp_path_factory) -> Iterator[LiveStack]:
    folder = tmp_path_factory.mktemp("library")
    shared = LiveStack(folder, contract_settings(folder))
    shared.env |= hub.env(cache)
    try:
        yield shared.up()
    finally:
        shared.end()


@pytest.fixture
def client(hub, base_url) -> ollama.Client:
    hub.behave()
    return ollama.Client(base_url)


def names(client: ollama.Client) -> set[str]:
    return {model.model for model in client.list().models}


def refused(ask, *words: str, **more: object) -> ollama.ResponseError:
    with pytest.raises(ollama.ResponseError) as error:
        ask(*words, **more)
    return error.value


def test_a_pull_tells_its_progress_and_the_model_answers_at_once(client, hub):
    hub.behave(pause_s=0.01)
    told = list(client.pull(f"hf.co/{TINY}", stream=True))
    assert told[0].status == "pulling manifest" and told[-1].status == "success"
    assert {"verifying sha256 digest", "writing manifest"} <= {each.status for each in told}
    digest = sha256_of(model_path("1m") / "model.safetensors")
    large = [each for each in told if each.digest]
    assert {(each.digest, each.total, each.status) for each in large} == {
        (f"sha256:{digest}", SIZE, f"pulling {digest[:12]}")}
    completed = [each.completed or 0 for each in large]
    assert completed == sorted(completed) and completed[-1] == SIZE and len(set(completed)) > 2
    assert f"{TINY}:latest" in names(client)
    for name in (TINY, f"{TINY}:latest", f"hf.co/{TINY}", TINY.upper()):
        assert client.generate(name, "hi", options=NAMED).eval_count == NAMED["num_predict"]
    assert client.show(TINY).details.family == "llama"
    assert client.pull(TINY).status == "success"
    assert TINY in {model.model.removesuffix(":latest") for model in client.ps().models}


def test_a_copy_is_a_model_of_the_same_digest(client):
    assert client.copy("random", "mine:7b").status == "success"
    by_name = {model.model: model.digest for model in client.list().models}
    assert by_name["mine:7b"] == by_name["random:latest"]
    assert client.chat("mine:7b", [{"role": "user", "content": "hi"}], options=NAMED).done
    assert refused(client.copy, "random", "guide").status_code == 400
    assert refused(client.copy, "nobody", "new").status_code == 404
    assert refused(client.copy, "random", "").status_code == 400
    assert client.delete("mine:7b").status == "success"
    assert refused(client.generate, "mine:7b", "hi").status_code == 404 and "random:latest" in names(client)


def test_a_deleted_model_is_gone_with_its_weights_and_comes_back_by_a_pull(client, cache):
    client.pull("org/other")
    folder = cache / "hub" / "models--org--other"
    assert client.generate("org/other", "hi", options=NAMED).done and folder.is_dir()
    assert client.delete("org/other").status == "success"
    assert not folder.exists() and "org/other:latest" not in names(client)
    error = refused(client.generate, "org/other", "hi")
    assert error.status_code == 404 and 'model "org/other" not found' in error.error
    assert client.pull("org/other").status == "success"
    assert client.generate("org/other", "hi", options=NAMED).done
    client.delete("org/other")


def test_a_directory_of_this_machine_is_a_source(client, tmp_path):
    shutil.copytree(model_path("1m"), tmp_path / "of-mine")
    assert client.pull(str(tmp_path / "of-mine")).status == "success"
    assert client.generate("of-mine", "hi", options=NAMED).done
    assert client.delete("of-mine").status == "success" and os.listdir(tmp_path / "of-mine")
    assert refused(client.pull, str(tmp_path)).status_code == 400


@pytest.mark.parametrize("name, status, hint", [
    ("llama3.2", 404, "mlx-community/"), ("org/nothere", 404, "HF_TOKEN"), ("org/tiny:4bit", 400, "latest"),
    ("x" * 300, 400, "model")])
def test_what_cannot_be_pulled_says_what_to_do(client, name, status, hint):
    error = refused(client.pull, name)
    assert error.status_code == status and hint in error.error


def test_an_error_in_the_middle_of_a_stream_is_an_error(client, hub):
    hub.behave(damage=True)
    shutil.copytree(model_path("1m"), hub.folder / "org/bad")
    told = []
    with pytest.raises(ollama.ResponseError, match="came damaged"):
        for each in client.pull("org/bad", stream=True):
            told.append(each.status)
    assert told[0] == "pulling manifest" and "success" not in told
    assert "org/bad:latest" not in names(client)


def test_what_is_configured_by_hand_is_not_deleted(client, stack):
    for name in ("random", "random-alias:1b"):
        error = refused(client.delete, name)
        assert error.status_code == 400 and str(stack.config_file) in error.error
    assert refused(client.delete, "nobody").status_code == 404


def test_older_clients_say_name(stack):
    stack.get("/livez")
    assert stack.post("/api/pull", {"name": "guide", "stream": False, "insecure": True}) == (200, {"status": "success"})
    assert stack.post("/api/pull", {"model": 5})[0] == 400
    assert stack.post("/api/pull", {"model": ""}) == (400, {"error": "model: is required"})
    assert stack.post("/api/copy", {"source": "guide"})[1]["error"] == "destination: is required"
