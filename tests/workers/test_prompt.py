"""workers/prompt.py: which ids a job becomes, and every refusal with its field, limit and remedy."""

import pytest
from jinja2 import TemplateError

from workers.engine import EngineJob, JobRefused
from workers.prompt import CONTEXT_FALLBACK_TOKENS, SLICE_CHARS, PromptEncoder, choose_context
from workers.protocol import ChatMessage

BEGIN = 1


class Words:
    """A tokenizer whose tokens are words; the id is the length of the word plus one."""

    has_thinking = has_tool_calling = False
    think_start = None
    bos_token = "<s>"
    bos_token_id = BEGIN

    def __init__(self, has_chat_template: bool = True) -> None:
        self.has_chat_template = has_chat_template
        self.chat_template = "{{ messages }}" if has_chat_template else None
        self.encoded_chars = 0
        self.texts: list[str] = []

    def encode(self, text, *, add_special_tokens):
        self.encoded_chars += len(text)
        self.texts.append(text)
        return [BEGIN] * add_special_tokens + [len(word) + 1 for word in text.split()]

    def apply_chat_template(self, messages, *, add_generation_prompt):
        if messages[0]["role"] == "alien":
            raise TemplateError("roles must be earthly")
        if messages[0]["content"] == "vanish":
            return []
        return self.encode(" ".join(f"[{m['role']}] {m['content']}" for m in messages), add_special_tokens=False)


def encode(tokenizer=None, context_length=20, vocabulary=100, **fields) -> list[int]:
    encoder = PromptEncoder(tokenizer or Words(), context_length, vocabulary)
    return encoder.encode(EngineJob(key=(1, 1), **fields)).tokens


def refusal(**fields) -> JobRefused:
    with pytest.raises(JobRefused) as refused:
        encode(**fields)
    return refused.value


def test_ids_are_taken_as_they_are_and_copied():
    tokens = [5, 6]
    assert encode(tokens=tokens) == tokens
    assert encode(tokens=tokens) is not tokens


def test_a_prompt_is_taken_as_it_is_with_the_begin_token_once():
    assert encode(prompt="hello you") == [BEGIN, 6, 4]
    assert encode(prompt="<s> hello") == [4, 6]


def test_messages_go_through_the_template():
    assert encode(messages=[ChatMessage("user", "hello")]) == [7, 6]


def test_messages_without_a_template_become_lines():
    tokenizer = Words(has_chat_template=False)
    encode(tokenizer, messages=[ChatMessage("system", "be kind"), ChatMessage("user", "hello")])
    assert tokenizer.texts == ["system: be kind\nuser: hello\nassistant:"]


def test_what_the_template_raises_reaches_the_caller():
    refused = refusal(messages=[ChatMessage("alien", "hello")])
    assert refused.code == "invalid_request"
    assert refused.message == "messages: the model's chat template refuses them: roles must be earthly"


@pytest.mark.parametrize(("fields", "field"), [
    ({"prompt": ""}, "prompt"),
    ({"tokens": []}, "tokens"),
    ({"messages": []}, "messages"),
    ({}, "prompt"),
    ({"messages": [ChatMessage("user", "vanish")]}, "messages"),
    ({"prompt": "x", "stop": ["a", ""]}, "stop"),
    ({"tokens": [3, 100]}, "tokens: ids must be from 0 to 99"),
    ({"tokens": [3, -1]}, "tokens: ids must be from 0 to 99"),
])
def test_refusals_name_the_field(fields, field):
    refused = refusal(**fields)
    assert refused.code == "invalid_request"
    assert refused.message.startswith(field)


@pytest.mark.parametrize("fields", [{"tokens": [3] * 20}, {"prompt": "word " * 19}])
def test_a_prompt_that_leaves_no_room_is_refused_with_both_numbers(fields):
    refused = refusal(**fields)
    assert refused.code == "context_length_exceeded"
    assert "has 20 tokens" in refused.message and "holds 20" in refused.message


def test_a_prompt_that_leaves_room_for_one_token_is_taken():
    assert len(encode(tokens=[3] * 19)) == 19


@pytest.mark.parametrize("as_messages", [True, False])
def test_a_huge_text_is_refused_before_it_is_encoded_whole(as_messages):
    tokenizer, text = Words(), "word " * 1_000_000
    refused = refusal(tokenizer=tokenizer, **(
        {"messages": [ChatMessage("user", text)]} if as_messages else {"prompt": text}))
    assert refused.code == "context_length_exceeded"
    assert tokenizer.encoded_chars == SLICE_CHARS


def test_a_long_text_of_few_tokens_is_taken():
    assert len(encode(prompt="word " + "\n" * 10 * SLICE_CHARS + "word")) == 3


@pytest.mark.parametrize(("config", "configured", "context"), [
    ({"max_position_embeddings": 4096}, 0, 4096),
    ({"max_position_embeddings": 4096}, 512, 512),
    ({"max_position_embeddings": 4096}, 10_000, 4096),
    ({"text_config": {"max_position_embeddings": 2048}}, 0, 2048),
    ({"text_config": None, "n_positions": 1024}, 0, 1024),
    ({}, 512, 512),
    ({}, 0, CONTEXT_FALLBACK_TOKENS),
])
def test_choose_context(config, configured, context):
    assert choose_context(config, configured) == context


def test_a_prompt_that_is_too_long_also_hears_what_the_engine_has_to_add():
    encoder = PromptEncoder(Words(), 10, 100, lambda tokens: f": {tokens} tokens are too many for this machine")
    with pytest.raises(JobRefused, match="has 12 tokens; the context holds 10, .*: 12 tokens are too many"):
        encoder.encode(EngineJob(key=(1, 1), tokens=[1] * 12))
    with pytest.raises(JobRefused, match="at least .*: [0-9]+ tokens are too many"):
        encoder.encode(EngineJob(key=(1, 1), prompt="word " * SLICE_CHARS))


def test_images_are_not_offered():
    assert refusal(messages=[ChatMessage("user", "look", ["aGk="])]).code == "not_offered"
