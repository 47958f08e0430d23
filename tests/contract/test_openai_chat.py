"""The `openai` package against a real stack: chats whole and streamed, seeds, choices, chances, biases, errors."""

import asyncio
import math
from collections.abc import Iterator

import openai
import pytest
from tokenizers import Tokenizer

from gateway.http.openai_options import N_MAX
from tests.support.models import model_path
from tests.support.openai_client import async_openai_client, openai_client, text_of, user

TOKENS = 12
TOPS = 3
HOT = {"model": "random", "messages": user("say something"), "max_tokens": TOKENS, "temperature": 1.0}
COLD = {**HOT, "temperature": 0.0, "max_tokens": 1}


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai_client(base_url) as made:
        yield made


def text_with(client: openai.OpenAI, **facts: object) -> str:
    return client.chat.completions.create(**HOT | facts).choices[0].message.content


def test_models(client):
    listed = {model.id: model for model in client.models.list()}
    assert {"guide", "random", "echo"} <= listed.keys()
    assert client.models.retrieve("guide") == listed["guide"]
    assert client.models.retrieve("random-alias:1b").id == "random"


def counts_of(usage) -> dict:
    """But for what was known already, which grows with each asking."""
    return usage.model_dump(exclude={"prompt_tokens_details"})


def test_a_whole_answer_of_the_model_that_comes_with_the_product(client):
    answer = client.chat.completions.create(model="guide", messages=[
        {"role": "system", "content": "Be short."}, *user("What is mlx-warden?")], temperature=0)
    choice = answer.choices[0]
    assert answer.model == "guide" and "guide" in answer.system_fingerprint and choice.message.content
    assert (choice.finish_reason, choice.message.tool_calls, choice.message.refusal) == ("stop", None, None)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert 0 <= answer.usage.prompt_tokens_details.cached_tokens < answer.usage.prompt_tokens


def test_a_stream_says_the_same_as_the_whole_and_tells_its_usage(client):
    whole = client.chat.completions.create(**HOT, seed=3)
    chunks = list(client.chat.completions.create(**HOT, seed=3, stream=True, stream_options={"include_usage": True}))
    assert text_of(chunks) == whole.choices[0].message.content
    assert counts_of(chunks[-1].usage) == counts_of(whole.usage) and not chunks[-1].choices
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens > 0  # the prompt was known by then
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"


def test_an_asynchronous_client(base_url):
    async def ask() -> tuple[str, str]:
        async with async_openai_client(base_url) as made:
            whole = await made.chat.completions.create(**HOT, seed=3)
            chunks = [chunk async for chunk in await made.chat.completions.create(**HOT, seed=3, stream=True)]
            return whole.choices[0].message.content, text_of(chunks)

    whole, streamed = asyncio.run(ask())
    assert whole == streamed


def test_a_seed_gives_its_text_again(client):
    assert text_with(client, seed=1) == text_with(client, seed=1) != text_with(client, seed=2)


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices_have_the_seeds_after_the_first(client, stream):
    alone = [text_with(client, seed=10 + number) for number in range(N_MAX)]
    answer = client.chat.completions.create(**HOT, seed=10, n=N_MAX, stream=stream)
    if stream:
        chunks = list(answer)
        assert [text_of(chunks, index) for index in range(N_MAX)] == alone
    else:
        assert [choice.message.content for choice in answer.choices] == alone
        assert [choice.index for choice in answer.choices] == list(range(N_MAX))
        assert answer.usage.completion_tokens == N_MAX * TOKENS
    assert len(set(alone)) == N_MAX


@pytest.mark.parametrize("stop", ["END", ["no", "END"]])
def test_a_stop_text_ends_the_answer(client, stop):
    answer = client.chat.completions.create(model="echo", messages=user("#text=a b END c"), stop=stop)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("a b ", "stop")


@pytest.mark.parametrize("stream", [False, True])
def test_chances_of_each_token(client, stream):
    answer = client.chat.completions.create(**HOT, seed=5, logprobs=True, top_logprobs=TOPS, stream=stream)
    chunks = list(answer) if stream else []
    choices = [chunk.choices[0] for chunk in chunks] if stream else answer.choices
    told = [token for choice in choices if choice.logprobs for token in choice.logprobs.content]
    assert len(told) == TOKENS
    for token in told:
        tops = [top.logprob for top in token.top_logprobs]
        assert len(tops) == TOPS and tops == sorted(tops, reverse=True) and token.logprob <= tops[0] <= 0
        assert sum(map(math.exp, tops)) <= 1.0 + 1e-3
    said = text_of(chunks) if stream else answer.choices[0].message.content
    assert b"".join(bytes(token.bytes) for token in told).decode("utf-8", "replace") == said


def test_a_bias_forbids_a_token_and_forces_another(client):
    tokenizer = Tokenizer.from_file(str(model_path("1m", "agent") / "tokenizer.json"))
    first, second = client.chat.completions.create(
        **COLD, logprobs=True, top_logprobs=2).choices[0].logprobs.content[0].top_logprobs
    ids = {tokenizer.decode([number]).encode(): str(number) for number in range(tokenizer.get_vocab_size())}
    best, next_best = (ids[bytes(top.bytes)] for top in (first, second))

    def token_with(bias: dict[str, int]) -> list[int]:
        answer = client.chat.completions.create(**COLD, logprobs=True, logit_bias=bias)
        return answer.choices[0].logprobs.content[0].bytes

    assert token_with({best: -100}) == second.bytes
    assert token_with({next_best: 100}) == second.bytes
    assert token_with({}) == first.bytes


def test_fields_that_change_nothing_are_accepted(client):
    answer = client.chat.completions.create(
        **COLD, user="ann", metadata={"a": "b"}, store=False, service_tier="auto", safety_identifier="x",
        prompt_cache_key="y", verbosity="low", modalities=["text"], tools=[], logit_bias={}, stop=None,
        prediction={"type": "content", "content": "so"}, extra_body={"unheard": {"of": 1}})
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize(("asked", "kind", "param", "code"), [
    ({"model": "nobody"}, openai.NotFoundError, "model", "model_not_found"),
    ({"temperature": -1}, openai.BadRequestError, "temperature", "invalid_request"),
    ({"n": N_MAX + 1}, openai.BadRequestError, "n", "invalid_request"),
    ({"messages": []}, openai.BadRequestError, "messages", "invalid_request"),
    ({"tool_choice": "required"}, openai.BadRequestError, "tool_choice", "invalid_request"),
    ({"audio": {"voice": "alloy", "format": "wav"}}, openai.InternalServerError, "audio", "not_offered"),
    ({"messages": user("word " * 5_000)}, openai.BadRequestError, "messages", "context_length_exceeded")])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_their_class_field_and_code(client, asked, kind, param, code, stream):
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**HOT | asked, stream=stream)
    assert (caught.value.param, caught.value.code) == (param, code) and caught.value.message
