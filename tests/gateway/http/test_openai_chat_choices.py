"""/v1/chat/completions with n > 1 over a real socket: one response, one stream, one failure, one caller that leaves."""

import httpx
import pytest

from gateway.protocol import Submit
from tests.gateway.http.test_openai_chat import HI, URL, events
from tests.support.fake_gateway import accepted, error, tokens

PATIENCE_S = 0.5  # of a caller that leaves


def test_several_choices_are_requests_of_their_own(http, gateway):
    body = http.post(URL, json={"messages": HI, "n": 3, "seed": 7}).json()
    assert [(c["index"], c["message"]["content"]) for c in body["choices"]] == [
        (index, "one two three") for index in range(3)]
    assert [submit.options.seed for submit in gateway.all(Submit)] == [7, 8, 9]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (5, 9)


def test_several_choices_in_one_stream(http):
    *chunks, usage, last = events(http.post(URL, json={"messages": HI, "n": 2, "stream": True,
                                                       "stream_options": {"include_usage": True}}))
    assert last == "[DONE]" and usage["usage"]["completion_tokens"] == 6 and usage["choices"] == []
    for index in range(2):
        mine = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == index]
        assert "".join(each["delta"].get("content", "") for each in mine) == "one two three"
        assert [each["finish_reason"] for each in mine] == [None] * 4 + ["stop"]
        assert mine[0]["delta"]["role"] == "assistant"


def test_one_choice_that_fails_fails_all_of_them(http, gateway):
    def script(submit: Submit) -> list:
        if submit.options.seed == 2:
            return [accepted(submit.id, 1), error(submit.id, "worker_crashed", "it died")]
        return [accepted(submit.id, 1), tokens(submit.id, 0, "a")]

    gateway.on[Submit] = script
    asked = {"messages": HI, "n": 2, "seed": 1}
    response = http.post(URL, json=asked)
    assert response.status_code == 500 and response.json()["error"]["message"] == "choice 1 of 2: it died"
    gateway.wait_for_cancel(gateway.all(Submit)[0].id)


def test_one_choice_that_fails_in_mid_stream_is_no_clean_end(http, gateway):
    def script(submit: Submit) -> list:
        if submit.options.seed == 2:
            return [accepted(submit.id, 1), tokens(submit.id, 0, "a"), error(submit.id, "worker_crashed", "it died")]
        return [accepted(submit.id, 1), tokens(submit.id, 0, "a")]

    gateway.on[Submit] = script
    *_, last = events(http.post(URL, json={"messages": HI, "n": 2, "seed": 1, "stream": True}))
    assert last["error"]["code"] == "worker_crashed" and "choice 1 of 2" in last["error"]["message"]
    gateway.wait_for_cancel(gateway.all(Submit)[0].id)


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_that_leaves_has_all_of_them_cancelled(stack, gateway, stream):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "a")]
    with httpx.Client(base_url=stack.url, timeout=PATIENCE_S) as leaving:
        request = leaving.build_request("POST", URL, json={"messages": HI, "n": 2, "stream": stream})
        if stream:
            response = leaving.send(request, stream=True)
            next(response.iter_lines())
            response.close()
        else:
            with pytest.raises(httpx.ReadTimeout):
                leaving.send(request, stream=True)
    for number in (1, 2):
        gateway.wait_for_cancel(gateway.wait_for(Submit, number).id)


def test_signs_of_life_come_while_several_wait(http, gateway, monkeypatch):
    monkeypatch.setattr("gateway.http.answering.WAIT_BEFORE_HEADERS_S", 0.05)
    monkeypatch.setattr("gateway.http.answering.SIGN_EVERY_S", 0.05)
    gateway.on[Submit] = gateway.hold
    with http.stream("POST", URL, json={"messages": HI, "n": 2, "stream": True}) as response:
        lines = response.iter_lines()
        assert next(lines).startswith(": ") and not next(lines) and next(lines).startswith(": ")
    gateway.wait_for_cancel(gateway.wait_for(Submit, 2).id)
