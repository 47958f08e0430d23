"""From the JSON object that a person wrote to the fields of a request, or to one line that says what is wrong with it.

    {"prompt": "...", "system": "...", "model": "phi3.5", "max_tokens": 200, "temperature": 0}
    {"messages": [{"role": "user", "content": "..."}], "category": "coding"}

A prompt is what a user says, as in `warden ask`; the model's template is put around it. The names and limits of what
may stand besides are those of the client protocol, so nothing is accepted here that the gateway would refuse for its
shape. A field that nobody knows is refused: a misspelt `max_token` would cost a whole batch. Pure.
"""

import difflib

import msgspec

from gateway.protocol import Options, Submit

SAMPLING = Options.__struct_fields__
PLAIN = ("model", "category")


class FieldsRefused(Exception):
    """One line: the field, what is wrong, and where it can be said the remedy."""


def read_object(text: str | bytes) -> dict:
    """Raises: FieldsRefused."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise FieldsRefused(f"is no JSON ({problem})") from None
    if not isinstance(found, dict):
        raise FieldsRefused(f"must be a JSON object such as {{\"prompt\": \"...\"}}, not {_kind(found)}")
    return found


def fields_of(given: dict, more: tuple[str, ...] = ()) -> dict[str, object]:
    """Fields of `protocol.Submit` but id. `more`: those of its fields that are taken as they are, besides PLAIN.

    Raises: FieldsRefused.
    """
    known = ("prompt", "messages", "system", *PLAIN, *SAMPLING, *more)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise FieldsRefused(f"{name}: no such field; " + (f"did you mean {near[0]}?" if near else
                                                            f"there are {', '.join(known)}"))
    given = {name: value for name, value in given.items() if value is not None}
    fields: dict[str, object] = {name: given[name] for name in (*PLAIN, *more) if name in given}
    fields["messages"] = _messages(given)
    fields["options"] = {name: given[name] for name in SAMPLING if name in given}
    try:
        submit = msgspec.convert({"id": "1", **fields}, Submit)
    except msgspec.ValidationError as problem:
        raise FieldsRefused(_plainly(str(problem))) from None
    return {name: getattr(submit, name) for name in fields}


def _messages(given: dict) -> list:
    prompt, messages, system = given.get("prompt"), given.get("messages"), given.get("system")
    if (prompt is None) == (messages is None):
        both = messages is not None
        raise FieldsRefused("give prompt or messages, and not both" if both else "has no prompt and no messages")
    for name, text in (("prompt", prompt), ("system", system)):
        if text is not None and not isinstance(text, str):
            raise FieldsRefused(f"{name}: must be a text, not {_kind(text)}")
        if text is not None and not text.strip():
            raise FieldsRefused(f"{name}: is empty; " + ("write what to ask" if name == "prompt" else "leave it out"))
    if messages is not None and not isinstance(messages, list):
        raise FieldsRefused(f"messages: must be a list, not {_kind(messages)}")
    said = messages if messages is not None else [{"role": "user", "content": prompt}]
    return [{"role": "system", "content": system}, *said] if system is not None else said


def _plainly(problem: str) -> str:
    """msgspec's message with the field in front: "top_p: expected ..."."""
    what, _, place = problem.partition(" - at ")
    place = place.strip("`").removeprefix("$").removeprefix(".").removeprefix("options.")
    return f"{place}: {what[:1].lower()}{what[1:]}" if place else what


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(
        type(value), "a number")
