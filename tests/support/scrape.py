"""/metrics as a test reads it: every rule of the exposition format checked, and the samples by name and labels."""

import re
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from gateway.http.metrics_families import FAMILIES

NAME = re.compile(r"(warden_|vllm:)[a-z][a-z0-9_]*")
SMALLER_UNITS = re.compile(r"_(ms|us|ns|milliseconds|microseconds|kb|mb|gb|kib|mib|gib|percent|minutes)(_|$)")
Labels = tuple[tuple[str, str], ...]  # sorted
Samples = dict[str, dict[Labels, float]]


def read(text: str) -> Samples:
    """Fails with what is wrong if the text is not as Prometheus wants it."""
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    assert types.keys() == helps.keys() and len(types) == text.count("# TYPE "), "a TYPE or HELP is missing, or twice"
    for name, kind in types.items():
        assert NAME.fullmatch(name), f"{name} is no name of ours"
        assert (kind == "counter") == name.endswith("_total"), f"{name} is a {kind}"
        assert not SMALLER_UNITS.search(name), f"{name}: seconds, bytes and ratios alone"
        assert "_bytes" not in name or name.endswith("_bytes"), f"{name}: the unit stands last"
        assert not re.search(r"_seconds(?!$)", name), f"{name}: the unit stands last"
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            of_name = found.setdefault(sample.name, {})
            assert labels not in of_name, f"{sample.name}{labels} is there twice"
            of_name[labels] = sample.value
    for name, kind in types.items():
        if kind == "histogram":
            check_histogram(name, found)
    return found


def check_histogram(name: str, found: Samples) -> None:
    by_labels: dict[Labels, list[tuple[float, float]]] = {}
    for labels, value in found[f"{name}_bucket"].items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        by_labels.setdefault(rest, []).append((float(dict(labels)["le"]), value))
    assert by_labels.keys() == found[f"{name}_count"].keys() == found[f"{name}_sum"].keys(), name
    for labels, buckets in by_labels.items():
        counts = [count for _, count in sorted(buckets)]
        assert counts == sorted(counts), f"{name}{labels} falls"
        assert max(buckets)[0] == float("inf") and counts[-1] == found[f"{name}_count"][labels], f"{name}{labels}"


def value(found: Samples, name: str, **labels: str) -> float:
    """Of the one sample with these labels; `class_` is the label class."""
    wanted = {name.rstrip("_"): text for name, text in labels.items()}.items()
    matching = [number for each, number in found.get(name, {}).items() if wanted <= dict(each).items()]
    assert len(matching) == 1, f"{name} {labels}: {found.get(name)}"
    return matching[0]


def total(found: Samples, name: str, **labels: str) -> float:
    """Of all samples with these labels."""
    wanted = {name.rstrip("_"): text for name, text in labels.items()}.items()
    return sum(number for each, number in found.get(name, {}).items() if wanted <= dict(each).items())


def fallen(before: Samples, after: Samples) -> Iterator[str]:
    """What may only rise and has fallen, or is gone."""
    for name, values in before.items():
        if name.endswith(("_total", "_bucket", "_count", "_sum")):
            for labels, number in values.items():
                if after.get(name, {}).get(labels, -1.0) < number:
                    yield f"{name}{labels}: {number}, then {after.get(name, {}).get(labels)}"


def exported_names() -> dict[str, set[str]]:
    """Every name that a query may use, with its labels."""
    found = {}
    for name, family in FAMILIES.items():
        if family.kind == "histogram":
            found[f"{name}_bucket"] = {*family.labels, "le"}
            found[f"{name}_count"] = found[f"{name}_sum"] = set(family.labels)
        else:
            found[f"{name}_info" if family.kind == "info" else name] = set(family.labels)
    return found
