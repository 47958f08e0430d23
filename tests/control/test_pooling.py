"""control/pooling.py: which embeddings a model gives, and why none."""

import json
import os
import re

import pytest

from control.pooling import choose_pooling, read_pooling

MEAN = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
PLAIN = [{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Pooling"},
         {"type": "sentence_transformers.models.Normalize"}]


def model(folder, **files):
    """`pooling`, `modules` and `config` as JSON or, a text, as it is; what is not given is not there."""
    (folder / "1_Pooling").mkdir()
    places = {"pooling": "1_Pooling/config.json", "modules": "modules.json", "config": "config.json"}
    for name, content in files.items():
        (folder / places[name]).write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder)


@pytest.mark.parametrize(("pooling", "how"), [
    (MEAN, "mean"),
    ({"pooling_mode_lasttoken": True}, "last"),
    ({"pooling_mode_cls_token": True}, "cls"),
    ({"pooling_mode": "lasttoken"}, "last"),
])
def test_the_files_say_how(tmp_path, pooling, how):
    assert read_pooling(model(tmp_path, pooling=pooling, modules=PLAIN, config={})).how == how


@pytest.mark.parametrize(("files", "why"), [
    ({}, "set embeddings ="),
    ({"pooling": "{no json"}, "set embeddings ="),
    ({"pooling": "[" * 100_000}, "set embeddings ="),
    ({"pooling": []}, "set embeddings ="),
    ({"pooling": {"pooling_mode_max_tokens": True}}, "another way of pooling"),
    ({"pooling": {**MEAN, "pooling_mode_lasttoken": True}}, "another way of pooling"),
    ({"pooling": MEAN, "modules": [*PLAIN, {"type": "sentence_transformers.models.Dense"}]}, "layers .*Dense"),
    ({"pooling": MEAN, "config": {"use_bidirectional_attention": True}}, "those after them"),
])
def test_rather_none_than_wrong_ones(tmp_path, files, why):
    found = read_pooling(model(tmp_path, **files))
    assert not found.how and re.search(why, found.why)


def test_a_changed_file_is_read_again(tmp_path):
    path = model(tmp_path, pooling=MEAN)
    assert read_pooling(path).how == "mean"
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_lasttoken": true}')
    os.utime(tmp_path / "1_Pooling" / "config.json", (1, 1))
    assert read_pooling(path).how == "last"


@pytest.mark.parametrize(("engine", "setting", "how", "why"), [
    ("mlx", "", "mean", ""), ("mlx", "last", "last", ""), ("mlx", "off", "", '"off" is set'),
    ("echo", "", "", "engine echo has none"), ("echo", "last", "", "engine echo has none"),
])
def test_the_setting_beats_the_files(tmp_path, engine, setting, how, why):
    found = choose_pooling(engine, model(tmp_path, pooling=MEAN), setting)
    assert found.how == how and why in found.why


def test_a_path_that_is_not_there_says_nothing(tmp_path):
    assert not read_pooling(str(tmp_path / "gone")).how
