"""From messages to the ids of a prompt, through the chat template of the model or through one of the request.

The model's template is a program of its author in Jinja; what it refuses in one way is tried in the others
(`chat_turns.variants`) before the request is refused, in the words of the first refusal. A template of a request is in
Ollama's language, and only rendered (`go_render`): no Jinja of a request is ever run.

An assistant's text that comes last is the beginning of the answer, which goes on from there.
"""

from collections.abc import Callable, Sequence
from typing import Any

from control.model_markers import template_knows_tools
from workers.chat_turns import (
    Turn,
    describe_tools,
    developer_as_system,
    tell_tools,
    turns_in_words,
    turns_with_tools,
    variants,
)
from workers.engine import JobRefused
from workers.go_render import TemplateTooLong, render_chat, render_insert
from workers.go_template import TEMPLATE_MAX_CHARS, TemplateRefused
from workers.job_parts import NONE, Extras
from workers.protocol import ChatMessage
from workers.text_tokens import LONG_TEXT_CHARS_PER_TOKEN, TextTokens, Tokenizer, refuse

TAIL_TOKENS = 16  # of a prompt, in which its template may have opened the reasoning
TEMPLATE_ERRORS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError, RecursionError,
                   MemoryError)  # what a broken program of a model's author raises, beside Jinja's own


def begun_answer(messages: Sequence[ChatMessage]) -> str:
    """What the answer begins with; "" if it begins anew."""
    last = messages[-1] if messages[1:] else None
    return last.content if last is not None and last.role == "assistant" and not last.tool_calls else ""


class ChatTemplate:
    """Of one model. `knows_tools`: it tells tools, and mlx_lm reads the calls that come of it.

    A tokenizer that has a chat template without a source is rendered by a program of mlx_lm's.
    """

    def __init__(self, tokenizer: Tokenizer, texts: TextTokens) -> None:
        self._tokenizer = tokenizer
        self._texts = texts
        said = tokenizer.chat_template
        self._source = "\n".join(said.values()) if isinstance(said, dict) else said or ""
        self.knows_tools = tokenizer.has_chat_template and tokenizer.has_tool_calling and (
            not self._source or template_knows_tools(self._source))

    def render(self, messages: Sequence[ChatMessage], extras: Extras) -> list[int]:
        """`messages` are linked (`chat_turns.link_calls`). Raises JobRefused."""
        if extras.template:
            return self._texts.encode(self._from_request(lambda: render_chat(
                extras.template, messages, extras, self._most_chars(messages))))
        begun = begun_answer(messages)
        tokens = self._render(messages[:-1] if begun else messages, extras)
        if begun and self.opens_thinking(tokens):
            begun = f"\n{self._tokenizer.think_end}\n\n{begun}"
        return tokens + self._texts.inside(begun) if begun else tokens

    def _render(self, messages: Sequence[ChatMessage], extras: Extras) -> list[int]:
        turns = turns_with_tools(messages) if self.knows_tools else turns_in_words(messages, tell_tools(extras))
        if not self._tokenizer.has_chat_template:
            lines = [f"{turn['role']}: {turn['content']}\n" for turn in turns]
            return self._texts.encode("".join(lines) + "assistant:")
        if self._source and "developer" not in self._source:  # it might drop them without a word
            turns = [developer_as_system(turn) for turn in turns]
        return self._apply(turns, self._asked(extras)) or refuse(
            "messages: the model's chat template makes nothing of them")

    def render_insert(self, prompt: str, extras: Extras) -> list[int]:
        """What asks for the text between `prompt` and the suffix, by the request's own template. Raises JobRefused."""
        suffix = extras.suffix or ""
        most = TEMPLATE_MAX_CHARS + 2 * (len(prompt) + len(suffix))
        return self._texts.encode(self._from_request(lambda: render_insert(extras.template, prompt, suffix, most)))

    def opens_thinking(self, tokens: list[int]) -> bool:
        """Does a prompt end in the mark that opens the reasoning? What users wrote stands before the end."""
        start = self._tokenizer.think_start if self._tokenizer.has_thinking else None
        return bool(start) and self._tokenizer.decode(tokens[-TAIL_TOKENS:]).rstrip().endswith(start or "")

    @staticmethod
    def _most_chars(messages: Sequence[ChatMessage]) -> int:
        """What a template that repeats nothing endlessly makes of these."""
        said = sum(len(each.content) + len(each.thinking) for each in messages)
        return TEMPLATE_MAX_CHARS * LONG_TEXT_CHARS_PER_TOKEN + 4 * said

    @staticmethod
    def _from_request(render: Callable[[], str]) -> str:
        try:
            return render()
        except TemplateRefused as error:
            refuse(f"template: {error}")
        except TemplateTooLong:
            refuse("template: what it makes of this conversation is many times as long; say each part once")

    def _asked(self, extras: Extras) -> dict[str, Any]:
        """What a template is given besides the turns. Templates name the wish to think in several ways."""
        asked: dict[str, Any] = {}
        if self.knows_tools and extras.tools and extras.tool_choice != NONE:
            asked["tools"] = describe_tools(extras)
        if extras.think is None:
            return asked
        asked["enable_thinking"] = bool(extras.think)
        if self._source:
            asked["thinking"] = bool(extras.think)
            if isinstance(extras.think, str):
                asked["reasoning_effort"] = extras.think
        return asked

    def _apply(self, turns: list[Turn], asked: dict[str, Any]) -> list[int]:
        from jinja2 import TemplateError  # not above: an echo worker starts without it

        first: Exception | None = None
        for put in variants(turns):
            try:
                return self._tokenizer.apply_chat_template(put, add_generation_prompt=True, **asked)
            except (TemplateError, *TEMPLATE_ERRORS) as error:
                first = first or error
        raise JobRefused("invalid_request", f"messages: the model's chat template refuses them: {first}") from first
