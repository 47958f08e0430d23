"""The official `ollama` package asks a real stack: every way of asking for an answer, and what it makes of the answers.

The package validates what it gets with pydantic, so a field of a wrong type fails these tests by itself.
"""

import asyncio

import ollama
import pydantic
import pytest

from tests.support.supervisor_home import wait_until
from workers.random_agent import CALL_ARGUMENTS, CALL_NAME, CALL_WORDS, REASONING

HI = [{"role": "user", "content": "hi"}]
SHORT = {"num_predict": 5, "seed": 7}


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    age: int
    is_old: bool


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: its name
    """
    return f"sunny in {city}"


@pytest.fixture(scope="module")
def client(base_url):
    return ollama.Client(base_url)


def check_times(end) -> None:
    assert end.done and end.created_at.endswith("Z") and end.prompt_eval_count > 0
    parts = (end.load_duration, end.prompt_eval_duration, end.eval_duration)
    assert all(isinstance(part, int) and part >= 0 for part in parts) and end.total_duration >= sum(parts)


def test_a_chat_as_a_whole_and_as_a_stream_is_the_same(client):
    whole = client.chat("random", HI, options=SHORT)
    assert whole.model == "random" and whole.message.role == "assistant" and whole.message.content
    assert (whole.done_reason, whole.eval_count) == ("length", SHORT["num_predict"])
    check_times(whole)
    *parts, end = client.chat("random", HI, options=SHORT, stream=True)
    assert not any(part.done for part in parts) and end.done_reason == "length"
    assert "".join(part.message.content for part in [*parts, end]) == whole.message.content
    check_times(end)


def test_a_prompt_as_a_whole_and_as_a_stream_is_the_same(client):
    whole = client.generate("random", "hi", system="be short", options=SHORT)
    assert whole.response and whole.done_reason == "length"
    check_times(whole)
    *parts, end = client.generate("random", "hi", system="be short", options=SHORT, stream=True)
    assert "".join(part.response for part in [*parts, end]) == whole.response
    check_times(end)


def test_the_first_answer_tells_how_long_the_load_took(client):
    client.generate("random", keep_alive=0)
    wait_until("it to be gone", lambda: "random:latest" not in [model.model for model in client.ps().models])
    end = client.chat("random", HI, options=SHORT)
    assert end.load_duration > 0
    check_times(end)
    assert client.chat("random", HI, options=SHORT).load_duration == 0


def test_a_prompt_as_it_is_and_one_between_two_texts(client):
    raw = client.generate("random", "def f(", raw=True, options=SHORT)
    between = client.generate("random", "def f(", suffix="return", options=SHORT)
    own = client.generate("random", "hi", system="be short", template="{{ .System }}: {{ .Prompt }}", options=SHORT)
    assert raw.response and between.response and own.response
    assert raw.prompt_eval_count < between.prompt_eval_count
    with pytest.raises(ollama.ResponseError, match="does not support insert") as refused:
        client.generate("guide", "def f(", suffix="return")
    assert refused.value.status_code == 400


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tools_that_are_python_functions(client, stream):
    messages = [{"role": "user", "content": CALL_WORDS}]
    said = client.chat("random", messages, tools=[get_weather], stream=stream)
    found = list(said) if stream else [said]
    [call] = [call for part in found for call in part.message.tool_calls or ()]
    assert (call.function.name, call.function.arguments) == (CALL_NAME, CALL_ARGUMENTS)
    assert "".join(part.message.content or "" for part in found).strip() == ""
    assert found[-1].done_reason == "stop"
    answered = {"role": "tool", "tool_name": CALL_NAME, "content": get_weather(**call.function.arguments)}
    turn = {"role": "assistant", "content": "", "tool_calls": [call.model_dump()]}
    end = client.chat("random", [*messages, turn, answered, *HI], tools=[get_weather], options=SHORT)
    assert end.message.content and not end.message.tool_calls


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_answer_that_meets_a_schema(client, stream):
    said = client.chat("random", HI, format=Person.model_json_schema(), options={"num_predict": 400}, stream=stream)
    text = "".join(part.message.content for part in said) if stream else said.message.content
    Person.model_validate_json(text)
    said = client.generate("random", "hi", format=Person.model_json_schema(), options={"num_predict": 400})
    Person.model_validate_json(said.response)


def test_a_schema_that_cannot_be_is_refused_with_its_field(client):
    with pytest.raises(ollama.ResponseError, match="^format") as refused:
        client.chat("random", HI, format={"type": "no such type"})
    assert refused.value.status_code == 400


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_reasoning_comes_apart_from_the_answer(client, stream):
    for ask, name in ((lambda **how: client.chat("random", HI, **how), "content"),
                      (lambda **how: client.generate("random", "hi", **how), "response")):
        said = ask(think=True, options={"num_predict": 20}, stream=stream)
        found = [part.message if name == "content" else part for part in (said if stream else [said])]
        assert "".join(part.thinking or "" for part in found).strip() == REASONING.strip()
        text = "".join(getattr(part, name) or "" for part in found)
        assert text and "think>" not in text
    assert not client.chat("random", HI, think=False, options=SHORT).message.thinking


def test_the_chances_of_tokens(client):
    for stream in (False, True):
        said = client.chat("random", HI, logprobs=True, top_logprobs=3, options=SHORT, stream=stream)
        told = [one for part in (said if stream else [said]) for one in part.logprobs or ()]
        assert len(told) == SHORT["num_predict"]
        assert all(one.logprob <= 0 and len(one.top_logprobs) == 3 for one in told)
    assert client.chat("random", HI, options=SHORT).logprobs is None


def test_the_same_seed_says_the_same(client):
    said = {client.chat("random", HI, options=SHORT | {"temperature": 1.0}).message.content for _ in range(3)}
    assert len(said) == 1


def test_stop_ends_an_answer_before_it(client):
    whole = client.chat("echo", [{"role": "user", "content": "#tokens=20"}]).message.content
    word = whole.split()[2]
    said = client.chat("echo", [{"role": "user", "content": "#tokens=20"}], options={"stop": [word]})
    assert said.done_reason == "stop" and word not in said.message.content


def test_images_are_refused_in_plain_words_where_nobody_reads_them(client):
    for ask in (lambda: client.chat("random", [{**HI[0], "images": [b"\x89PNG"]}]),
                lambda: client.generate("random", "what is it?", images=[b"\x89PNG"])):
        with pytest.raises(ollama.ResponseError, match="images") as refused:
            ask()
        assert refused.value.status_code == 501


def test_many_at_once_with_the_client_for_asyncio(base_url):
    async def ask(number: int) -> str:
        said = await ollama.AsyncClient(base_url).chat("random", HI, options=SHORT | {"seed": number}, stream=True)
        return "".join([part.message.content async for part in said])

    async def ask_all() -> list[str]:
        return await asyncio.gather(*(ask(number) for number in range(8)))

    assert all(asyncio.run(ask_all()))
