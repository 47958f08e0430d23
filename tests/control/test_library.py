"""The library: what it may hold, that it appears whole, and how it joins what the file of the user says."""

import os
import stat

import pytest

from control.config import MODELS_MAX, ConfigError, load_config, with_library
from control.library import (
    ALIASES_MAX,
    FETCHED_MAX,
    FILE_MAX_BYTES,
    Dropped,
    Fetched,
    Library,
    decode_library,
    encode_library,
    library_path,
    read_library,
    what_is_wrong,
)
from control.library_file import LibraryNotWritten, write_library
from tests.support.gateway_world import make_config, make_model

COMMIT = "ab12" * 10
PULLED = Fetched("org/Tiny", "/models/tiny", "org/Tiny", COMMIT, True, 5)
FULL = Library(models=(PULLED,), aliases={"mine:7b": "org/Tiny"}, dropped=(Dropped("org/old", COMMIT),))


def test_what_is_written_is_read(tmp_path):
    path = library_path(tmp_path)
    assert read_library(path) == Library()
    write_library(path, FULL)
    assert read_library(path) == FULL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_library(path, Library())
    assert read_library(path) == Library()
    assert os.listdir(tmp_path) == [path.name]


def test_what_a_killed_writer_left_is_in_nobodys_way(tmp_path):
    path = library_path(tmp_path)
    path.with_name(f".{path.name}.new").write_text("half")
    write_library(path, FULL)
    assert read_library(path) == FULL


def test_a_library_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = library_path(tmp_path / "nowhere")
    with pytest.raises(LibraryNotWritten, match="cannot be written .*; mend that"):
        write_library(path, FULL)


@pytest.mark.parametrize("library", [
    Library(models=tuple(Fetched(f"m{n}", "/x") for n in range(FETCHED_MAX + 1))), Library(aliases={"a b": "a"}),
    Library(models=(Fetched("a", "relative"),)), Library(models=(Fetched("a", "/" + "x" * FILE_MAX_BYTES),))])
def test_what_could_not_be_read_again_is_not_written(tmp_path, library):
    path = library_path(tmp_path)
    write_library(path, FULL)
    with pytest.raises(LibraryNotWritten, match="could not be read again"):
        write_library(path, library)
    assert read_library(path) == FULL and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("data", [
    b"", b"{", b"[]", b"\xff", b'{"version": 2}', b'{"models": 5}', b'{"models": [{"name": "a"}]}',
    b'{"models": [{"name": "a", "path": "relative"}]}', b'{"models": [{"name": "a b", "path": "/x"}]}',
    b'{"models": [{"name": "a", "path": "/x", "source": "../../etc", "revision": "1"}]}',
    b'{"models": [{"name": "a", "path": "/x", "source": "org/a", "revision": "../.."}]}',
    b'{"aliases": {"": "a"}}', b'{"aliases": {"a": "b c"}}', b'{"dropped": [{"source": "..", "revision": "1"}]}',
    b'{"dropped": [{"source": "org/a", "revision": ""}]}', b"x" * (FILE_MAX_BYTES + 1), b'[' * 100_000])
def test_a_broken_file_is_an_error_that_says_what_to_do_and_stays(tmp_path, data):
    path = library_path(tmp_path)
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"library\.json: .*; mend it, or move it away") as refused:
        read_library(path)
    assert "\n" not in str(refused.value) and path.read_bytes() == data


def test_a_library_is_bounded():
    models = tuple(Fetched(f"m{n}", "/x") for n in range(FETCHED_MAX + 1))
    assert str(FETCHED_MAX) in what_is_wrong(Library(models=models))
    assert what_is_wrong(Library(models=models[1:])) == ""
    assert str(ALIASES_MAX) in what_is_wrong(Library(aliases={f"n{n}": "a" for n in range(ALIASES_MAX + 1)}))


def test_models_are_found_by_every_spelling():
    for name in ("org/Tiny", "ORG/tiny:latest", "hf.co/org/tiny", "https://huggingface.co/org/tiny"):
        assert FULL.find(name) is PULLED
    assert FULL.find("mine:7b") is None
    assert decode_library(encode_library(FULL), "") == FULL


# Joined with the file.

def test_a_configuration_has_the_models_and_names_of_the_library():
    config = with_library(make_config("a"), FULL)
    assert [model.name for model in config.models] == ["a", "org/Tiny"]
    tiny = config.find("hf.co/org/tiny:latest")
    assert (tiny.path, tiny.slug, tiny.pulled, tiny.copies) == ("/models/tiny", "org-tiny", True, ("mine:7b",))
    assert config.find("mine:7b") is tiny and config.default.name == "a"
    assert not config.find("a").pulled


def test_another_library_takes_the_place_of_the_first():
    base = make_config("a", make_model("b", audience="agents"))
    config = with_library(with_library(base, FULL), Library(aliases={"further": "b"}))
    assert config.models == with_library(base, Library(aliases={"further": "b"})).models
    assert config.find("org/tiny") is None and config.find("mine:7b") is None
    assert config.find("further").audience == "agents" and "further" in config.reserved_names
    assert with_library(config, Library()) == base


def test_the_file_wins_where_names_clash():
    base = make_config("a", make_model("org-tiny"))
    config = with_library(base, Library(models=(PULLED, Fetched("a-alias", "/x"), Fetched("fine", "/y")),
                                        aliases={"a": "fine", "fine": "a", "new": "gone", "newer": "fine"}))
    assert [model.name for model in config.models] == ["a", "org-tiny", "fine"]
    assert config.find("a").name == "a" and config.find("fine").copies == ("newer",)
    assert config.find("new") is None


def test_there_are_never_more_models_than_the_table_has_rows_for():
    base = make_config(*(f"m{n}" for n in range(MODELS_MAX - 1)))
    config = with_library(base, Library(models=(PULLED, Fetched("second", "/x"))))
    assert len(config.models) == MODELS_MAX and config.find("second") is None


def test_every_process_that_reads_the_configuration_has_the_library(tmp_path):
    write_library(library_path(tmp_path), FULL)
    config = load_config({"WARDEN_HOME": str(tmp_path)}, tmp_path)
    assert [model.name for model in config.models] == ["guide", "org/Tiny"]  # its weights need not be there
    library_path(tmp_path).write_text("{")
    with pytest.raises(ConfigError, match=r"library\.json"):
        load_config({"WARDEN_HOME": str(tmp_path)}, tmp_path)
