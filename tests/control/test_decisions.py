"""Sentences about decisions: each event that they speak of is written somewhere, with the fields that they name."""

import ast
from collections.abc import Iterator

import pytest

from control.decisions import EVICTION, NAMED, REFUSAL, ROUTE, SENTENCES, TROUBLE, Decision, decision_of
from tests.support.supervisor_home import ROOT

WRITERS = {"note", "_note", "info", "warning", "error"}
BY_JOURNAL = {"process"}  # in every line
WITHOUT_SENTENCE = {  # what merely happens, or is told to an operator alone
    "control_down", "draining", "end_lost", "engine_died", "feed_failed", "gateway_down", "gateway_hello",
    "hello_refused",
    "http_down", "http_error", "http_up", "keys_read", "library_not_written", "load_failed", "malformed_frame",
    "option_ignored", "prefix_cache_not_on_disk", "prefix_cache_not_written", "prefix_cache_removed",
    "profile_not_written", "programs_not_written", "psutil", "pressure_source", "quitting",
    "request_ended", "request_failed", "request_refused", "swap", "table_lost", "table_reopened", "term_again",
    "tracing_off", "void_load", "void_quit",
    "waiting_for_table", "welcome", "welcomed", "worker_of_another_version", "worker_word_refused", "client_cut"}


def called(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def written() -> Iterator[tuple[str, set[str], bool]]:
    """Each line that the product writes: its event, its fields, and whether it has more that are not spelt out."""
    for part in ("control", "gateway", "gateway/http", "workers"):  # the command line writes no journal
        for path in (ROOT / part).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and node.args and called(node.func) in WRITERS:
                    first = node.args[0]
                    for event in [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]:
                        if isinstance(event, ast.Constant) and isinstance(event.value, str):
                            fields = {keyword.arg for keyword in node.keywords}
                            yield event.value, fields - {None}, None in fields


LINES = list(written())


def test_each_sentence_is_of_an_event_that_is_written_with_its_fields() -> None:
    for event, named in NAMED.items():
        assert any(event == each and (more or named - BY_JOURNAL <= fields) for each, fields, more in LINES), (
            f"{event}: nothing writes it with {', '.join(sorted(named))}")


def test_each_event_has_a_sentence_or_is_known_to_need_none() -> None:
    events = {event for event, _, _ in LINES}
    assert events - SENTENCES.keys() - WITHOUT_SENTENCE == set()


@pytest.mark.parametrize(("fields", "kind", "text"), [
    ({"event": "evict", "model": "phi", "reason": "memory at 96.2 %; idle for 40 s", "share_bytes": 3 * 2**29,
      "used_percent": 96.21, "closing": False}, EVICTION,
     "phi is to go with 1.5 GiB, 96.2 % of memory used: memory at 96.2 %; idle for 40 s"),
    ({"event": "evict_refused", "model": "phi", "by": "gateway", "reason": "2 in flight"}, REFUSAL,
     "phi is not evicted: 2 in flight"),
    ({"event": "protected", "reason": "memory is at 96.2 % and nothing is evicted: phi (2 in flight)", "pressure": "X",
      "used_percent": 96.2, "refused_classes": ["LOW"]}, REFUSAL,
     "memory is at 96.2 % and nothing is evicted: phi (2 in flight); classes refused: low"),
    ({"event": "overload", "reason": "", "used_percent": 60, "refused_classes": []}, REFUSAL,
     "memory is at 60 %; classes refused: none"),
    ({"event": "evicted", "model": "phi", "reason": "idle", "total_ms": 31.254, "footprint_bytes": 0}, EVICTION,
     "phi has gone in 31.3 ms and gave back nothing: idle"),
    ({"event": "worker_lost", "model": "phi", "jobs": 2, "reason": "its process ended"}, TROUBLE,
     "the process of phi left with 2 unanswered: its process ended"),
    ({"event": "server_changed", "process": "relay-ollama", "breaker": "open", "problem": "refused"}, ROUTE,
     "the server behind relay-ollama is down: refused"),
    ({"event": "fits_again", "model": "a{b}%s", "reason": ""}, "load", "a{b}%s would fit again"),
])
def test_a_decision_is_a_sentence_with_its_reason(fields: dict, kind: str, text: str) -> None:
    assert decision_of(fields) == Decision(kind, fields.get("model", ""), text, "")


@pytest.mark.parametrize("fields", [
    {}, {"event": None}, {"event": ["load"]}, {"event": "welcome", "model": "phi"},
    {"event": "loaded", "load_ms": 5},  # a worker's
    {"event": "table_created", "reason": ""},  # the first start
    {"event": "worker_lost", "model": "phi", "jobs": 0, "reason": "its process ended"}])  # it was evicted
def test_other_lines_are_no_decisions(fields: dict) -> None:
    assert decision_of(fields) is None


def test_a_decision_about_a_request_says_which() -> None:
    found = decision_of({"event": "spill", "model": "phi", "to": "ollama", "reason": "overloaded", "request_id": "r-1"})
    assert found == Decision(ROUTE, "phi", "a request for phi goes to ollama: overloaded", "r-1")
