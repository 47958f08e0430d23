"""The configuration reference: complete, and the one that the README shows."""

import re

from control import settings_table
from control.settings import MODEL_TABLES, SECTIONS, ModelSettings, settings_of
from tests.support import readme


def test_the_readme_has_the_reference_that_the_code_declares() -> None:
    assert settings_table.markdown().strip() in readme.text_of("README.md"), (
        "`python -m control.settings_table` prints what belongs into the README")


def test_every_setting_has_a_row_with_its_default_limits_and_variables() -> None:
    text = settings_table.markdown()
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \| (.*?) ?\| (.+) \|$", text, re.MULTILINE)
    classes = [*SECTIONS.values(), ModelSettings, *MODEL_TABLES.values()]
    assert [row[0] for row in rows] == [key for cls in classes for key in settings_of(cls)]
    assert len(rows) == text.count("\n| `") and all(row[1] and len(row[3]) > 10 for row in rows)
    known = {row[0]: row for row in rows}
    assert known["port"][1:3] == ("11435", "1 to 65535") and known["audience"][2] == '`"all"`, `"agents"`'
    assert "`OLLAMA_KEEP_ALIVE`" in next(row[3] for row in rows if row[0] == "keep_alive")
    assert "WARDEN_PORT" not in text  # each setting has such a variable; the page says so once
