"""The downloader against a hub of our own, over real HTTP: what it fetches, how it goes on, and what it says."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from control.weights import cached_models, find_weights
from tests.support.models import model_path
from tests.support.scripted_hub import TOKEN, Hub, sha256_of
from tests.support.supervisor_home import ROOT
from workers import fetch_lines
from workers.fetch_lines import Done, Failed, Progress
from workers.fetch_users import FILE as USERS

TINY = "org/tiny"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("hub"))
    shutil.copytree(model_path("1m"), hub.folder / TINY)
    for name in ("modeling_tiny.py", "pytorch_model.bin", "README.md", "onnx/model.json", "1_Pooling/config.json"):
        path = hub.folder / TINY / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    (hub.folder / "org/none").mkdir()
    (hub.folder / "org/none/model.gguf").write_text("x")
    yield hub
    hub.close()


class Place:
    """A cache of its own, and the downloader in it."""

    def __init__(self, hub: Hub, home: Path) -> None:
        self.hub, self.home = hub, home
        self.env = {key: text for key, text in os.environ.items() if not key.startswith("HF_")} | hub.env(home) | {
            "PYTHONPATH": str(ROOT)}

    def start(self, *words: str, **env: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-P", "-m", "workers.fetch", *words], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, env=self.env | env)

    def run(self, *words: str, **env: str) -> list[fetch_lines.Line]:
        with self.start(*words, **env) as process:
            return [fetch_lines.decode(line) for line in process.stdout]

    def failure(self, *words: str, **env: str) -> Failed:
        said = self.run(*words, **env)
        assert isinstance(said[-1], Failed), said
        return said[-1]

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file())


@pytest.fixture
def place(hub, tmp_path) -> Place:
    hub.behave()
    return Place(hub, tmp_path / "hf")


def status_of(said: Sequence[fetch_lines.Line]) -> list[str]:
    return list(dict.fromkeys(line.status for line in said if isinstance(line, Progress)))


def test_a_model_is_fetched_into_the_usual_cache_and_found_there(place):
    *said, done = place.run("pull", TINY)
    assert status_of(said) == [fetch_lines.MANIFEST, fetch_lines.PULLING, fetch_lines.VERIFYING, fetch_lines.WRITING]
    assert isinstance(done, Done) and done.by_us
    assert Path(done.path).name == done.revision and sorted(os.listdir(done.path)) == sorted(
        [*os.listdir(model_path("1m")), "1_Pooling"])
    assert cached_models(place.env) == [TINY]
    assert find_weights("", TINY, [], place.env) == done.path
    assert sha256_of(Path(done.path, WEIGHTS)) == sha256_of(model_path("1m") / WEIGHTS)
    assert done.bytes == sum(path.stat().st_size for path in Path(done.path).rglob("*") if path.is_file())


def test_progress_is_told_file_by_file_with_the_digest_of_large_ones(place):
    place.hub.behave(pause_s=0.01)
    said = [line for line in place.run("pull", TINY) if isinstance(line, Progress) and line.file]
    large = [line for line in said if line.digest]
    size = (model_path("1m") / WEIGHTS).stat().st_size
    assert {(line.file, line.digest, line.total) for line in large} == {
        (WEIGHTS, sha256_of(model_path("1m") / WEIGHTS), size)}
    completed = [line.completed for line in large if line.status == fetch_lines.PULLING]
    assert completed == sorted(completed) and completed[0] == 0 and completed[-1] == size and len(completed) > 2
    assert {line.file for line in said} > {"config.json", "tokenizer.json"}


def test_what_is_there_is_not_fetched_again(place):
    first = place.run("pull", TINY)[-1]
    sent = place.hub.sent("")
    again = place.run("pull", TINY)[-1]
    assert again == first and again.by_us
    assert place.hub.sent("/cdn/") + place.hub.sent("/resolve/") <= sent


def test_what_another_program_fetched_is_not_ours_even_if_a_file_of_it_was_missing(place):
    first = place.run("pull", TINY)[-1]
    Path(first.path).parents[1].joinpath(USERS).unlink()
    Path(first.path, "config.json").unlink()
    done = place.run("pull", TINY)[-1]
    assert Path(done.path, "config.json").is_file() and done.path == first.path and not done.by_us


def test_a_download_goes_on_where_it_was_killed(place):
    size, held = (model_path("1m") / WEIGHTS).stat().st_size, 2_000_000
    place.hub.behave(hold_after=held, pause_s=0.02)
    process = place.start("pull", TINY)
    for line in process.stdout:
        if json.loads(line).get("completed", 0) > held // 2 and WEIGHTS.encode() in line:
            break
    process.kill()
    process.wait()
    begun = next(place.home.rglob("*.incomplete")).stat().st_size
    assert held // 2 < begun < size
    place.hub.behave()
    asked = len(place.hub.asked("/cdn/"))
    done = place.run("pull", TINY)[-1]
    gets = [each for each in place.hub.asked("/cdn/")[asked:] if each["range"] == f"bytes={begun}-"]
    assert isinstance(done, Done) and [each["sent"] for each in gets] == [size - begun] and done.by_us
    assert sha256_of(Path(done.path, WEIGHTS)) == sha256_of(model_path("1m") / WEIGHTS)
    assert not list(place.home.rglob("*.incomplete"))


def test_a_server_that_breaks_off_is_said_and_the_next_pull_goes_on(place):
    place.hub.behave(break_after=1_000_000)
    failed = place.failure("pull", TINY)
    assert failed.code == "upstream_failed" and "goes on where it was" in failed.message
    place.hub.behave()
    assert isinstance(place.run("pull", TINY)[-1], Done)


def test_a_file_that_came_damaged_is_thrown_away(place):
    place.hub.behave(damage=True)
    failed = place.failure("pull", TINY)
    assert failed.code == "upstream_failed" and f"{WEIGHTS} came damaged" in failed.message
    assert not any(WEIGHTS in name or "incomplete" in name for name in place.files())
    place.hub.behave()
    assert isinstance(place.run("pull", TINY)[-1], Done)


def test_no_network_names_the_endpoint(place):
    failed = place.failure("pull", TINY, HF_ENDPOINT="http://127.0.0.1:9")
    assert failed.code == "upstream_failed" and "http://127.0.0.1:9" in failed.message
    assert "HF_HUB_OFFLINE" in place.failure("pull", TINY, HF_HUB_OFFLINE="1").message
    place.hub.behave(down=503)
    assert "503" in place.failure("pull", TINY).message


def test_a_model_that_is_not_there_or_gated_says_so(place):
    failed = place.failure("pull", "org/nothere")
    assert failed.code == "model_not_found" and "org/nothere" in failed.message and "HF_TOKEN" in failed.message
    place.hub.behave(gated=True)
    failed = place.failure("pull", TINY)
    assert failed.code == "model_not_found" and "gated" in failed.message and "set HF_TOKEN" in failed.message
    failed = place.failure("pull", TINY, HF_TOKEN="hf_of_somebody_else")
    assert "the token in HF_TOKEN may not" in failed.message and "somebody" not in failed.message


def test_a_token_is_for_the_hub_and_not_for_where_it_sends_us(place):
    place.hub.behave(gated=True)
    asked = len(place.hub.asked())
    said = place.run("pull", TINY, HF_TOKEN=TOKEN)
    assert isinstance(said[-1], Done) and TOKEN not in str(said)
    told = {each["has_token"] for each in place.hub.asked()[asked:] if "/cdn/" not in each["path"]}
    sent_on = {each["has_token"] for each in place.hub.asked("/cdn/") if each in place.hub.asked()[asked:]}
    assert told == {True} and sent_on == {False}


def test_what_mlx_cannot_load_is_refused_before_anything_is_fetched(place):
    failed = place.failure("pull", "org/none")
    assert failed.code == "invalid_request" and "GGUF" in failed.message and not place.files()


def test_a_full_disk_is_said_before_anything_is_fetched(place, monkeypatch):
    from workers import fetch, fetch_errors

    with pytest.raises(fetch_errors.FetchFailed, match=r"GB are to be fetched, .* GB free; make room") as failed:
        fetch.check_room(1 << 60, place.home)
    assert failed.value.code == "insufficient_memory"
    fetch.check_room(0, place.home / "not" / "there")


def test_a_directory_is_looked_at_and_left_where_it_is(place):
    (done,) = place.run("check", str(model_path("1m")))
    assert done == Done(os.path.realpath(model_path("1m")), bytes=done.bytes) and done.bytes > 1_000_000
    failed = place.failure("check", str(place.hub.folder))
    assert failed.code == "invalid_request" and "holds no config.json" in failed.message


def test_one_snapshot_is_deleted_and_no_other(place):
    done = place.run("pull", TINY)[-1]
    other = Path(done.path).with_name("1" * 40)
    shutil.copytree(done.path, other, symlinks=True)
    (dropped,) = place.run("drop", TINY, done.revision)
    assert isinstance(dropped, Done) and not Path(done.path).exists()
    assert (other / WEIGHTS).stat().st_size > 1_000_000
    (dropped,) = place.run("drop", TINY, other.name)
    assert dropped.bytes >= done.bytes - 2 and not cached_models(place.env)
    assert isinstance(place.run("drop", TINY, other.name)[0], Done)
    assert isinstance(place.run("drop", TINY, other.name, HF_HOME="/nowhere/at/all")[0], Done)


def test_a_repository_of_the_same_commit_keeps_its_weights(place):
    twin = "org/twin"
    shutil.copytree(place.hub.folder / TINY, place.hub.folder / twin, dirs_exist_ok=True)
    tiny, other = (place.run("pull", name)[-1] for name in (TINY, twin))
    assert tiny.revision == other.revision
    for name, gone, stays in ((twin, other, tiny), (TINY, tiny, None)):
        assert place.run("drop", name, gone.revision)[0].bytes > 0
        assert not Path(gone.path).exists() and (stays is None or Path(stays.path, WEIGHTS).is_file())


def test_weights_stay_while_another_home_uses_them(place, tmp_path):
    homes = [tmp_path / name for name in ("one", "two", "gone")]
    for home in homes:
        home.mkdir()
        done = place.run("pull", TINY, WARDEN_HOME=str(home))[-1]
        assert done.by_us
    homes[2].rmdir()
    (kept,) = place.run("drop", TINY, done.revision, WARDEN_HOME=str(homes[0]))
    assert kept == Done("", done.revision) and Path(done.path, WEIGHTS).is_file()
    (dropped,) = place.run("drop", TINY, done.revision, WARDEN_HOME=str(homes[1]))
    assert dropped.bytes > 0 and not cached_models(place.env)


def test_it_ends_when_nobody_holds_its_input(place):
    place.hub.behave(hold_after=0)
    process = place.start("pull", TINY)
    assert process.stdout.readline()
    process.stdin.close()
    assert process.wait() == 1
