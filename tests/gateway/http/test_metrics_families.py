"""The list of metrics, and how samples that share their labels are put together."""

import pytest

from gateway.http.metrics_families import COUNTER, FAMILIES, HISTOGRAM, VLLM, Buckets, Sheet
from gateway.histograms import VLLM as MEASURED


def only(sheet: Sheet) -> dict:
    [(_, _, values)] = sheet.filled()
    return values


def test_equal_labels_are_summed_or_the_largest_counts():
    sheet = Sheet()
    for share in (3, 4):
        sheet.add("warden_model_share_bytes", share, "x")
    assert only(sheet) == {("x",): 7}
    sheet = Sheet()
    for age_s in (3.0, 1.0):
        sheet.add("warden_model_heartbeat_age_seconds", age_s, "x")
    assert only(sheet) == {("x",): 3.0}
    sheet = Sheet()
    for _ in range(2):
        sheet.add("warden_model", 1, "x", "x", "mlx")
    assert only(sheet) == {("x", "x", "mlx"): 1}


def test_histograms_of_equal_labels_are_added_bucket_by_bucket():
    sheet = Sheet()
    for counts in ([1, 0, 2], [0, 5, 1]):
        sheet.add("warden_request_wait_seconds", Buckets(("1.0", "2.0"), counts, 1.5), "high")
    assert only(sheet) == {("high",): Buckets(("1.0", "2.0"), [1, 5, 3], 3.0)}


def test_what_is_not_in_the_list_cannot_be_said():
    with pytest.raises(KeyError):
        Sheet().add("warden_nonsense", 1)
    with pytest.raises(AssertionError, match="has the labels"):
        Sheet().add("warden_model_share_bytes", 1)


def test_only_counters_end_in_total_and_every_metric_is_explained():
    for name, family in FAMILIES.items():
        assert (family.kind == COUNTER) == name.endswith("_total"), name
        assert family.help.endswith(".") and len(family.help) > len("None."), name


def test_vllms_names_have_its_labels_and_everything_measured_is_said():
    for name, family in FAMILIES.items():
        if name.startswith("vllm:"):
            assert family.labels[:2] == VLLM == ("model_name", "engine"), name
    assert {name for name in MEASURED if FAMILIES[f"vllm:{name}"].kind == HISTOGRAM} == set(MEASURED)
