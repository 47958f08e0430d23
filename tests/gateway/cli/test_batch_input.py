"""The lines of a batch: told apart, known again, and refused with file and line."""

import pytest

from gateway.cli.batch_input import LineRefused, first_of_each_model, read_items


def hashes(*lines: str, model: str = "") -> list[str]:
    return [item.hash for item in read_items([line.encode() for line in lines], "q.jsonl", model)]


def test_lines_are_counted_as_an_editor_does_and_blank_ones_are_no_requests() -> None:
    items = read_items([b'\xef\xbb\xbf{"prompt": "a"}', b"  ", b'{"prompt": "b", "id": "x"}\r',
                        b'{"prompt": "c", "id": 7}', b""], "q.jsonl")
    assert [(item.line, item.id, item.key) for item in items] == [
        (1, None, ("line", 1)), (3, "x", ("id", "x")), (4, 7, ("id", 7))]
    assert [item.called for item in items[:2]] == ["line 1", "line 3 (id x)"]


def test_the_hash_is_of_what_decides_the_answer() -> None:
    one, *others = hashes('{"prompt": "a", "top_p": 0.5, "max_tokens": 3}', '{"max_tokens":3,"top_p":0.5,"prompt":"a"}',
                          '{"prompt": "a", "top_p": 0.5, "max_tokens": 3, "id": "x", "seed": null}',
                          '{"messages": [{"role": "user", "content": "a"}], "top_p": 0.5, "max_tokens": 3}')
    assert set(others) == {one}
    changed = hashes('{"prompt": "b"}', '{"prompt": "a"}', '{"prompt": "a", "model": "m"}',
                     '{"prompt": "a", "seed": 1}', '{"prompt": "a", "category": "m"}',
                     '{"prompt": "a", "system": "s"}', '{"prompt": "a", "seed": 2}')
    assert len({one, *changed}) == 8


def test_a_model_for_all_is_for_lines_that_name_none() -> None:
    lines = [b'{"prompt": "a"}', b'{"prompt": "a", "model": "own"}', b'{"prompt": "a", "category": "coding"}']
    items = read_items(lines, "q.jsonl", "all")
    assert [item.fields.get("model") for item in items] == ["all", "own", None]
    assert hashes('{"prompt": "a"}', model="all") == hashes('{"prompt": "a", "model": "all"}')


@pytest.mark.parametrize(("lines", "told"), [
    (['{"prompt": "a"}', "", '{"prompt": '], "q.jsonl:3: is no JSON"),
    (['{"prompt": "a"}', '{"prompt": "a", "tmp": 1}'], "q.jsonl:2: tmp: no such field"),
    (['{"prompt": "a", "id": 1}', '{"prompt": "b", "id": 1}'], "q.jsonl:2: id: 1 is already that of line 1"),
    (['{"prompt": "a", "id": true}'], "q.jsonl:1: id: must be a text or a whole number"),
    (['{"prompt": "a", "id": ""}'], "q.jsonl:1: id: must"), (['{"prompt": "a", "id": 1.5}'], "q.jsonl:1: id: must"),
    (['{"prompt": "a", "id": "' + "x" * 300 + '"}'], "q.jsonl:1: id: has 300 characters; the limit is 256"),
    (["", "  "], "q.jsonl: holds no request"), ([], "q.jsonl: holds no request"),
])
def test_the_first_mistake_is_told_with_file_and_line(lines: list[str], told: str) -> None:
    with pytest.raises(LineRefused, match=told):
        read_items([line.encode() for line in lines], "q.jsonl")


def test_one_item_stands_for_each_model_and_category() -> None:
    items = read_items([b'{"prompt": "a"}', b'{"prompt": "b", "model": "m"}', b'{"prompt": "c", "model": "m"}',
                        b'{"prompt": "d", "category": "k"}', b'{"prompt": "e"}'], "q.jsonl")
    assert [item.line for item in first_of_each_model(items)] == [1, 2, 4]
