"""Renders a prompt template of Ollama's (`go_template`) the way Ollama does. Pure.

A template that reads .Messages is rendered once. Any other is rendered once for each question and its answer, and for
the last question up to .Response, where the model goes on; a template without .Response has it at its end. With a
suffix it is rendered once with .Prompt and .Suffix alone.

Guarantees: a template takes at most STEPS_MAX steps and gives at most the characters asked for, then it is refused.
"""

import json
import operator
from collections.abc import Sequence
from typing import Any

import msgspec

from workers.chat_turns import Turn, describe_tools, read_arguments
from workers.go_template import Node, TemplateRefused, Value, cut_after, fields_of, parse_template
from workers.job_parts import NONE, Extras
from workers.protocol import ChatMessage

STEPS_MAX = 500_000
COMPARES = {"ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}
SAY_RESPONSE = Node("say", 0, Value("path", 0, ".", ("Response",)))


class TemplateTooLong(Exception):
    """The result has more characters than asked for."""


class Record(dict):
    """A map of which all fields are known: another one is a mistake of the template."""


def render_chat(source: str, messages: Sequence[ChatMessage], extras: Extras, max_chars: int) -> str:
    """Raises TemplateRefused, TemplateTooLong. `messages` are linked (`chat_turns.link_calls`)."""
    nodes, said = parse_template(source), _merged(messages)
    system = "\n\n".join(each.content for each in said if each.role == "system")
    fields = fields_of(nodes)
    if "Messages" in fields:
        values = _root(extras, System=system, Messages=[_message(each) for each in said])
        return _Run(values, max_chars).render(nodes)
    nodes = nodes if "Response" in fields else (*nodes, SAY_RESPONSE)
    *rounds, last = _rounds(said)
    text = ""
    for each in rounds:
        text += _Run(_root(extras, **each), max_chars - len(text)).render(nodes)
    return text + _Run(_root(extras, **last), max_chars - len(text)).render(cut_after(nodes, "Response"))


def render_insert(source: str, prompt: str, suffix: str, max_chars: int) -> str:
    """Raises TemplateRefused, TemplateTooLong."""
    nodes = parse_template(source)
    if "Suffix" not in fields_of(nodes):
        raise TemplateRefused(1, "a suffix is given, but nothing reads .Suffix")
    return _Run(_root(Extras(), Prompt=prompt, Suffix=suffix), max_chars).render(nodes)


def _merged(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Texts of one role in a row are one message."""
    merged: list[ChatMessage] = []
    for message in messages:
        if message.role == "developer":
            message = msgspec.structs.replace(message, role="system")
        last = merged[-1] if merged else None
        if last and last.role == message.role != "tool" and not last.tool_calls and not message.tool_calls:
            content = "\n\n".join(each for each in (last.content, message.content) if each)
            merged[-1] = msgspec.structs.replace(last, content=content)
        else:
            merged.append(message)
    return merged


def _rounds(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    """System, Prompt and Response of each question and its answer, in order; the last one is open."""
    rounds, now = [], {"System": "", "Prompt": "", "Response": ""}
    for message in messages:
        name = {"system": "System", "assistant": "Response"}.get(message.role, "Prompt")
        later = {"System": ("Prompt", "Response"), "Prompt": ("Response",), "Response": ()}[name]
        if any(now[field] for field in later):
            rounds.append(now)
            now = {"System": "", "Prompt": "", "Response": ""}
        now[name] = "\n\n".join(each for each in (now[name], message.content) if each)
    return [*rounds, now]


def _root(extras: Extras, **said: Any) -> Record:
    tools = [] if extras.tool_choice == NONE else describe_tools(extras)
    level = extras.think if isinstance(extras.think, str) else ""
    values = {"System": "", "Prompt": "", "Suffix": "", "Response": "", "Messages": [], "Tools": tools,
              "Think": bool(extras.think), "ThinkLevel": level, "IsThinkSet": extras.think is not None}
    return Record(values | said)


def _message(message: ChatMessage) -> Record:
    calls: list[Turn] = [{"id": call.id, "function": {"name": call.name, "arguments": read_arguments(call.arguments)}}
                         for call in message.tool_calls]
    return Record(Role=message.role, Content=message.content, Thinking=message.thinking, ToolCalls=calls,
                  ToolName=message.name, ToolCallID=message.tool_call_id, Images=[])


class _Run:
    """One rendering. Variables are a stack of pairs, as blocks within blocks see them."""

    def __init__(self, root: dict, max_chars: int) -> None:
        self._root = root
        self._chars_left = max_chars
        self._steps_left = STEPS_MAX
        self._pieces: list[str] = []
        self._variables: list[tuple[str, Any]] = []

    def render(self, nodes: Sequence[Node]) -> str:
        self._run(nodes, self._root)
        return "".join(self._pieces)

    def _step(self, line: int) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise TemplateRefused(line, f"it takes more than {STEPS_MAX} steps")

    def _run(self, nodes: Sequence[Node], dot: Any) -> None:
        depth = len(self._variables)
        for node in nodes:
            self._step(node.line)
            if node.kind == "text":
                self._say(node.text)
                continue
            assert node.value is not None
            value = self._value(node.value, dot)
            if node.kind == "say":
                self._say(_shown(value))
            elif node.kind == "set":
                self._set(node, value)
            elif node.kind == "if":
                self._run(node.body if value else node.other, dot)
            else:
                self._range(node, value, dot)
        del self._variables[depth:]

    def _say(self, text: str) -> None:
        self._chars_left -= len(text)
        if self._chars_left < 0:
            raise TemplateTooLong
        self._pieces.append(text)

    def _set(self, node: Node, value: Any) -> None:
        [name] = node.names
        if node.text == ":=":
            self._variables.append((name, value))
            return
        for at in range(len(self._variables) - 1, -1, -1):
            if self._variables[at][0] == name:
                self._variables[at] = (name, value)
                return
        raise TemplateRefused(node.line, f"{name} is not known here")

    def _range(self, node: Node, value: Any, dot: Any) -> None:
        if not isinstance(value, (list, dict)) and value is not None:
            raise TemplateRefused(node.line, "range goes over lists and maps")
        pairs = list(value.items() if isinstance(value, dict) else enumerate(value or []))
        for pair in pairs:
            self._step(node.line)
            depth = len(self._variables)
            self._variables += [(name, part) for name, part in zip(node.names, pair, strict=False) if name]
            self._run(node.body, pair[1])
            del self._variables[depth:]
        if not pairs:
            self._run(node.other, dot)

    def _value(self, value: Value, dot: Any) -> Any:
        self._step(value.line)
        if value.kind == "constant":
            return value.constant
        if value.kind == "call":
            return self._call(value, dot)
        found = self._start(value, dot)
        for field in value.parts:
            found = _field(found, field, value.line)
        return found

    def _start(self, value: Value, dot: Any) -> Any:
        if value.name == ".":
            return dot
        if value.name == "$":
            return self._root
        for name, found in reversed(self._variables):
            if name == value.name:
                return found
        raise TemplateRefused(value.line, f"{value.name} is not known here")

    def _call(self, call: Value, dot: Any) -> Any:
        if call.name in ("and", "or"):
            found = None
            for part in call.parts:
                found = self._value(part, dot)
                if bool(found) == (call.name == "or"):
                    break
            return found
        first, *rest = [self._value(part, dot) for part in call.parts]
        try:
            return _apply(call.name, first, rest)
        except (TypeError, LookupError):
            raise TemplateRefused(call.line, f"{call.name} cannot take these values") from None


def _apply(name: str, first: Any, rest: list[Any]) -> Any:
    """Raises TypeError, LookupError."""
    if name == "not":
        return not first
    if name == "eq":
        return any(first == other for other in rest)
    if name in COMPARES:
        return COMPARES[name](first, rest[0])
    if name == "len":
        return len(first or ())
    if name == "json":
        return json.dumps(first, ensure_ascii=False)
    if name == "slice":
        return first[slice(*rest[:2])] if len(rest) > 1 else first[slice(rest[0] if rest else 0, None)]
    return first[rest[0]]  # index


def _field(value: Any, field: str, line: int) -> Any:
    """Fields of Go begin with a capital letter, those of JSON need not."""
    if isinstance(value, dict):
        for name in (field, field.lower()):
            if name in value:
                return value[name]
        if isinstance(value, Record):
            raise TemplateRefused(line, f".{field} is not known; there are {', '.join('.' + name for name in value)}")
        return None
    if value is None:
        return None
    raise TemplateRefused(line, f"what has no fields is asked for .{field}")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
