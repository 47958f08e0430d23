"""The text of `warden.example.toml`, made from the declarations in `control/settings.py`: it cannot be out of date.

    python -c 'from control.example_config import example_toml; print(example_toml(), end="")' > warden.example.toml

Pure.
"""

import textwrap

from control.setting_rules import Setting
from control.settings import SECTIONS, EchoConfig, ModelSettings, SamplingSettings, settings_of
from control.toml_text import toml

LINE_MAX_CHARS = 120
CATEGORIES = """\
# Which model answers requests that name a category and no model, by names of your own. A request without either gets
# the default model.
#[categories]
#coding = "phi3.5-mini-4k"

"""


def example_toml() -> str:
    """The text of `warden.example.toml`: every setting at its default, explained. The echo table is commented out."""
    lines = textwrap.dedent("""\
        # The settings of mlx-warden. Copy this file to ./warden.toml or ~/.warden/warden.toml, or name it in
        # WARDEN_CONFIG, and keep only the lines you want to change: what is left out has the default given here.
        # At least one model must be there. Without any file, a small built-in model is served.
        # Above each setting stand its default, its limits, and the environment variables that beat this file; of
        # several for one setting the first one wins.

        """).splitlines()
    for table, cls in SECTIONS.items():
        lines += _example_table(table, cls)
    lines += CATEGORIES.splitlines()
    name = 'models."phi3.5-mini-4k"'
    lines += _example_table(name, ModelSettings)
    lines += _example_table(f"{name}.sampling", SamplingSettings)
    lines += _example_table(f"{name}.echo", EchoConfig, mark="#")
    return "\n".join(lines).rstrip() + "\n"


def _example_table(table: str, cls: type, mark: str = "") -> list[str]:
    lines = [*_comment(cls.__doc__), f"{mark}[{table}]"]
    for item in settings_of(cls).values():
        lines += _comment(f"{item.why} {_facts(item)}")
        value = item.default if item.example is None else item.example
        lines += [f"{mark}{item.key} = {toml(value)}", ""]
    return lines


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, LINE_MAX_CHARS, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _facts(item: Setting) -> str:
    """Default, limits and variables. A number's unit is in its name."""
    limits = f", {item.low:.12g} to {item.high:.12g}" if item.kind in (int, float) else ""
    if item.choices:
        limits = f", of {', '.join(map(toml, item.choices))}"
    return f"Default: {toml(item.default)}{limits}{'; ' if item.variables else ''}{', '.join(item.variables)}."
