"""Every code of the closed list in every dialect, with its headers."""

import pytest

from gateway.http.errors import (
    Elsewhere,
    anthropic_type,
    dialect_of,
    error_body,
    error_headers,
    openai_type,
    rate_headers,
    status_of,
)
from gateway.protocol import ERRORS, RateInfo, Started


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
    anthropic = error_body("anthropic", code, "what happened", "field", "r1")
    assert anthropic["error"].pop("message").endswith("what happened")
    assert anthropic == {"type": "error", "request_id": "r1", "error": {
        "type": anthropic_type(code), "details": {"error_code": code}}}
    assert (anthropic_type(code) in ("api_error", "overloaded_error", "timeout_error")) == (
        entry.status >= 500 or entry.status == 408)
    assert status_of("anthropic", code) == (529 if entry.status == 503 else entry.status)
    assert status_of("openai", code) == status_of("ollama", code) == entry.status


def test_what_the_gateway_says_of_the_status_counts():
    assert (status_of("openai", "internal", 503), status_of("anthropic", "internal", 503)) == (503, 529)


def test_a_prompt_that_is_too_long_is_known_by_its_message_to_anthropics_clients():
    found = error_body("anthropic", "context_length_exceeded", "9 tokens; the context holds 8")
    assert found["error"]["message"] == "prompt is too long: 9 tokens; the context holds 8"


def test_an_unknown_model_is_the_fault_of_the_field_model():
    assert error_body("openai", "model_not_found", "no")["error"]["param"] == "model"


@pytest.mark.parametrize("code", ERRORS)
def test_retry_after_goes_with_capacity_and_no_retry_with_what_cannot_change(code):
    entry, headers = ERRORS[code], error_headers(code, 0.5 if code == "model_unavailable" else 0.0)
    assert ("www-authenticate" in headers) == (entry.status == 401)
    assert ("retry-after" in headers) == (entry.retryable and entry.fault == "capacity")
    assert (headers.get("x-should-retry") == "false") == (entry.status >= 500 and not entry.retryable)


@pytest.mark.parametrize(("retry_after_s", "header"), [(0, "1"), (0.2, "1"), (1.1, "2"), (119.5, "120"), (1e9, "120")])
def test_retry_after_is_whole_seconds_within_what_sdks_accept(retry_after_s, header):
    assert error_headers("queue_full", retry_after_s) == {"retry-after": header}


def test_a_time_to_come_again_is_given_for_a_crash_if_it_is_known():
    assert error_headers("worker_crashed", 4) == {"retry-after": "4"} and error_headers("worker_crashed") == {}


@pytest.mark.parametrize("code", ERRORS)
def test_what_an_agent_may_have_done_is_never_to_be_tried_again(code):
    elsewhere = Elsewhere()
    assert elsewhere.forbids(code) is False
    elsewhere.see(Started("1", "victoria", "victoria", "", 1, 0.0, 0.0))
    elsewhere.see(Started("1", "tiny", "victoria>mlx", "failed", 2, 0.0, 0.0))
    assert error_headers(code, 4, once=elsewhere.forbids(code)) == {"x-should-retry": "false"}


def test_a_model_that_waits_for_a_person_is_not_to_be_tried_again():
    assert error_headers("model_unavailable") == {"x-should-retry": "false"}
    assert error_headers("model_unavailable", 30) == {"retry-after": "30"}


def test_the_busy_text_is_not_doubled():
    assert error_body("ollama", "queue_full", "server busy, please try again") == {
        "error": "server busy, please try again"}


@pytest.mark.parametrize(("code", "openai", "anthropic"), [
    ("unauthorized", "authentication_error", "authentication_error"),
    ("model_reserved", "permission_error", "permission_error"),
    ("model_not_allowed", "permission_error", "permission_error"),
    ("rate_limited", "rate_limit_error", "rate_limit_error"), ("loop_detected", "server_error", "api_error"),
    ("queue_full", "server_error", "overloaded_error"), ("upstream_timeout", "server_error", "timeout_error")])
def test_types_that_sdks_make_exceptions_of(code, openai, anthropic):
    assert (openai_type(code), anthropic_type(code)) == (openai, anthropic)


def test_your_own_quota_says_when_it_is_free_again_and_how_much_is_left():
    assert error_headers("rate_limited", 88.2) == {"retry-after": "89"}
    assert rate_headers(RateInfo(500, 0, 88.2)) == {
        "x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "89s"}
    assert rate_headers(None) == {}


def test_a_circle_is_not_to_be_tried_again():
    assert error_headers("loop_detected") == {"x-should-retry": "false"}


@pytest.mark.parametrize(("path", "dialect"), [("/v1/models", "openai"), ("/v1/nothing", "openai"), ("/v2", "ollama"),
                                               ("/v1/messages", "anthropic"), ("/v1/messagesx", "openai"),
                                               ("/v1/messages/count_tokens", "anthropic"),
                                               ("/api/chat", "ollama"), ("/health", "ollama"), ("/", "ollama")])
def test_the_dialect_is_known_by_the_path(path, dialect):
    assert dialect_of(path) == dialect
    assert dialect_of(path, versioned=True) == (dialect if dialect == "ollama" else "anthropic")
