"""The `openai` package against a real stack: completions of texts and token ids, echo, chances in the old shape."""

from collections.abc import Iterator

import openai
import pytest
from tokenizers import Tokenizer

from tests.support.models import model_path
from tests.support.openai_client import openai_client

TOKENS = 6
TOPS = 2
ASKED = {"model": "random", "max_tokens": TOKENS, "temperature": 1.0, "seed": 1}
TEXTS = ["Once there was", "And then"]


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai_client(base_url) as made:
        yield made


def test_a_text_goes_on(client):
    answer = client.completions.create(**ASKED, prompt=TEXTS[0])
    assert answer.object == "text_completion" and answer.choices[0].text and answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == TOKENS


def test_streamed_it_is_the_same(base_url, client):
    """Without validation: the package's own type has no place for the `null` that a stream of OpenAI's has too."""
    whole = client.completions.create(**ASKED, prompt=TEXTS[0])
    with openai_client(base_url, _strict_response_validation=False) as lax:
        *chunks, usage = lax.completions.create(**ASKED, prompt=TEXTS[0], stream=True,
                                                stream_options={"include_usage": True})
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "length"]
    counts = {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert usage.usage.model_dump(include=counts) == whole.usage.model_dump(include=counts)


def test_token_ids_are_the_same_as_their_text(client):
    tokenizer = Tokenizer.from_file(str(model_path("1m", "agent") / "tokenizer.json"))
    ids = tokenizer.encode(TEXTS[0]).ids
    by_ids, by_text = (client.completions.create(**ASKED, prompt=prompt) for prompt in (ids, TEXTS[0]))
    assert by_ids.choices[0].text == by_text.choices[0].text
    assert by_ids.usage.prompt_tokens == by_text.usage.prompt_tokens == len(ids)


def test_several_prompts_with_several_choices_each(client):
    answer = client.completions.create(**ASKED, prompt=TEXTS, n=2, echo=True)
    assert [choice.index for choice in answer.choices] == list(range(4))
    for choice in answer.choices:
        assert choice.text.startswith(TEXTS[choice.index // 2])
    alone = [client.completions.create(**ASKED, prompt=text) for text in TEXTS]
    assert [TEXTS[place] + each.choices[0].text for place, each in enumerate(alone)] == [
        answer.choices[0].text, answer.choices[2].text]
    assert answer.usage.prompt_tokens == sum(each.usage.prompt_tokens for each in alone)


def test_chances_in_the_old_shape(client):
    answer = client.completions.create(**ASKED, prompt=TEXTS[0], logprobs=TOPS).choices[0]
    told = answer.logprobs
    lists = (told.tokens, told.token_logprobs, told.top_logprobs, told.text_offset)
    assert [len(each) for each in lists] == [TOKENS] * len(lists)
    assert told.text_offset[0] == 0 and told.text_offset == sorted(told.text_offset)
    assert all(chance <= 0 for chance in told.token_logprobs) and all(len(tops) == TOPS for tops in told.top_logprobs)


def test_what_is_between_two_texts(client):
    filled = client.completions.create(**ASKED, prompt="def f(", suffix="return 1")
    plain = client.completions.create(**ASKED, prompt="def f(")
    assert filled.usage.prompt_tokens > plain.usage.prompt_tokens and filled.choices[0].text
    assert client.completions.create(**ASKED, prompt="", suffix="return 1").choices[0].text
    with pytest.raises(openai.BadRequestError, match="insert"):
        client.completions.create(model="guide", prompt="def f(", suffix="return 1")


@pytest.mark.parametrize(("asked", "kind", "param"), [
    ({"prompt": ""}, openai.BadRequestError, "prompt"), ({"best_of": 3}, openai.InternalServerError, "best_of"),
    ({"echo": True, "logprobs": 1}, openai.InternalServerError, "echo"),
    ({"prompt": [10**9]}, openai.BadRequestError, "prompt"), ({"model": "nobody"}, openai.NotFoundError, "model")])
def test_errors_have_their_class_and_field(client, asked, kind, param):
    with pytest.raises(kind) as caught:
        client.completions.create(**ASKED | {"prompt": "a"} | asked)
    assert caught.value.param == param
