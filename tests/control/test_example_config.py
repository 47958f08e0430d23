"""warden.example.toml is generated, explains every setting where it stands, and read back is the defaults."""

import re
import tomllib

from control.config_tables import TABLES
from control.example_config import example_toml
from control.settings import SECTIONS, EchoConfig, ModelSettings, SamplingSettings, settings_of
from control.toml_text import toml
from tests.support.supervisor_home import ROOT
from tests.support.toml_files import Place, make_cached

ALL = [item for cls in TABLES.values() for item in settings_of(cls).values()]
WRITE_ANEW = """the declarations have changed; write the file anew with
python -c 'from control.example_config import example_toml; print(example_toml(), end="")' > warden.example.toml"""
EXAMPLE = ROOT / "warden.example.toml"


def paragraphs() -> list[str]:
    """What stands between two empty lines, each as one line."""
    return [" ".join(line.removeprefix("# ") for line in part.splitlines()) for part in example_toml().split("\n\n")]


def test_the_example_file_is_the_declarations():
    assert EXAMPLE.read_text("utf-8") == example_toml(), WRITE_ANEW
    assert all(len(line) <= 120 for line in example_toml().split("\n"))


def test_the_example_explains_every_setting_and_names_every_variable():
    text = example_toml()
    for item in ALL:
        assert f"\n{item.key} = " in text or f"\n#{item.key} = " in text
        assert all(variable in text for variable in item.variables)


def test_the_example_loads_and_is_the_defaults(tmp_path):
    place = Place(tmp_path)
    make_cached(tmp_path / "hub", "mlx-community/Phi-3.5-mini-instruct-4bit")
    config = place.load(example_toml(), HF_HUB_CACHE=str(tmp_path / "hub"))
    for cls in SECTIONS.values():
        assert {key: getattr(config, key) for key in settings_of(cls)} == \
            {key: item.default for key, item in settings_of(cls).items()}
    model = config.find("phi3.5:3.8b")
    assert model is config.find("") and model.aliases == ("phi3.5:3.8b",)
    for cls in (ModelSettings, SamplingSettings):
        assert all(getattr(model, key) == item.default for key, item in settings_of(cls).items() if not item.example)


def test_the_commented_lines_of_the_example_are_settings_too(tmp_path):
    lines = [line[1:] if line.startswith("#") and not line.startswith("# ") else line
             for line in example_toml().split("\n")]
    read = tomllib.loads("\n".join(lines))
    echo = read["models"]["phi3.5-mini-4k"]["echo"]
    assert read["categories"] == {"coding": "phi3.5-mini-4k"}
    assert echo == {key: item.default for key, item in settings_of(EchoConfig).items()}


def test_each_setting_stands_below_its_own_text_with_default_limits_and_variables():
    said = paragraphs()
    for item in ALL:
        value = item.default if item.example is None else item.example
        ends = (f" {item.key} = {toml(value)}", f" #{item.key} = {toml(value)}")
        mine = [part for part in said if item.why in part and part.endswith(ends)]
        assert mine, item.key
        assert f"Default: {toml(item.default)}" in mine[0]
        if item.kind in (int, float):
            assert f", {item.low:.12g} to {item.high:.12g}" in mine[0]
        assert all(choice in mine[0] for choice in item.choices)
        assert re.findall(r"[A-Z]+_[A-Z_]+(?=[,.])", mine[0].partition("Default: ")[2]) == list(item.variables)
