"""The configuration reference of the README, made from the declarations in `control/settings.py`.

    python -m control.settings_table        prints what belongs between BEGIN and END in the README

A test compares the two, so the page says what the code does. `control/example_config.py` makes the same into a file to
begin with. Pure but for the program.
"""

import sys

from control.setting_rules import Setting
from control.settings import MODEL_TABLES, SECTIONS, ModelSettings, settings_of
from control.toml_text import toml

BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
HEAD = ["| Setting | Default | Limits | |", "|---|---|---|---|"]


def markdown() -> str:
    """Between BEGIN and END: a table for each section, which folds away."""
    lines = [BEGIN, ""]
    for name, cls in SECTIONS.items():
        lines += _folded(f"[{name}]", cls)
    lines += _folded("[models.NAME]", ModelSettings)
    for name, cls in MODEL_TABLES.items():
        lines += _folded(f"[models.NAME.{name}]", cls)
    return "\n".join([*lines, END, ""])


def _folded(table: str, cls: type) -> list[str]:
    rows = [_row(item) for item in settings_of(cls).values()]
    about = " ".join((cls.__doc__ or "").split())
    return [f"<details><summary><code>{table}</code> {_plain(about)}</summary>", "", *HEAD, *rows, "", "</details>", ""]


def _row(item: Setting) -> str:
    others = [name for name in item.variables if name != f"WARDEN_{item.key.upper()}"]
    also = f" Also {', '.join(f'`{name}`' for name in others)}." if others else ""
    return f"| `{item.key}` | `{_plain(toml(item.default))}` | {_limits(item)} | {_plain(item.why)}{also} |"


def _limits(item: Setting) -> str:
    if item.choices:
        return ", ".join(f"`{_plain(toml(choice))}`" for choice in item.choices)
    return f"{item.low:.12g} to {item.high:.12g}" if item.kind in (int, float) else ""


def _plain(text: str) -> str:
    """In one cell of a table, with nothing that a page could take for markup."""
    return " ".join(text.replace("|", "/").replace("<", "&lt;").split())


if __name__ == "__main__":
    sys.stdout.write(markdown())
