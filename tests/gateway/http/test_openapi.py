"""/openapi.json: valid, complete, made of what is there, and open to all."""

import re

from jsonschema import Draft202012Validator

from gateway.http.app import ROUTES
from gateway.http.fields import collect
from gateway.http.openapi import STREAMS, codes_by_status, describe
from gateway.protocol import ERRORS


def test_it_is_served_as_it_is_made(http):
    response = http.get("/openapi.json")
    assert response.status_code == 200 and response.json() == describe(ROUTES)


def test_every_route_and_method_is_described():
    paths = describe(ROUTES)["paths"]
    named = {re.sub(r":\w+\}", "}", path): {method.lower() for method in methods} for path, methods in ROUTES.items()}
    assert {path: set(methods) for path, methods in paths.items()} == named
    for path, methods in paths.items():
        for operation in methods.values():
            assert {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"} == set(
                re.findall(r"\{(\w+)\}", path))


def test_all_references_lead_somewhere():
    found = describe(ROUTES)
    references = set()

    def look(value):
        if isinstance(value, dict):
            references.update([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            value = list(value.values())
        if isinstance(value, list):
            for each in value:
                look(each)

    look(found)
    for reference in references:
        inside = found
        for part in reference.removeprefix("#/").split("/"):
            inside = inside[part]
    for schema in found["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_bodies_are_those_that_the_code_reads_and_their_smallest_fits():
    found = describe(ROUTES)
    for (method, path), asks in collect(ROUTES).items():
        content = found["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]
        schema = content["schema"] | {"components": found["components"]}
        assert Draft202012Validator(schema).is_valid(dict(asks.body)), path
        good = found["paths"][path][method.lower()]["responses"]["200"]["content"]
        assert not asks.answer or Draft202012Validator(good["application/json"]["schema"]).is_valid(asks.answer)
        assert ("stream" not in asks.struct.__struct_fields__) or STREAMS[asks.dialect] in good


def test_every_code_has_a_status_and_what_is_busy_is_529_for_anthropics_clients():
    for dialect in ("ollama", "openai", "anthropic"):
        assert sorted(code for codes in codes_by_status(dialect).values() for code in codes) == sorted(ERRORS)
    assert "queue_full" in codes_by_status("anthropic")[529] and 503 not in codes_by_status("anthropic")


def test_what_is_not_offered_is_described_by_its_errors_alone():
    push = describe(ROUTES)["paths"]["/api/push"]["post"]
    assert "200" not in push["responses"] and "501" in push["responses"] and "requestBody" not in push
