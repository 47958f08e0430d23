"""What an expression of Prometheus's language refers to: enough of the language for our own dashboard and alerts."""

import re
from typing import NamedTuple

METRIC = re.compile(r"(?<![\w:\"])((?:warden_|vllm:|up\b)[a-z0-9_:]*)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"([^\"]*)\"")
GROUPED = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")
OF_THE_SCRAPE = {"instance", "job"}  # labels that Prometheus adds


class Used(NamedTuple):
    """One metric in an expression, with its matchers by label."""

    name: str
    matchers: dict[str, str]


def metrics_in(expression: str) -> list[Used]:
    return [Used(name, dict(MATCHER.findall(matchers))) for name, matchers in METRIC.findall(expression)]


def grouped_by(expression: str) -> set[str]:
    return {label.strip() for found in GROUPED.findall(expression) for label in found.split(",") if label.strip()}


def problems(expression: str, exported: dict[str, set[str]], shown: set[str]) -> list[str]:
    """Names and labels that are not exported. `shown`: labels that a text beside the result refers to."""
    used, by = metrics_in(expression), grouped_by(expression)
    found = [] if used else [f"{expression}: names no metric"]
    known: set[str] = set(OF_THE_SCRAPE)
    for name, matchers in used:
        labels = exported.get(name)
        if labels is None:
            found.append(f"{name} is not exported")
            continue
        known |= labels
        found += [f"{name} has no label {label}" for label in matchers.keys() - labels - OF_THE_SCRAPE]
    found += [f"{expression}: by {label}, which nothing in it has" for label in by - known]
    found += [f"{expression}: shows {label}, which is not left" for label in shown - (by if by else known)]
    return found
