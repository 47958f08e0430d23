"""Do the models fit: what is judged from what each of them needs."""

from pathlib import Path

import pytest

from control.config import load_config
from control.home import Home
from gateway.cli.check_budget import GPU, Need, judge, read_ceiling, read_needs
from tests.support.findings import levels, told

GIB = 1024**3
SMALL, LARGE = Need("small", 2 * GIB), Need("large", 6 * GIB)


@pytest.mark.parametrize(("needs", "ceiling", "level", "words"), [
    ((SMALL,), 8, "ok", ("the model needs 2.0 GiB of 8.0 GiB",)),
    ((SMALL, LARGE), 7, "ok", ("each model fits alone", "8.0 GiB of 7.0 GiB")),
    ((SMALL._replace(kept="preload"), LARGE), 8, "ok", ("takes 2.0 GiB",)),
    ((LARGE,), 5, "problem", ("large: can never be loaded", "6.0 GiB", "5.0 GiB")),
    ((LARGE._replace(kept="pinned"), SMALL._replace(kept="pinned")), 7, "warning",
     ("pinned models do not fit together", "8.0 GiB of 7.0 GiB", "unpin")),
    ((LARGE._replace(kept="pinned"), SMALL._replace(kept="preload")), 7, "warning",
     ("pinned and preloaded does not fit", "leave out preload")),
    ((LARGE._replace(kept="pinned"), SMALL), 7, "warning", ("never room for small", "unpin")),
    ((Need("x", 0, "", "/x holds no weights"), SMALL), 8, "problem", ("x: /x holds no weights",)),
    ((LARGE._replace(configured_bytes=4 * GIB),), 8, "note", ("memory_gb = 4", "6.0 GiB")),
    ((SMALL._replace(context=9000, longest=4096),), 8, "note", ("context_length = 9000", "4096")),
])
def test_judging(needs: tuple[Need, ...], ceiling: int, level: str, words: tuple[str, ...]) -> None:
    told(judge(needs, ceiling * GIB, "why"), level, *words)


def test_what_is_right_says_so_once_and_what_is_wrong_never() -> None:
    assert levels(judge((SMALL, LARGE), 8 * GIB, "why")) == ["ok"]
    assert "ok" not in levels(judge((LARGE,), GIB, "why"))


@pytest.mark.parametrize(("why", "remedy"), [
    (GPU, "iogpu.wired_limit_mb=6144"), ("memory_budget_gb, as configured", "raise memory_budget_gb"),
    ("90 % of this machine's memory", "quantised")])
def test_the_remedy_depends_on_what_holds_memory_back(why: str, remedy: str) -> None:
    assert remedy in judge((LARGE,), GIB, why)[0].remedy


def test_needs_are_read_from_the_files_and_say_what_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text("{}")
    (tmp_path / "bad" / "model.safetensors").write_bytes(b"no")
    (tmp_path / "warden.toml").write_text('[models.a]\nengine = "echo"\npinned = true\n[models.bad]\npath = "bad"\n'
                                          'preload = true\n[models.guide]\npath = "guide"\n')
    config = load_config({"HOME": str(tmp_path)}, tmp_path)
    echo, bad, guide = read_needs(config, Home(tmp_path / "home"))
    assert (echo.kept, bad.kept, guide.kept) == ("pinned", "preload", "")
    assert echo.least_bytes and not echo.trouble and guide.least_bytes > echo.least_bytes
    assert bad.trouble and not bad.least_bytes
    assert read_ceiling(config).bytes > 0
