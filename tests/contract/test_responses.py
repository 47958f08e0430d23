"""The official openai package against /v1/responses of a running stack, with its validation of answers on."""

import json
from typing import Literal

import openai
import pytest
from pydantic import BaseModel, ConfigDict

from tests.support.live_stack import LiveStack

TOKENS = 200  # enough for a call or an object of the schema below
HI = "What is this?"


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: Literal[1, 2, 3]
    sure: bool


LOOK = {"type": "function", "name": "look", "description": "Look somewhere.", "strict": True,
        "parameters": Answer.model_json_schema()}


@pytest.fixture(scope="module")
def client(base_url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{base_url}/v1", api_key="none", max_retries=0, _strict_response_validation=True)


def test_an_answer_of_the_guide(client: openai.OpenAI) -> None:
    response = client.responses.create(model="guide", input=HI, instructions="Be brief.", temperature=0)
    assert response.status == "completed" and "mlx-warden" in response.output_text
    assert response.usage.output_tokens > 0 and response.store is False and response.error is None
    again = client.responses.create(model="guide", temperature=0, instructions="Be brief.", input=[
        {"role": "user", "content": [{"type": "input_text", "text": HI}]}])
    assert again.output_text == response.output_text and again.usage.input_tokens == response.usage.input_tokens


def test_the_output_of_an_answer_is_input_of_the_next(client: openai.OpenAI) -> None:
    first = client.responses.create(model="random", input=HI, max_output_tokens=30, reasoning={"effort": "high"})
    assert [item.type for item in first.output] == ["reasoning", "message"]
    assert first.status == "incomplete" and first.incomplete_details.reason == "max_output_tokens"
    assert 0 < first.usage.output_tokens_details.reasoning_tokens < first.usage.output_tokens
    second = client.responses.create(model="random", max_output_tokens=4, input=[
        {"role": "user", "content": HI}, *[item.to_dict() for item in first.output],
        {"role": "user", "content": "And now?"}])
    assert second.usage.input_tokens > first.usage.input_tokens


def test_the_accumulator_of_the_library_hears_what_a_whole_answer_says(client: openai.OpenAI) -> None:
    asked = {"model": "guide", "input": HI, "temperature": 0}
    with client.responses.stream(**asked) as stream:
        heard = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in heard] == list(range(len(heard)))
    deltas = [event for event in heard if event.type == "response.output_text.delta"]
    assert "".join(event.delta for event in deltas) == deltas[-1].snapshot == final.output_text
    assert final.output_text == client.responses.create(**asked).output_text
    assert final.usage.output_tokens > 0


def test_a_stream_that_is_cut_short_is_incomplete(client: openai.OpenAI) -> None:
    with client.responses.stream(model="random", input=HI, max_output_tokens=3) as stream:
        *_, last = stream
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"


def test_parse_gives_an_object_of_the_schema(client: openai.OpenAI) -> None:
    response = client.responses.parse(model="random", input=HI, text_format=Answer, max_output_tokens=TOKENS,
                                      reasoning={"effort": "none"})
    assert isinstance(response.output_parsed, Answer)
    with client.responses.stream(model="random", input=HI, text_format=Answer, max_output_tokens=TOKENS,
                                 reasoning={"effort": "none"}) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Answer)


def test_any_json_object(client: openai.OpenAI) -> None:
    response = client.responses.create(model="random", input=HI, max_output_tokens=TOKENS, extra_body={"seed": 1},
                                       reasoning={"effort": "none"}, text={"format": {"type": "json_object"}})
    assert response.output_text.startswith("{")
    assert response.status == "incomplete" or isinstance(json.loads(response.output_text), dict)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "look"}, {
    "type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]}])
def test_a_call_and_its_output(client: openai.OpenAI, choice: object) -> None:
    asked = {"model": "random", "tools": [LOOK], "max_output_tokens": TOKENS, "reasoning": {"effort": "none"}}
    response = client.responses.create(input=HI, tool_choice=choice, parallel_tool_calls=False, **asked)
    [call] = response.output
    assert call.type == "function_call" and call.name == "look" and Answer.model_validate_json(call.arguments)
    after = client.responses.create(tool_choice="none", **asked | {"max_output_tokens": 4}, input=[
        {"role": "user", "content": HI}, call.to_dict(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "dark"}])
    assert after.output[-1].type == "message"
    alone = client.responses.input_tokens.count(model="random", input=HI, reasoning={"effort": "none"})
    assert after.usage.input_tokens > alone.input_tokens


def test_a_streamed_call(client: openai.OpenAI) -> None:
    with client.responses.stream(model="random", input=HI, tools=[LOOK], tool_choice="required",
                                 parallel_tool_calls=False, max_output_tokens=TOKENS) as stream:
        heard = list(stream)
        call = stream.get_final_response().output[-1]
    [done] = [event for event in heard if event.type == "response.function_call_arguments.done"]
    deltas = [event for event in heard if event.type == "response.function_call_arguments.delta"]
    assert done.arguments == deltas[-1].snapshot == call.arguments and Answer.model_validate_json(call.arguments)


def test_chances_of_tokens(client: openai.OpenAI) -> None:
    response = client.responses.create(model="random", input=HI, include=["message.output_text.logprobs"],
                                       top_logprobs=3, max_output_tokens=5, reasoning={"effort": "none"})
    chances = response.output[0].content[0].logprobs
    assert chances and all(len(each.top_logprobs) == 3 and each.logprob <= 0 for each in chances)


def test_tokens_are_counted_as_an_answer_counts_them(client: openai.OpenAI) -> None:
    asked = {"model": "random", "input": HI, "instructions": "Be brief."}
    counted = client.responses.input_tokens.count(**asked)
    assert counted.input_tokens == client.responses.create(**asked, max_output_tokens=1).usage.input_tokens


@pytest.mark.parametrize(("fields", "kind", "param"), [
    ({"model": "nobody"}, openai.NotFoundError, "model"),
    ({"temperature": -1}, openai.BadRequestError, "temperature"),
    ({"input": []}, openai.BadRequestError, "input"),
    ({"previous_response_id": "resp_1"}, openai.InternalServerError, "previous_response_id"),
    ({"background": True}, openai.InternalServerError, "background"),
    ({"tools": [{"type": "web_search"}]}, openai.InternalServerError, "tools[0].type"),
    ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {"$ref": "#/nowhere"}}}},
     openai.BadRequestError, "text.format.schema"),
    ({"input": "long " * 20_000}, openai.BadRequestError, "input"),
])
@pytest.mark.parametrize("stream", [False, True])
def test_refusals_are_the_librarys_own_errors(client: openai.OpenAI, fields: dict, kind: type, param: str | None,
                                              stream: bool) -> None:
    with pytest.raises(kind) as caught:
        client.responses.create(**{"model": "random", "input": HI, "stream": stream} | fields)
    assert caught.value.param == param and caught.value.code


def test_responses_are_not_kept(client: openai.OpenAI) -> None:
    kept = client.responses.create(model="random", input=HI, max_output_tokens=1)
    for ask in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.InternalServerError) as caught:
            ask(kept.id)
        assert caught.value.code == "not_offered"


def test_a_worker_that_dies_in_mid_stream_is_an_error_and_no_end(client: openai.OpenAI, stack: LiveStack) -> None:
    answer = client.responses.create(model="echo", input="#tokens=100000 #rate=50", stream=True)
    heard = [next(answer)]
    while heard[-1].type != "response.output_text.delta":
        heard.append(next(answer))
    stack.kill("worker-echo")
    with pytest.raises(openai.APIError) as caught:
        heard.extend(answer)
    assert caught.value.code == "worker_crashed"
    assert heard[-1].type == "response.failed" and heard[-1].response.error.code == "server_error"
