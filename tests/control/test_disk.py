"""Sizes and profiles are read when files change, and nothing that a disk does reaches the caller as an exception."""

from control.budget import ModelFacts, Profile
from control.disk import Disk, remove_kept
from tests.support.gateway_world import make_config


def test_sizes_and_profiles_of_a_model(tmp_path):
    disk = Disk(make_config("a"), tmp_path, lambda *_, **__: None)
    assert isinstance(disk.read_facts("a"), ModelFacts) and disk.read_profile("a") is None
    profile = Profile(10_000_000, 20_000_000, 1.0)
    disk.save_profile("a", profile)
    assert disk.read_profile("a") == profile
    assert Disk(make_config("a"), tmp_path, lambda *_, **__: None).read_profile("a") == profile


def test_a_profile_that_cannot_be_written_is_said_once(tmp_path):
    said = []
    disk = Disk(make_config("a"), tmp_path / "missing", lambda event, **facts: said.append((event, facts["model"])))
    disk.read_facts("a")
    for size in (20_000_000, 30_000_000):
        disk.save_profile("a", Profile(10_000_000, size, 1.0))
    assert said == [("profile_not_written", "a")]
    assert disk.read_profile("a").peak_bytes == 30_000_000


def test_what_workers_kept_of_a_deleted_model_goes_with_it_and_nothing_else(tmp_path):
    remove_kept(tmp_path / "none", "some")
    digest = "0a" * 16
    for name in (f"some-{digest}", f"some-other-{digest}", "some-1", f"some-{digest}.bak"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.safetensors").write_text("")
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / f"some-{'1b' * 16}").symlink_to(outside)
    (outside / "kept").write_text("")
    remove_kept(tmp_path, "some")
    assert not (tmp_path / f"some-{digest}").exists() and (outside / "kept").exists()
    assert all((tmp_path / name).exists() for name in (f"some-other-{digest}", "some-1", f"some-{digest}.bak"))
