"""workers/prefix_disk.py without a model: which files are found, which are removed, and what all may take together."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from control.home import HomeRefused
from workers import prefix_disk
from workers.engine import Spill
from workers.prefix_disk import PrefixDisk

DIGEST, OTHER = "0123456789abcdef" * 2, "f" * 32
HEAD = np.arange(100, dtype=np.int32)
TENSOR_BYTES = 4096
PLENTY = 2**30


def write(path: str, told: dict[str, str]) -> None:
    save_file({"0.0": np.zeros(TENSOR_BYTES, np.uint8)}, path, {f"0.{name}": text for name, text in told.items()})


class World:
    """A home's cache, and models that write into it."""

    def __init__(self, root: Path) -> None:
        self.root, self.notes = root / "cache", []

    def open(self, slug="one", digest=DIGEST, max_bytes=PLENTY) -> PrefixDisk:
        return PrefixDisk(Spill(self.root, slug, max_bytes, lambda event, **facts: self.notes.append(event)), digest)

    def files(self) -> list[Path]:
        return sorted(self.root.glob("*/*"))


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def longer(*tokens: int) -> np.ndarray:
    return np.concatenate([HEAD, np.array(tokens, np.int32)])


def test_what_was_written_is_found_by_the_next_process(world):
    assert world.open().save(longer(1, 2), True, TENSOR_BYTES, write)
    disk = world.open()
    file = disk.find(longer(1, 3, 4), 50)
    assert file.tokens.tolist() == longer(1, 2).tolist() and file.trims and disk.bytes == file.path.stat().st_size
    assert list(disk.load(file, load_file)) == ["0.0"]
    assert disk.find(longer(1, 3, 4), 102) is None, "it holds no more than 101 of them"
    assert disk.find(np.arange(5, 50, dtype=np.int32), 1) is None


def test_what_does_not_trim_is_found_whole(world):
    disk = world.open()
    disk.save(longer(1), False, TENSOR_BYTES, write)
    assert disk.find(longer(2), 1) is None and disk.find(longer(1), 1) is None
    assert disk.find(longer(1, 2), 101)


def test_a_longer_one_takes_the_place_of_its_beginning(world):
    disk = world.open()
    disk.save(HEAD, True, TENSOR_BYTES, write)
    disk.save(longer(1), True, TENSOR_BYTES, write)
    disk.save(longer(1), True, TENSOR_BYTES, write)
    assert len(world.files()) == 1
    disk.save(longer(2), False, TENSOR_BYTES, write)
    disk.save(longer(2, 3), False, TENSOR_BYTES, write)
    assert len(world.files()) == 3, "one that does not trim stands for no other"


def test_another_model_finds_nothing_and_the_same_one_changed_removes_it(world):
    world.open().save(HEAD, True, TENSOR_BYTES, write)
    assert world.open("one-two", DIGEST).find(longer(1), 1) is None and len(world.files()) == 1
    assert world.open("one", OTHER).find(longer(1), 1) is None
    assert world.files() == [] and world.notes == ["prefix_cache_removed"]


def damage_cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def damage_header(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


def damage_name(path: Path) -> None:
    path.rename(path.with_name("foreign.safetensors"))


def damage_link(path: Path) -> None:
    beside = path.parent.parent / "aside"
    path.rename(beside)
    path.symlink_to(beside)


def damage_empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("damage", [damage_cut, damage_header, damage_name, damage_link, damage_empty])
def test_what_is_no_whole_file_of_ours_is_removed_and_said(world, damage):
    world.open().save(HEAD, True, TENSOR_BYTES, write)
    damage(world.files()[0])
    disk = world.open()
    assert disk.bytes == 0 and world.files() == [] and world.notes == ["prefix_cache_removed"]


def test_a_file_of_another_format_is_removed(world):
    disk = world.open()
    save_file({"x": np.zeros(3, np.uint8)}, disk._folder / "00000000-00000000.safetensors")
    assert world.open().bytes == 0 and world.files() == []


@pytest.mark.parametrize("at", [-1, -TENSOR_BYTES])
def test_damaged_tensors_are_never_used(world, at):
    world.open().save(HEAD, True, TENSOR_BYTES, write)
    disk = world.open()
    with open(world.files()[0], "r+b") as opened:
        opened.seek(at, 2)
        opened.write(b"\x01")
    assert disk.load(disk.find(longer(1), 1), load_file) is None
    assert world.files() == [] and disk.bytes == 0 and world.notes == ["prefix_cache_removed"]


def test_what_another_worker_took_away_is_only_a_miss(world):
    disk = world.open()
    disk.save(HEAD, True, TENSOR_BYTES, write)
    shutil.rmtree(disk._folder)
    assert disk.load(disk.find(longer(1), 1), load_file) is None and world.notes == []
    assert disk.find(longer(1), 1) is None


def test_all_models_together_keep_to_the_bound_and_the_oldest_used_goes(world):
    sizes = 3 * (TENSOR_BYTES + 2000)
    one, two = world.open("one", max_bytes=sizes), world.open("two", max_bytes=sizes)
    for number, disk in enumerate([one, two, one]):
        disk.save(longer(number), False, TENSOR_BYTES, write)
        os.utime(max(disk._files), ns=(number, number))
    used = one.find(longer(0, 0), 1)
    one.load(used, load_file)
    two.save(longer(9), False, TENSOR_BYTES, write)
    two.save(longer(8), False, TENSOR_BYTES, write)
    assert used.path in world.files() and sum(file.stat().st_size for file in world.files()) <= sizes
    assert [bool(one.find(longer(number, 0), 101)) for number in (0, 2)] == [True, True], "it does not know yet"
    assert one.load(one.find(longer(2, 0), 101), load_file) is None
    assert not two.save(longer(7), False, 2 * sizes, write) and world.notes == ["prefix_cache_not_written"]


def test_a_full_disk_is_said_once_and_leaves_nothing(world, monkeypatch):
    disk = world.open()
    monkeypatch.setattr(prefix_disk, "SPARE_BYTES", 2**70)
    for _ in range(2):
        assert not disk.save(HEAD, True, TENSOR_BYTES, write)
    assert world.notes == ["prefix_cache_not_written"] and world.files() == []


def test_what_cannot_be_written_leaves_nothing(world):
    def fail(path: str, told: dict[str, str]) -> None:
        Path(path).write_bytes(b"half of it")
        raise RuntimeError("[write] no space left on device")

    assert not world.open().save(HEAD, True, TENSOR_BYTES, fail)
    assert world.files() == [] and world.notes == ["prefix_cache_not_written"]


def test_what_a_process_left_half_written_is_removed_without_a_word(world):
    disk = world.open()
    (disk._folder / "writing-77.safetensors").write_bytes(b"half of it")
    assert world.open().bytes == 0 and world.files() == [] and world.notes == []


def test_a_folder_that_others_may_write_to_is_refused(world):
    world.root.mkdir(mode=0o700)
    world.root.chmod(0o770)
    with pytest.raises(HomeRefused, match="lets other users write"):
        world.open()


def test_a_link_to_a_bigger_disk_will_do(world, tmp_path):
    (tmp_path / "big").mkdir(mode=0o755)
    world.root.symlink_to(tmp_path / "big")
    assert world.open().save(HEAD, True, TENSOR_BYTES, write)
    assert (tmp_path / "big").stat().st_mode & 0o777 == 0o700
