"""The README's figures are those of bench/results, and nobody else's."""

import pytest

from bench import tables
from bench.program import BenchFailed
from bench.report import RESULTS, write_json
from bench.tables import BEGIN, END, between_marks, main, readme_section, replaced
from tests.bench.test_pages import RESULT
from tests.support import readme


def test_the_readme_has_the_tables_of_the_results() -> None:
    assert between_marks(readme.text_of("README.md")) == readme_section(RESULTS), (
        "`python -m bench tables --write` writes what belongs into the README")


def test_what_stands_between_the_marks_is_replaced_and_nothing_else() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(text, ["new", "", "newer"]) == f"before\n{BEGIN}\nnew\n\nnewer\n{END}\nafter\n"
    assert between_marks(replaced(text, ["new"])) == ["new"]
    assert between_marks("no marks") == []
    with pytest.raises(BenchFailed, match="give it these two lines"):
        replaced("no marks\n", [])


def test_written_and_read_back_it_is_the_same(tmp_path, monkeypatch, capsys) -> None:
    results = tmp_path / "results"
    (results / "linux-2core").mkdir(parents=True)
    write_json(RESULT, results / "linux-2core/throughput.json")
    (tmp_path / "README.md").write_text(f"# A\n{BEGIN}\n{END}\n")
    monkeypatch.setattr(tables, "RESULTS", results)
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    assert main(["--write"]) == 0
    written = between_marks((tmp_path / "README.md").read_text())
    assert written == readme_section(results) and len(written) > 5
    assert (results / "linux-2core/throughput.md").is_file()
    capsys.readouterr()
    assert main([]) == 0
    assert capsys.readouterr().out.splitlines() == [BEGIN, *written, END]


def test_no_results_no_section(tmp_path) -> None:
    assert readme_section(tmp_path) == readme_section(tmp_path / "gone") == []
