"""From the messages of a job to the turns that a chat template takes, for templates with and without tools. Pure.

A template is a program of the model's author and refuses what it was not made for. `variants` says in which other ways
the same conversation can be put, nearest first: arguments as text, short ids, no reasoning of earlier turns, system
instead of developer, no system role at all, and no two turns of one role in a row.

For a model whose template knows no tools they are told in words (`tell_tools`), and earlier calls and their results
are put in the same words.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from workers.job_parts import NAMED, NONE, REQUIRED, Extras, ToolCall
from workers.protocol import ChatMessage

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
SHORT_ID_CHARS = 9  # some templates refuse any other length
Turn = dict[str, Any]


def link_calls(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Every call has an id, and every result the id and the name of its call as far as that can be told: by id, else
    by name, else the earliest call without a result.
    """
    linked, calls, number = [], [], 0
    for message in messages:
        if message.tool_calls:
            named = []
            for call in message.tool_calls:
                number += 1
                named.append(call if call.id else msgspec.structs.replace(call, id=f"call{number:05d}"))
            calls = calls + named
            message = msgspec.structs.replace(message, tool_calls=named)
        elif message.role == "tool":
            call = _answered(message, calls)
            if call is not None:
                calls = [each for each in calls if each is not call]
                message = msgspec.structs.replace(message, tool_call_id=message.tool_call_id or call.id,
                                                  name=message.name or call.name)
        linked.append(message)
    return linked


def _answered(result: ChatMessage, calls: list[ToolCall]) -> ToolCall | None:
    if result.tool_call_id:
        return next((call for call in calls if call.id == result.tool_call_id), None)
    return next((call for call in calls if not result.name or call.name == result.name), None)


def read_arguments(text: str) -> dict[str, Any] | str:
    """The object that the text says; the text itself if it says none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, dict) else text


def describe_tools(extras: Extras) -> list[Turn]:
    """As templates take them."""
    return [{"type": "function", "function": {"name": tool.name, "description": tool.description,
                                              "parameters": tool.parameters or {"type": "object", "properties": {}}}}
            for tool in extras.tools]


def turns_with_tools(messages: Sequence[ChatMessage]) -> list[Turn]:
    """For a template that knows tools. `messages` are linked."""
    turns = []
    for message in messages:
        turn: Turn = {"role": message.role, "content": message.content}
        if message.tool_calls:
            turn["tool_calls"] = [
                {"type": "function", "id": call.id,
                 "function": {"name": call.name, "arguments": read_arguments(call.arguments)}}
                for call in message.tool_calls]
        if message.thinking:
            turn["reasoning_content"] = turn["thinking"] = message.thinking
        turn |= {name: said for name in ("name", "tool_call_id") if (said := getattr(message, name))}
        turns.append(turn)
    return turns


def turns_in_words(messages: Sequence[ChatMessage], told: str) -> list[Turn]:
    """For a template that knows no tools. `told`: see `tell_tools`; "": there are none. `messages` are linked."""
    turns: list[Turn] = []
    for message in messages:
        turn: Turn = {"role": message.role, "content": message.content}
        if message.tool_calls:
            calls = [_call_text(call) for call in message.tool_calls]
            turn["content"] = "\n".join([message.content, *calls] if message.content else calls)
        elif message.role == "tool":
            turn = {"role": "user", "content": f"Result of {message.name or 'the function'}:\n{message.content}"}
        if message.thinking:
            turn["reasoning_content"] = turn["thinking"] = message.thinking
        turns.append(turn)
    if told and turns and turns[0]["role"] in ("system", "developer"):
        turns[0] = turns[0] | {"content": f"{turns[0]['content']}\n\n{told}"}
    elif told:
        turns.insert(0, {"role": "system", "content": told})
    return turns


def _call_text(call: ToolCall) -> str:
    said = {"name": call.name, "arguments": read_arguments(call.arguments)}
    return f"{CALL_OPEN}{json.dumps(said, ensure_ascii=False)}{CALL_CLOSE}"


def tell_tools(extras: Extras) -> str:
    """What a model is told of its tools if its template cannot; "" if there are none to call."""
    if not extras.tools or extras.tool_choice == NONE:
        return ""
    lines = [json.dumps(tool["function"], ensure_ascii=False) for tool in describe_tools(extras)]
    if extras.tool_choice.startswith(NAMED):
        when = f"Call the function {extras.tool_choice.removeprefix(NAMED)} now."
    elif extras.tool_choice == REQUIRED:
        when = "Call one of them now."
    else:
        when = "If none of them helps, answer in plain words."
    several = "Several calls may follow each other." if extras.parallel_tools else "Make one call at a time."
    return "\n".join([
        "You have functions that you may call. Each line describes one, its arguments as a JSON schema:", *lines,
        "To call a function, write nothing but this, and the result comes with the next message:",
        f'{CALL_OPEN}{{"name": "its name", "arguments": {{}}}}{CALL_CLOSE}', f"{several} {when}"])


def variants(turns: list[Turn]) -> Iterator[list[Turn]]:
    """The turns as they are, then each other way of putting them alone, then all of them together."""
    yield turns
    seen, together = [turns], turns
    for fix in FIXES:
        alone, together = fix(turns), fix(together)
        if alone not in seen:
            seen.append(alone)
            yield alone
    if together not in seen:
        yield together


def _each(change: Callable[[Turn], Turn]) -> Callable[[list[Turn]], list[Turn]]:
    return lambda turns: [change(turn) for turn in turns]


def _with_calls(turn: Turn, change: Callable[[Turn], Turn]) -> Turn:
    return turn | {"tool_calls": [change(call) for call in turn["tool_calls"]]} if "tool_calls" in turn else turn


def _arguments_as_text(turn: Turn) -> Turn:
    def change(call: Turn) -> Turn:
        said = call["function"]["arguments"]
        text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        return call | {"function": call["function"] | {"arguments": text}}

    return _with_calls(turn, change)


def _short(name: str) -> str:
    fits = len(name) == SHORT_ID_CHARS and name.isalnum() and name.isascii()
    return name if fits else hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:SHORT_ID_CHARS]


def _short_ids(turn: Turn) -> Turn:
    if "tool_call_id" in turn:
        turn = turn | {"tool_call_id": _short(turn["tool_call_id"])}
    return _with_calls(turn, lambda call: call | {"id": _short(call["id"])})


def _without_thinking(turn: Turn) -> Turn:
    return {name: said for name, said in turn.items() if name not in ("reasoning_content", "thinking")}


def developer_as_system(turn: Turn) -> Turn:
    return turn | {"role": "system"} if turn["role"] == "developer" else turn


def _without_system(turns: list[Turn]) -> list[Turn]:
    """What the system messages say stands before the first words of the user."""
    said = [turn["content"] for turn in turns if turn["role"] in ("system", "developer")]
    rest = [turn for turn in turns if turn["role"] not in ("system", "developer")]
    if not said:
        return turns
    first = next((at for at, turn in enumerate(rest) if turn["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": "\n\n".join(said)}, *rest]
    told = rest[first] | {"content": "\n\n".join([*said, rest[first]["content"]])}
    return [*rest[:first], told, *rest[first + 1:]]


def _merged(turns: list[Turn]) -> list[Turn]:
    """Turns of one role in a row, other than calls and results, are one."""
    merged: list[Turn] = []
    for turn in turns:
        last = merged[-1] if merged else {"role": ""}
        if turn["role"] == last["role"] != "tool" and "tool_calls" not in last and "tool_calls" not in turn:
            merged[-1] = last | {"content": f"{last['content']}\n\n{turn['content']}"}
        else:
            merged.append(turn)
    return merged


FIXES = (_each(_arguments_as_text), _each(_short_ids), _each(_without_thinking), _each(developer_as_system),
         _without_system, _merged)
