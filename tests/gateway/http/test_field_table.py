"""The table is Markdown that can be read back, and says of every field what the code declares."""

from gateway.http.field_table import BEGIN, DIALECTS, END, WORDS, Row, markdown, parse, rows


def test_what_was_written_is_read_back():
    found = list(rows())
    assert parse(f"before\n{markdown(found)}\nafter") == found and len(found) > 100


def test_every_row_is_one_line_of_known_words():
    for row in rows():
        assert row.dialect in DIALECTS and row.verdict in WORDS.values() and "\n" not in row.note


def test_each_endpoint_folds_away_under_its_heading():
    text = markdown([Row("openai", "POST /a", "x", "honoured", "n"), Row("openai", "POST /a", "y", "refused", ""),
                     Row("chat", "POST /b", "z", "honoured", "")])
    assert text.count("<details>") == text.count("</details>") == 2
    assert text.startswith(BEGIN) and text.rstrip().endswith(END)
    assert "| `x` | honoured | n |" in text.splitlines()


def test_a_page_without_the_table_has_no_rows():
    assert parse("| `x` | honoured | n |") == []
