"""The dashboard and the alerts ask only for what /metrics exports, and say what helps.

That a running stack exports all of it is shown in tests/integration/test_metrics.py.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from control.states import Phase
from gateway.error_codes import ERRORS
from gateway.http.metrics_table import STATES
from tests.support.promql import metrics_in, problems
from tests.support.scrape import exported_names

FOLDER = Path(__file__).resolve().parents[1] / "grafana"
BOARD = json.loads((FOLDER / "mlx-warden.json").read_text())
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
EXPORTED = exported_names() | {"up": {"job"}}  # Prometheus makes that one itself
TARGETS = [(panel["title"], target) for panel in BOARD["panels"] for target in panel.get("targets", [])]
COLUMNS = 24  # of Grafana's grid
IN_LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
IN_TEXT = re.compile(r"\$labels\.(\w+)")
COMMANDS = {"warden ctl", "warden up", "warden down", "warden logs", "warden ps", "warden top", "warden doctor",
            "warden unload", "warden unpin", "warden load", "warden fits"}


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_panel_asks_for_what_is_exported(title, target):
    expression = re.sub(r"\[\$__rate_interval\]", "[5m]", target["expr"])
    assert not problems(expression, EXPORTED, set(IN_LEGEND.findall(target["legendFormat"])))
    assert set(re.findall(r"\$(\w+)", expression)) <= {"instance", "model"}, "a variable that is not declared"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_asks_for_what_is_exported_and_names_a_remedy(rule):
    texts = rule["annotations"]
    assert not problems(rule["expr"], EXPORTED, set(IN_TEXT.findall("".join(texts.values()))))
    assert texts.keys() == {"summary", "remedy"} and rule["labels"]["severity"] in ("warning", "critical")
    assert not set(re.findall(r"`(warden \w+)", texts["remedy"])) - COMMANDS


def test_values_that_are_matched_exist():
    known = {"state": set(STATES) | {"open", "closed", "half_open"}, "code": set(ERRORS), "asked": {"answer", "other"},
             "class": {"high", "medium", "low"}, "job": {"mlx-warden"}}
    for expression in [target["expr"] for _, target in TARGETS] + [rule["expr"] for rule in RULES]:
        for _, matchers in metrics_in(expression):
            for label, text in matchers.items():
                if not text.startswith("$"):
                    assert set(text.split("|")) <= known[label], expression


def test_every_state_of_a_model_has_a_colour():
    [panel] = [panel for panel in BOARD["panels"] if panel["type"] == "state-timeline"]
    used = metrics_in(panel["targets"][0]["expr"])
    matched = {state for _, matchers in used for state in matchers["state"].split("|")}
    assert matched == set(STATES) == {phase.name.lower() for phase in Phase if phase is not Phase.ALIVE} | {"unknown"}
    codes = set(re.findall(r"(\d+) \* \(", panel["targets"][0]["expr"]))
    assert codes == panel["fieldConfig"]["defaults"]["mappings"][0]["options"].keys()


def test_panels_have_places_of_their_own():
    taken = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"],
                                                                                          place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= COLUMNS, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids)) and BOARD["uid"] == "mlx-warden" and BOARD["id"] is None


def test_the_data_source_is_chosen_by_who_looks():
    kinds = {variable["name"]: variable["type"] for variable in BOARD["templating"]["list"]}
    assert kinds == {"datasource": "datasource", "instance": "query", "model": "query"}
    uids = {panel["datasource"]["uid"] for panel in BOARD["panels"] if "datasource" in panel}
    assert uids == {"${datasource}"}
    for variable in BOARD["templating"]["list"][1:]:
        name = re.search(r"label_values\((\w+)", variable["definition"])[1]
        assert variable["name"] in EXPORTED[name] | {"instance"}


def test_wrong_expressions_are_found():
    exported = {"warden_x_total": {"class"}}
    assert problems("sum(warden_y)", exported, set()) == ["warden_y is not exported"]
    assert problems('warden_x_total{colour="red"}', exported, set()) == ["warden_x_total has no label colour"]
    assert "nothing in it has" in problems("sum by (colour) (warden_x_total)", exported, set())[0]
    assert "not left" in problems("sum by (class) (warden_x_total)", exported, {"instance"})[0]
    assert problems("1 + 1", exported, set()) == ["1 + 1: names no metric"]
    assert not problems('rate(warden_x_total{class="high"}[5m])', exported, {"class", "instance"})
