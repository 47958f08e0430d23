"""`warden fits`: the sum, the budget, who is loaded, and one of three verdicts with its exit code."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.budget import Profile, size
from control.config import ModelConfig
from control.home import Home, prepare_home
from control.profiles import fingerprint, write_profile
from control.states import Phase
from control.table import ControlWords, RowControl, RowWorker, Table
from gateway.cli.fits import LATER, NEVER, NOW, Loaded, choose_makers, choose_verdict
from gateway.cli.main import main
from tests.support.models import model_path

MIB, GIB = 1024**2, 1024**3


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with a configuration of three models and a budget of 1 GiB; no stack runs."""
    home = Home(tmp_path / "home")
    prepare_home(home)
    monkeypatch.setenv("WARDEN_HOME", str(home.root))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("WARDEN_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "warden.toml").write_text(
        "[memory]\nmemory_budget_gb = 1\n"
        f'[models.tiny]\npath = "{model_path("1m")}"\naliases = ["little"]\n'
        f'[models.wide]\npath = "{model_path("1m")}"\nmemory_gb = 0.75\n'
        f'[models.tight]\npath = "{model_path("1m")}"\nmemory_gb = 0.001\n'
        '[models.echo]\nengine = "echo"\n')
    return home


def run_stack(home: Home, shares: dict[str, int], pinned: tuple[str, ...] = (), age_ns: int = 0,
              empty: tuple[str, ...] = (), **words: int) -> None:
    """The table of a stack whose control has written `age_ns` ago."""
    table = Table.create(home.table, boot_id=1)
    writer = table.writer(ControlWords)
    writer.set(**{"epoch": 1, "heartbeat_ns": time.monotonic_ns() - age_ns, "ceiling_bytes": GIB} | words)
    writer.flush()
    for index, (name, share_bytes) in enumerate(shares.items()):
        table.name_row(index, name)
        writer = table.writer(RowControl, index)
        writer.set(phase=Phase.ALIVE, share_bytes=share_bytes, pinned=int(name in pinned))
        writer.flush()
        writer = table.writer(RowWorker, index)
        writer.set(phase=Phase.EMPTY if name in empty else Phase.READY, heartbeat_ns=time.monotonic_ns())
        writer.flush()
    table.close()


def fits(capsys: pytest.CaptureFixture[str], model: str) -> dict:
    code = main(["fits", model, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == (1 if told["verdict"] == NEVER else 0)
    return told


def test_the_sum_is_shown_line_by_line(home, capsys):
    assert main(["fits", "tiny"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == f"tiny: {model_path('1m')}"
    assert [line.split()[0] for line in lines[1:9]] == [
        "weights", "KV", "copies", "prefill", "runtime", "share", "at", "budget"]
    assert "4 MiB x 1.02" in lines[1] and "for 5 rows of 4096 tokens" in lines[2]
    assert lines[8].split(maxsplit=1)[1] == "1.0 GiB  memory_budget_gb, as configured"
    assert lines[9:] == ["no stack runs: the budget is what it would be, and nothing is loaded", "fits"]
    assert err == ""


def test_the_json_holds_the_same_sum(home, capsys):
    told = fits(capsys, "tiny")
    assert (told["verdict"], told["rows"], told["context_length"]) == (NOW, 5, 4096)
    assert sum(part["bytes"] for part in told["parts"]) == told["share_bytes"] > told["least_bytes"]
    assert told["ceiling_bytes"] == told["free_bytes"] == GIB and told["available_bytes"] > 0
    assert (told["stack_runs"], told["loaded"], told["makes_room"]) == (False, [], [])
    assert told["arithmetic"].startswith(f"needs at least {size(told['least_bytes'])} (weights 4 MiB x 1.02, ")


def test_an_alias_a_directory_and_a_cached_id_are_found(home, tmp_path, capsys):
    (tmp_path / "mine").symlink_to(model_path("1m"))
    snapshots = tmp_path / "hub" / "models--org--tiny" / "snapshots"
    snapshots.mkdir(parents=True)
    (snapshots.parent / "refs").mkdir()
    (snapshots.parent / "refs" / "main").write_text("abc")
    (snapshots / "abc").symlink_to(model_path("1m"))
    paths = {fits(capsys, name)["path"] for name in ("little", "mine", str(model_path("1m")), "org/tiny")}
    assert paths == {str(model_path("1m").resolve())}
    assert fits(capsys, "guide")["path"].endswith("workers/guide/model")
    assert fits(capsys, "echo")["parts"] == [{"name": "runtime", "bytes": 48 * MIB, "detail": ""}]


@pytest.mark.parametrize(("name", "says"), [
    ("tinny", "no model 'tinny' is configured (did you mean tiny?); and tinny: \"tinny\" is not a directory"),
    ("org/none", "and not in the Hugging Face cache"),
    ("warden.toml", "is a file"),
    ("", "no model '' is configured"),
    ("relay-ollama", "relay-ollama is a relay and holds no model; `warden ctl stop relay-ollama` and"),
])
def test_a_model_that_is_nowhere_is_exit_code_2(home, capsys, name, says):
    assert main(["fits", name]) == 2
    out, err = capsys.readouterr()
    assert out == "" and says in err and err.count("\n") == 1


def test_a_damaged_model_is_exit_code_2_with_its_one_line(home, tmp_path, capsys):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text("{}")
    (damaged / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{")
    assert main(["fits", "damaged"]) == 2
    assert capsys.readouterr().err.startswith(f"{damaged}/model.safetensors: its header should have 2 bytes")


def test_what_can_never_fit_is_exit_code_1(home, capsys, monkeypatch):
    monkeypatch.setenv("WARDEN_MEMORY_BUDGET_GB", "0.1")
    assert main(["fits", "tiny"]) == 1
    out, err = capsys.readouterr()
    last = out.splitlines()[-1]
    assert last.startswith("can never fit: it needs at least 2") and last.endswith("for all models is 102 MiB")
    assert err == ""


def test_what_is_loaded_counts_and_says_who_would_make_room(home, capsys):
    run_stack(home, {"echo": 48 * MIB, "wide": 900 * MIB}, pinned=("echo",))
    assert main(["fits", "tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "fits when wide has made room"
    assert [" ".join(line.split()) for line in lines if line.startswith("    ")] == [
        "echo 48 MiB loaded, pinned", "wide 900 MiB loaded"]
    told = fits(capsys, "tiny")
    assert (told["verdict"], told["makes_room"], told["stack_runs"]) == (LATER, ["wide"], True)
    assert told["free_bytes"] == GIB - 948 * MIB and told["rows"] == 1


def test_beside_those_loaded_it_gets_the_room_that_is_left(home, capsys):
    run_stack(home, {"wide": 750 * MIB})
    told = fits(capsys, "tiny")
    assert (told["verdict"], told["text"]) == (NOW, "fits beside those loaded")
    assert told["least_bytes"] < told["share_bytes"] <= GIB - 750 * MIB and 1 < told["rows"] < 5


def test_the_model_itself_is_not_in_its_own_way(home, capsys):
    run_stack(home, {"tiny": 900 * MIB})
    assert fits(capsys, "tiny")["verdict"] == NOW
    main(["fits", "tiny"])
    assert "this model, loaded" in capsys.readouterr().out


def test_the_ceiling_is_that_of_the_running_stack_less_what_was_lost(home, capsys):
    run_stack(home, {}, ceiling_bytes=3 * GIB, leaked_bytes=GIB)
    told = fits(capsys, "tiny")
    assert told["ceiling_bytes"] == 2 * GIB
    assert told["ceiling_why"] == "as the running stack has it; less what processes that ended did not give back"


def test_a_table_that_control_has_left_is_no_stack(home, capsys):
    run_stack(home, {"wide": 900 * MIB}, age_ns=10**10)
    told = fits(capsys, "tiny")
    assert (told["stack_runs"], told["loaded"], told["verdict"]) == (False, [], NOW)


def test_what_was_measured_is_used(home, capsys):
    model = ModelConfig(name="tiny", slug="tiny", path=str(model_path("1m").resolve()))
    assert write_profile(home.profiles, "tiny", fingerprint(model), Profile(150 * MIB, 160 * MIB, 1.0)) == ""
    told = fits(capsys, "tiny")
    assert told["measured"] and sum(part["bytes"] for part in told["parts"][:1]) < 150 * MIB
    assert sum(part["bytes"] for part in told["parts"] if part["name"] in ("weights", "runtime")) == 150 * MIB


def test_memory_gb_is_the_share_and_one_that_is_too_small_is_said(home, capsys):
    assert fits(capsys, "wide")["share_bytes"] == 768 * MIB
    main(["fits", "tight"])
    assert "memory_gb = 0.001 is less than it needs, so it gets what it needs" in capsys.readouterr().out


# -- pure parts

loaded = st.lists(st.builds(Loaded, st.text("abc", min_size=1), st.integers(1, 1000), st.booleans()), max_size=12,
                  unique_by=lambda each: each.name)


@given(st.integers(1, 3000), st.integers(1, 3000), loaded)
def test_those_who_make_room_are_enough_and_each_is_needed(need, ceiling, others):
    verdict = choose_verdict(need, ceiling, others)
    total = sum(each.share_bytes for each in others)
    assert (verdict.kind == NEVER) == (need > ceiling)
    assert (verdict.kind == NOW) == (need <= ceiling and need + total <= ceiling)
    if verdict.kind == LATER:
        gone = [each for each in others if each.name in verdict.makers]
        freed = sum(each.share_bytes for each in gone)
        assert need + total - freed <= ceiling
        assert all(need + total - freed + each.share_bytes > ceiling for each in gone)


def test_a_pinned_model_makes_room_only_if_the_others_are_not_enough():
    others = [Loaded("a", 50, True), Loaded("b", 20, False), Loaded("c", 30, False)]
    assert [each.name for each in choose_makers(30, others)] == ["c"]
    assert [each.name for each in choose_makers(45, others)] == ["c", "b"]
    assert [each.name for each in choose_makers(51, others)] == ["b", "a"]
    assert choose_verdict(51, 100, others).text == (
        "fits when b and a (pinned: `warden unpin a` first) have made room")


def test_a_process_without_a_model_is_not_called_loaded_and_critical_memory_is_told(home, capsys):
    run_stack(home, {"tiny": 128 * MIB}, empty=("tiny",), pressure_permille=990, pressure_level=3)
    main(["fits", "tiny"])
    out = capsys.readouterr().out
    assert "this model, started, no model yet" in out
    assert "memory is at 99 % just now: nothing is loaded until that falls" in out
