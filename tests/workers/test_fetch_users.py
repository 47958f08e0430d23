"""Whose a snapshot is: noted before it comes, kept while a living home uses it, never claimed from another program."""

from workers.fetch_users import FILE, claim, release


def test_a_snapshot_is_ours_from_before_it_comes_for_every_home(tmp_path):
    folder, home = tmp_path / "repo", tmp_path / "a home"
    home.mkdir()
    assert claim(folder, "ab", str(home))
    (folder / "snapshots" / "ab").mkdir(parents=True)
    assert claim(folder, "ab", "/other") and claim(folder, "ab", "/other")
    assert (folder / FILE).read_text() == f"ab {home}\nab /other\n"
    assert release(folder, "ab", "/other") and not release(folder, "ab", str(home))
    assert not release(folder, "ab", str(home)) and (folder / FILE).read_text() == ""


def test_what_was_there_before_is_not_claimed(tmp_path):
    (tmp_path / "snapshots" / "ab").mkdir(parents=True)
    assert not claim(tmp_path, "ab", "/home") and not (tmp_path / FILE).exists()
    assert claim(tmp_path, "cd", "/home")


def test_a_home_that_is_gone_and_lines_that_are_none_count_for_nothing(tmp_path):
    (tmp_path / FILE).write_text(f"ab /gone\n\nnonsense\ncd {tmp_path}\n")
    assert not release(tmp_path, "ab", "/home")
    assert release(tmp_path, "cd", "/home")
