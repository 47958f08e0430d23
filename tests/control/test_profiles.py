"""What was measured is kept for the files it was measured with, and nothing that happens to it does any harm."""

import json
import os
import resource
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.budget import Profile
from control.config import ModelConfig
from control.profiles import FILE_MAX_BYTES, fingerprint, read_profile, write_profile
from tests.support.toml_files import make_weights

SEEN = "0" * 64
MEASURED = Profile(loaded_bytes=1000, peak_bytes=3000, load_s=1.5)


def test_what_was_written_is_read(tmp_path):
    assert read_profile(tmp_path, "m", SEEN) is None
    assert write_profile(tmp_path, "m", SEEN, MEASURED) == ""
    assert read_profile(tmp_path, "m", SEEN) == MEASURED
    assert [file.name for file in tmp_path.iterdir()] == ["m.json"]
    assert stat.S_IMODE((tmp_path / "m.json").stat().st_mode) == 0o600


def test_other_files_have_no_profile_and_writing_begins_anew(tmp_path):
    write_profile(tmp_path, "m", SEEN, MEASURED)
    assert read_profile(tmp_path, "m", "1" * 64) is None
    assert read_profile(tmp_path, "n", SEEN) is None
    write_profile(tmp_path, "m", "1" * 64, Profile(2000, 2500, 1.0))
    assert read_profile(tmp_path, "m", "1" * 64) == Profile(2000, 2500, 1.0)


def test_the_peak_only_grows_and_what_was_loaded_only_falls(tmp_path):
    write_profile(tmp_path, "m", SEEN, MEASURED)
    write_profile(tmp_path, "m", SEEN, Profile(900, 2000, 2.0))
    assert read_profile(tmp_path, "m", SEEN) == Profile(900, 3000, 2.0)
    write_profile(tmp_path, "m", SEEN, Profile(2000, 4000, 2.0))
    assert read_profile(tmp_path, "m", SEEN) == Profile(900, 4000, 2.0)


def test_what_is_known_already_is_not_written_again(tmp_path):
    write_profile(tmp_path, "m", SEEN, MEASURED)
    before = (tmp_path / "m.json").stat().st_ino
    assert write_profile(tmp_path, "m", SEEN, MEASURED) == ""
    assert (tmp_path / "m.json").stat().st_ino == before


@pytest.mark.parametrize("change", [
    {"format": 2}, {"format": None}, {"peak_bytes": 0}, {"loaded_bytes": -1}, {"peak_bytes": 2**60},
    {"peak_bytes": 1.5}, {"loaded_bytes": True}, {"load_s": -1.0}, {"load_s": float("nan")}, {"load_s": "1"},
    {"load_s": None}, {"padding": "x" * FILE_MAX_BYTES},
])
def test_a_profile_that_is_not_sound_is_none(tmp_path, change):
    write_profile(tmp_path, "m", SEEN, MEASURED)
    said = json.loads((tmp_path / "m.json").read_text())
    (tmp_path / "m.json").write_text(json.dumps(said))
    assert read_profile(tmp_path, "m", SEEN) == MEASURED
    (tmp_path / "m.json").write_text(json.dumps(said | change))
    assert read_profile(tmp_path, "m", SEEN) is None
    assert write_profile(tmp_path, "m", SEEN, MEASURED) == ""
    assert read_profile(tmp_path, "m", SEEN) == MEASURED


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode) | st.just(b"[" * FILE_MAX_BYTES))
def test_no_bytes_whatever_do_more_than_read_as_none(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("profiles")
    (folder / "m.json").write_bytes(data)
    assert read_profile(folder, "m", SEEN) is None


def test_something_else_under_its_name_reads_as_none_and_is_told_when_writing(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    assert read_profile(tmp_path, "pipe", SEEN) is None
    (tmp_path / "m.json").mkdir()
    assert read_profile(tmp_path, "m", SEEN) is None
    assert write_profile(tmp_path, "m", SEEN, MEASURED).startswith(f"{tmp_path}/m.json: cannot be written (")
    assert "cannot be written (No such file or directory)" in write_profile(tmp_path / "gone", "m", SEEN, MEASURED)


def test_a_link_under_the_new_name_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".m.json.new").symlink_to(victim)
    assert "cannot be written" in write_profile(tmp_path, "m", SEEN, MEASURED)
    assert victim.read_text() == "mine"


def test_a_disk_that_is_full_leaves_the_old_profile(tmp_path):
    write_profile(tmp_path, "m", SEEN, MEASURED)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        said = write_profile(tmp_path, "m", SEEN, MEASURED._replace(peak_bytes=9000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert said == f"{tmp_path}/m.json: cannot be written (File too large); the model is measured anew the next time"
    assert read_profile(tmp_path, "m", SEEN) == MEASURED
    assert write_profile(tmp_path, "m", SEEN, MEASURED._replace(peak_bytes=9000)) == ""
    assert read_profile(tmp_path, "m", SEEN).peak_bytes == 9000


def test_the_fingerprint_is_of_the_files_and_changes_with_them(tmp_path):
    place = make_weights(tmp_path / "model")
    model = ModelConfig(name="m", slug="m", path=str(place))
    before = fingerprint(model)
    (place / "notes.txt").write_text("something else")
    assert fingerprint(model) == before and len(before) == 64
    os.utime(place / "model.safetensors", ns=(0, 12345))
    changed = [before, fingerprint(model)]
    (place / "model.safetensors").write_bytes(b"more")
    os.utime(place / "model.safetensors", ns=(0, 12345))
    changed.append(fingerprint(model))
    (place / "model-2.safetensors").touch()
    changed.append(fingerprint(model))
    changed.append(fingerprint(ModelConfig(name="m", slug="m", engine="echo")))
    (place / "config.json").unlink()
    changed.append(fingerprint(model))
    assert len(set(changed)) == len(changed)
