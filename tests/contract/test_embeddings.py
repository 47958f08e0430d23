"""Embeddings and counts for models that are not loaded, with the official `ollama` and `openai` packages and the stack.

`embedder` has random weights and says, as sentence-transformers' models do, that its vectors are means.
"""

import asyncio
import math
import threading

import ollama
import openai
import pytest

from control.states import Phase
from gateway.client import GatewayClient, GatewayError
from tests.support.contract_stack import EMBEDDER_CONTEXT, POOLING
from tests.support.supervisor_home import wait_until

WIDTH = POOLING["word_embedding_dimension"]
CONTEXT = 4096  # of `random`
TEXT = "The quick brown fox jumps over the lazy dog. "
TOO_LONG = TEXT * 1000
NEAR = 1e-5
STREAMED_MAX = 2000


@pytest.fixture(scope="module")
def ollama_client(base_url):
    return ollama.Client(base_url)


@pytest.fixture(scope="module")
def openai_client(base_url):
    """It asks for base64 by itself, which its own strict validation of answers does not know."""
    return openai.OpenAI(base_url=f"{base_url}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def strict_client(base_url):
    return openai.OpenAI(base_url=f"{base_url}/v1", api_key="none", max_retries=0, _strict_response_validation=True)


def far(one, other):
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def test_a_list_gets_a_vector_of_length_one_for_each_text(ollama_client):
    answer = ollama_client.embed("embedder", ["hello", TEXT, "hello"])
    first, second, third = answer.embeddings
    assert answer.model == "embedder" and len(first) == WIDTH
    assert math.hypot(*first) == pytest.approx(1.0, abs=NEAR)
    assert far(first, third) < NEAR < far(first, second)
    assert answer.prompt_eval_count > len(TEXT.split()) and answer.total_duration >= answer.load_duration >= 0


def test_all_faces_and_both_encodings_give_the_same(ollama_client, openai_client, strict_client):
    [known] = ollama_client.embed("embedder", TEXT).embeddings
    assert far(known, ollama_client.embeddings("embedder", TEXT).embedding) < NEAR
    for client, extra in ((openai_client, {}), (strict_client, {"encoding_format": "float"})):
        answer = client.embeddings.create(model="embedder", input=TEXT, user="me", **extra)
        assert (answer.object, answer.model, answer.data[0].index) == ("list", "embedder", 0)
        assert answer.usage.total_tokens == answer.usage.prompt_tokens > 0
        assert far(known, answer.data[0].embedding) < NEAR


def test_ids_of_tokens_are_taken_as_the_text_they_stand_for(stack, openai_client):
    async def ids_of():
        async with GatewayClient(stack.paths.endpoint("clients")) as client:
            return (await client.tokenize(model="embedder", prompt=TEXT, with_ids=True)).ids

    ids = asyncio.run(ids_of())
    one = openai_client.embeddings.create(model="embedder", input=ids)
    two = openai_client.embeddings.create(model="embedder", input=[ids, ids[:3]])
    text = openai_client.embeddings.create(model="embedder", input=[TEXT])
    assert len(one.data) == 1 and [each.index for each in two.data] == [0, 1]
    assert one.usage.prompt_tokens == len(ids) == text.usage.prompt_tokens
    assert far(one.data[0].embedding, text.data[0].embedding) < NEAR
    assert far(two.data[0].embedding, text.data[0].embedding) < NEAR


def test_fewer_dimensions(ollama_client, openai_client):
    few = openai_client.embeddings.create(model="embedder", input=TEXT, dimensions=16).data[0].embedding
    assert len(few) == 16 and math.hypot(*few) == pytest.approx(1.0, abs=NEAR)
    assert far(few, ollama_client.embed("embedder", TEXT, dimensions=16).embeddings[0]) < NEAR
    with pytest.raises(openai.BadRequestError, match=f"dimensions: 1000 is more than the {WIDTH}"):
        openai_client.embeddings.create(model="embedder", input=TEXT, dimensions=1000)


def test_ollama_cuts_a_text_that_is_too_long_and_openai_refuses_it(ollama_client, openai_client):
    assert ollama_client.embed("embedder", TOO_LONG).prompt_eval_count == EMBEDDER_CONTEXT
    with pytest.raises(ollama.ResponseError, match=r"input\[1\]: it has .* tokens; the context holds") as refused:
        ollama_client.embed("embedder", ["fine", TOO_LONG], truncate=False)
    assert refused.value.status_code == 400
    with pytest.raises(openai.BadRequestError, match="input: it has") as refused:
        openai_client.embeddings.create(model="embedder", input=TOO_LONG)
    assert refused.value.code == "context_length_exceeded"


def test_nothing_to_embed_loads_in_ollamas_dialect(ollama_client):
    assert ollama_client.embed("embedder", "").embeddings == []
    assert ollama_client.embeddings("embedder", "").embedding == []
    assert len(ollama_client.embed("embedder", ["a", ""]).embeddings) == 2, "one empty text spoils no batch"


def test_a_model_that_gives_none_says_what_to_do_and_is_not_loaded(stack, ollama_client, openai_client):
    with pytest.raises(openai.InternalServerError, match="input: the model guide gives no embeddings") as refused:
        openai_client.embeddings.create(model="guide", input="x")
    assert refused.value.status_code == 501 and refused.value.code == "not_offered"
    with pytest.raises(ollama.ResponseError, match="prompt: the model guide") as refused:
        ollama_client.embeddings("guide", "x")
    assert refused.value.status_code == 501
    assert stack.phase("guide") not in (Phase.LOADING, Phase.READY)


def test_a_stream_goes_on_while_a_hundred_texts_are_embedded(ollama_client, base_url):
    pieces, over = [], threading.Event()

    def stream():
        for part in ollama.Client(base_url).generate("embedder", "go on", stream=True,
                                                     options={"num_predict": STREAMED_MAX}):
            pieces.append(part)
            if over.is_set():
                return

    reader = threading.Thread(target=stream)
    reader.start()
    wait_until("the stream to begin", lambda: len(pieces) > 1)
    before = len(pieces)
    try:
        answer = ollama_client.embed("embedder", [f"{number} {TEXT}" for number in range(100)])
        during = len(pieces) - before
    finally:
        over.set()
        reader.join()
    assert len(answer.embeddings) == 100 and during > 0
    alone = ollama_client.embed("embedder", f"99 {TEXT}").embeddings[0]
    assert far(answer.embeddings[99], alone) < NEAR


def test_a_model_that_is_not_loaded_is_counted_for_and_refuses_what_is_too_long(stack):
    async def ask():
        async with GatewayClient(stack.paths.endpoint("clients")) as client:
            info = await client.tokenize(model="random", messages=[{"role": "user", "content": "hello"}])
            with pytest.raises(GatewayError) as refused:
                async for _ in client.generate(model="random", prompt=TOO_LONG):
                    pass
            return info, refused.value

    info, refused = asyncio.run(ask())
    assert (info.model, info.context_length) == ("random", CONTEXT) and info.tokens > 1
    assert refused.code == "context_length_exceeded" and f"the context holds {CONTEXT}" in refused.message
    assert stack.phase("random") not in (Phase.LOADING, Phase.READY)
