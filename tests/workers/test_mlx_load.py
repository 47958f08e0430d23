"""A model directory is opened with its weights in memory and progress on the way; what can be imported before, is."""

import json
import sys
import threading
from pathlib import Path

import pytest

from tests.support.models import model_path
from workers.mlx_load import WEIGHTS_PART, open_model, prepare_load


def in_a_thread_of_its_own(work):
    """As in a worker: MLX's streams belong to threads, and this one's end with it."""
    done = []

    def life() -> None:
        import mlx.core as mx

        try:
            done.append(work())
        except Exception as problem:
            done.append(problem)
        mx.clear_streams()

    thread = threading.Thread(target=life)
    thread.start()
    thread.join()
    if isinstance(done[0], Exception):
        raise done[0]
    return done[0]


def copy_without(folder: Path, name: str) -> Path:
    for path in model_path("1m").iterdir():
        if path.name != name:
            (folder / path.name).symlink_to(path)
    return folder


def test_a_model_is_opened_whole_with_progress():
    progress = []

    def look():
        model, tokenizer, config = open_model(str(model_path("1m")), progress.append)
        return type(model).__module__, tokenizer.decode(tokenizer.encode("hello")), config["model_type"]

    module, text, kind = in_a_thread_of_its_own(look)
    assert (module, kind) == ("mlx_lm.models.llama", "llama") and text.endswith("hello")
    assert progress == sorted(progress) and progress[-1] == pytest.approx(WEIGHTS_PART)


def test_no_directory_is_said():
    with pytest.raises(FileNotFoundError, match="no such model directory"):
        in_a_thread_of_its_own(lambda: open_model("/nowhere/at/all", print))


def test_a_tokenizer_that_cannot_be_made_is_the_loads_problem(tmp_path):
    (copy_without(tmp_path, "tokenizer.json") / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError):
        in_a_thread_of_its_own(lambda: open_model(str(tmp_path), print))


def test_the_architecture_is_imported_before_anybody_asks():
    in_a_thread_of_its_own(lambda: prepare_load(str(model_path("1m"))))
    assert {"mlx_lm.models.llama", "transformers.models.llama.configuration_llama"} <= sys.modules.keys()


@pytest.mark.parametrize("config", ["{", "[]", json.dumps({"model_type": 3}), json.dumps({"model_type": "no_such"}),
                                    json.dumps({"model_type": "../guide"}), "{}"])
def test_what_cannot_be_told_beforehand_fails_only_when_it_is_loaded(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    in_a_thread_of_its_own(lambda: prepare_load(str(tmp_path)))
    in_a_thread_of_its_own(lambda: prepare_load(str(tmp_path / "missing")))
