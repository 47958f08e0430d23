"""Requests drawn from the served description, right ones and wrong ones, against a running stack with two models.

Whatever is asked: it is no bug of ours (500), an answer has the form that is described, an error has the shape of its
dialect, a wrong request is told its field, and what is not offered (501) is told by name.
"""

import re
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from gateway.http.app import ROUTES
from gateway.http.errors import dialect_of
from gateway.http.fields import collect
from gateway.http.openapi import describe
from tests.support.live_stack import LiveStack
from tests.support.models import model_path

load_all_checks()
FEW, MANY = 3, 400  # requests for one endpoint
ASK_WITHIN_S = 30.0
SHORT_CHARS, SAID_CHARS = 4000, 800
SETTINGS = """
[control]
prewarm = 0
[limits]
rate_limit_max = 0
[models.echo]
engine = "echo"
max_tokens = 4
[models.random]
path = "{path}"
max_tokens = 4
"""
FIELD = re.compile(r"[A-Za-z][\w.\[\]$-]*: |the body is not valid JSON|"
                   r"(prompt is too long: )?the prompt has \d+ tokens")
NAMED = re.compile(r"(/.*|[A-Za-z][\w.\[\]$-]*): ", re.DOTALL)
SERVER_MAY = (501, 503)  # not offered; one that is not ready

api = schemathesis.openapi.from_dict(describe(ROUTES))
reading = api.include(path=sorted({path for _, path in collect(ROUTES)}))
other = api.exclude(path=[*sorted({path for _, path in collect(ROUTES)}), "/dashboard/events"])  # which has no end
# The edges of each field, which schemathesis works out when tests are collected, are in `reading` already.
drawn = schemathesis.openapi.from_dict(describe(ROUTES), config=SchemathesisConfig.from_dict({
    "phases": {"coverage": {"enabled": False}}})).include(path=sorted({path for _, path in collect(ROUTES)}))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    shared = LiveStack(tmp_path_factory.mktemp("openapi"), SETTINGS.format(path=model_path("1m", "agent")))
    try:
        yield shared.up()
    finally:
        shared.end()


def name_a_model(body: object) -> None:
    """Half of the requests that name a model name one that is there; the slower one is asked for no long answers."""
    if isinstance(body, dict) and isinstance(body.get("model"), str) and len(body["model"]) % 2 == 0:
        body["model"] = "random" if len(repr(body)) < SHORT_CHARS and not re.search(r"\d{3}", repr(body)) else "echo"


def check(case: schemathesis.Case, base_url: str) -> None:
    name_a_model(case.body)
    response = case.call(base_url=base_url, timeout=ASK_WITHIN_S, allow_redirects=False)
    said = f"{response.status_code} {response.content[:SAID_CHARS]!r} to {case.body!r:.{SAID_CHARS}}"
    assert response.status_code < 500 or response.status_code in SERVER_MAY, said
    case.validate_response(response, checks=[response_schema_conformance, status_code_conformance])
    if response.status_code < 400:
        return
    message = message_of(dialect_of(case.operation.path), response.json())
    if response.status_code == 400:
        assert FIELD.match(message), said
    elif response.status_code == 501:
        assert NAMED.match(message), said


def message_of(dialect: str, body: dict) -> str:
    """Of an error, whose shape must be the dialect's."""
    if dialect == "ollama":
        assert list(body) == ["error"]
        return body["error"]
    error = body["error"]
    assert body.get("type") == "error" if dialect == "anthropic" else set(error) == {"message", "type", "param", "code"}
    return error["message"]


@reading.parametrize()
@settings(max_examples=FEW, suppress_health_check=list(HealthCheck))
def test_a_few_requests_to_each_endpoint_that_reads_a_body(case: schemathesis.Case, base_url: str) -> None:
    check(case, base_url)


@other.parametrize()
@settings(max_examples=2, suppress_health_check=list(HealthCheck))
def test_every_other_endpoint(case: schemathesis.Case, base_url: str) -> None:
    check(case, base_url)


@pytest.mark.long
@drawn.parametrize()
@settings(max_examples=MANY, suppress_health_check=list(HealthCheck))
def test_many_requests(case: schemathesis.Case, base_url: str) -> None:
    check(case, base_url)
