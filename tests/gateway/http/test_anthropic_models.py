"""/v1/models for callers that send the version of Anthropic's API: shapes and pages."""

import pytest

from tests.support.fake_gateway import model_info

URL = "/v1/models"
VERSION = {"anthropic-version": "2023-06-01"}
NAMES = [f"m{number}" for number in range(30)]


@pytest.fixture
def models(http, gateway):
    gateway.models = [model_info(name) for name in NAMES]

    def ask(**query: object):
        return http.get(URL, params=query, headers=VERSION)

    return ask


def test_a_model_has_its_shape(http):
    found = {"type": "model", "id": "tiny", "display_name": "tiny", "created_at": "1970-01-01T00:00:00Z",
             "lifecycle": "active", "max_input_tokens": 2048, "max_tokens": 2048}
    assert http.get(f"{URL}/tiny", headers=VERSION).json() == found
    response = http.get(URL, headers=VERSION)
    assert response.json() == {"data": [found], "has_more": False, "first_id": "tiny", "last_id": "tiny"}
    assert http.get(f"{URL}/", headers=VERSION).json() == response.json()
    assert response.headers["request-id"] == response.headers["x-request-id"]


def test_what_a_model_takes_is_told_before_it_was_loaded(http, gateway, tmp_path):
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 4096}')
    gateway.models = [model_info("tiny", context_length=0, path=str(tmp_path)), model_info("other", context_length=0)]
    found = http.get(URL, headers=VERSION).json()["data"]
    assert [(each["max_input_tokens"], each["max_tokens"]) for each in found] == [(4096, 4096), (None, None)]


def test_without_the_version_it_is_openais(http):
    assert http.get(URL).json()["object"] == "list" and "request-id" not in http.get(URL).headers
    assert http.get(f"{URL}/nix").json()["error"]["code"] == "model_not_found"


def test_no_model_is_an_empty_page(http, gateway):
    gateway.models = []
    assert http.get(URL, headers=VERSION).json() == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(("query", "first", "last", "more"), [
    ({}, 0, 19, True), ({"after_id": "m19"}, 20, 29, False), ({"limit": 30}, 0, 29, False), ({"limit": 1}, 0, 0, True),
    ({"limit": 29}, 0, 28, True), ({"after_id": "m27", "limit": 2}, 28, 29, False),
    ({"before_id": "m5", "limit": 2}, 3, 4, True), ({"before_id": "m5"}, 0, 4, False), ({"limit": ""}, 0, 19, True)])
def test_pages(models, query, first, last, more):
    found = models(**query).json()
    assert [each["id"] for each in found["data"]] == NAMES[first:last + 1]
    assert (found["first_id"], found["last_id"], found["has_more"]) == (NAMES[first], NAMES[last], more)


@pytest.mark.parametrize(("query", "field"), [
    ({"limit": 0}, "limit"), ({"limit": 1001}, "limit"), ({"limit": "ten"}, "limit"), ({"limit": "²"}, "limit"),
    ({"after_id": "nix"}, "after_id"), ({"before_id": "nix"}, "before_id")])
def test_pages_that_there_are_not(models, query, field):
    response = models(**query)
    assert response.status_code == 400 and response.json()["error"]["message"].startswith(f"{field}: ")


def test_an_unknown_model_is_404_in_its_shape(http):
    response = http.get(f"{URL}/nix", headers=VERSION)
    assert response.status_code == 404 and response.json()["error"]["type"] == "not_found_error"
