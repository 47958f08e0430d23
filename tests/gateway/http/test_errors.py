"""Every code of the closed list in every dialect, with its headers."""

import pytest

from gateway.http.errors import anthropic_type, dialect_of, error_body, error_headers, openai_type
from gateway.protocol import ERRORS


@pytest.mark.parametrize("code", ERRORS)
def test_each_code_has_each_dialects_shape(code):
    entry = ERRORS[code]
    ollama = error_body("ollama", code, "what happened", "field")
    assert ollama.keys() == {"error"} and ollama["error"].endswith("what happened")
    assert ollama["error"].startswith("server busy, please try again") == (
        code in ("queue_full", "displaced", "queue_deadline"))
    openai = error_body("openai", code, "what happened", "field")["error"]
    assert openai == {"message": "what happened", "type": openai_type(code), "param": "field", "code": code}
    assert openai["type"] == "server_error" if entry.status >= 500 else openai["type"].endswith("_error")
    anthropic = error_body("anthropic", code, "what happened", "field")
    assert anthropic == {"type": "error", "error": {"type": anthropic_type(code), "message": "what happened"}}
    assert (anthropic_type(code) == "api_error") == (entry.status >= 500)


def test_an_unknown_model_is_the_fault_of_the_field_model():
    assert error_body("openai", "model_not_found", "no")["error"]["param"] == "model"


@pytest.mark.parametrize("code", ERRORS)
def test_retry_after_goes_with_capacity_and_no_retry_with_what_cannot_change(code):
    entry, headers = ERRORS[code], error_headers(code, 0.5 if code == "model_unavailable" else 0.0)
    assert ("retry-after" in headers) == (entry.retryable and entry.fault == "capacity")
    assert (headers.get("x-should-retry") == "false") == (entry.status >= 500 and not entry.retryable)


@pytest.mark.parametrize(("retry_after_s", "header"), [(0, "1"), (0.2, "1"), (1.1, "2"), (119.5, "120"), (1e9, "120")])
def test_retry_after_is_whole_seconds_within_what_sdks_accept(retry_after_s, header):
    assert error_headers("queue_full", retry_after_s) == {"retry-after": header}


def test_a_time_to_come_again_is_given_for_a_crash_if_it_is_known():
    assert error_headers("worker_crashed", 4) == {"retry-after": "4"} and error_headers("worker_crashed") == {}


def test_a_model_that_waits_for_a_person_is_not_to_be_tried_again():
    assert error_headers("model_unavailable") == {"x-should-retry": "false"}
    assert error_headers("model_unavailable", 30) == {"retry-after": "30"}


def test_the_busy_text_is_not_doubled():
    assert error_body("ollama", "queue_full", "server busy, please try again") == {
        "error": "server busy, please try again"}


@pytest.mark.parametrize(("path", "dialect"), [("/v1/models", "openai"), ("/v1/nothing", "openai"), ("/v2", "ollama"),
                                               ("/v1/messages", "anthropic"), ("/v1/messagesx", "openai"),
                                               ("/v1/messages/count_tokens", "anthropic"),
                                               ("/api/chat", "ollama"), ("/health", "ollama"), ("/", "ollama")])
def test_the_dialect_is_known_by_the_path(path, dialect):
    assert dialect_of(path) == dialect
