"""transformers finds the same names with the memory as without it, and anything strange costs the slow way only."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from workers.quick_imports import FILE, Kept, encode, recall, remembered

NAMES = {frozenset(): {"llama.tokenization": {"LlamaTokenizer"}}, frozenset({"torch"}): {"llama.modeling": {"Llama"}}}
LOOK = """
import json, sys
from pathlib import Path
from workers import quick_imports
quick_imports.install(Path(sys.argv[1]), "test")
import transformers
import transformers.models
print(json.dumps([sorted(each.__all__) for each in (transformers, transformers.models)]))
"""


class Search:
    """What transformers has: it is slow, so how often it was asked matters."""

    def __init__(self, names=NAMES):
        self.names = names
        self.asked = []

    def __call__(self, module_path, prefix=None):
        self.asked.append((str(module_path), prefix))
        return self.names


@pytest.fixture
def models(tmp_path) -> Path:
    place = tmp_path / "transformers" / "models"
    place.mkdir(parents=True)
    return place


def test_the_search_is_done_once_and_remembered_across_processes(tmp_path, models):
    search = Search()
    first = remembered(search, tmp_path, "one")
    assert first(models, "models") == {
        frozenset(): {"models.llama.tokenization": {"LlamaTokenizer"}},
        frozenset({"torch"}): {"models.llama.modeling": {"Llama"}}}
    assert remembered(search, tmp_path, "other")(str(models / "__init__.py")) == NAMES
    assert search.asked == [(str(models), None)]


def test_what_a_caller_changes_is_not_remembered(tmp_path, models):
    again = remembered(Search(), tmp_path, "one")
    again(models, "models")[frozenset()]["more"] = {"More"}
    assert again(models, "models")[frozenset()].keys() == {"models.llama.tokenization"}


def test_any_other_directory_is_searched_as_ever(tmp_path, models):
    search = Search()
    again = remembered(search, tmp_path, "one")
    for _ in range(2):
        again(str(models / "llama" / "__init__.py"), "x")
    assert search.asked == 2 * [(str(models / "llama" / "__init__.py"), "x")] and not (tmp_path / FILE).exists()


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"\xc1 no MessagePack"),
    lambda path: path.write_bytes(msgspec.msgpack.encode({"version": 1})),
    lambda path: path.write_bytes(encode(Kept("another", "place", 0, []))),
    lambda path: path.write_bytes(path.read_bytes().replace(b"llama", b"lla\xffa")),
    lambda path: path.write_bytes(path.read_bytes().replace(b"Llama", b"Llana")),
    lambda path: (path.unlink(), path.mkdir()),
])
def test_damage_costs_the_slow_way(tmp_path, models, damage):
    search = Search()
    remembered(search, tmp_path, "one")(models)
    damage(tmp_path / FILE)
    assert remembered(search, tmp_path, "one")(models) == NAMES and len(search.asked) == 2


def test_a_directory_or_version_that_changed_is_searched_anew(tmp_path, models, monkeypatch):
    monkeypatch.delitem(sys.modules, "transformers", raising=False)  # its version would be the one that counts
    remembered(Search(), tmp_path, "one")(models)
    assert recall(tmp_path / FILE, "", models) == NAMES
    assert recall(tmp_path / FILE, "5.0", models) is None
    os.utime(models, ns=(1, 1))
    assert recall(tmp_path / FILE, "", models) is None


def test_names_of_another_shape_are_handed_on_and_not_kept(tmp_path, models):
    assert remembered(Search([1, 2]), tmp_path, "one")(models) == [1, 2] and not (tmp_path / FILE).exists()


def test_transformers_itself_has_the_same_names_both_ways(tmp_path):
    said = [json.loads(subprocess.run([sys.executable, "-c", LOOK, str(tmp_path)], capture_output=True, text=True,
                                      check=True).stdout) for _ in ("searched", "remembered")]
    assert (tmp_path / FILE).exists() and said[0] == said[1] and "AutoTokenizer" in said[0][0]
