"""workers/text.py: stop strings against a naive reference, detokenising against the tokenizers' own decode."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from workers.random_model import make_tokenizer
from workers.text import StopMatcher, Vocabulary, WindowDetokenizer, choose_detokenizer, choose_pieces

TRICKY_TEXTS = [
    "😀😃👩‍👩‍👧‍👦🇫🇷🇩🇪👍🏽" * 3,
    "日本語のテキスト 语言模型 한국어 텍스트",
    "e\u0301 n\u0303 o\u0308 ﷽ क्षि ก็ Z͑ͫ̓a̡͊l͠go",
    "  two leading spaces\n\n\ttabs \r\n and \x00\x01\x7f",
    "\ufffd literal replacement \ufffd",
    " ",
    "",
]


def naive(text: str, stops: list[str]) -> tuple[str, bool]:
    """Character by character: the first moment at which the text ends in a stop string."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


def cut(text: str, borders: set[int]) -> list[str]:
    points = [0, *sorted(border for border in borders if border < len(text)), len(text)]
    return [text[start:end] for start, end in zip(points, points[1:], strict=False)]


class TestStopMatcher:
    @given(
        text=st.text("abc", max_size=24),
        stops=st.lists(st.text("abc", min_size=1, max_size=5), max_size=4),
        borders=st.sets(st.integers(0, 24)),
    )
    def test_same_as_naive_for_any_chunking(self, text, stops, borders):
        matcher, shown, stopped = StopMatcher(stops), "", False
        for piece in cut(text, borders):
            safe, now = matcher.feed(piece)
            assert not (stopped and safe), "text after the stop string"
            shown, stopped = shown + safe, stopped or now
        assert (shown + matcher.flush(), stopped) == naive(text, stops)

    @given(text=st.text("ab", max_size=16), stops=st.lists(st.text("ab", min_size=1, max_size=5), min_size=1))
    def test_holds_back_no_more_than_it_must(self, text, stops):
        matcher, shown = StopMatcher(stops), ""
        for count, character in enumerate(text, 1):
            safe, stopped = matcher.feed(character)
            shown += safe
            if stopped:
                return
            held = text[len(shown) : count]
            assert held == "" or any(stop.startswith(held) for stop in stops)

    def test_after_the_stop_nothing_comes(self):
        matcher = StopMatcher(["END"])
        assert matcher.feed("one EN") == ("one ", False)
        assert matcher.feed("D two END") == ("", True)
        assert matcher.feed("three") == ("", True)
        assert matcher.flush() == ""

    def test_without_stops_nothing_is_held(self):
        matcher = StopMatcher([])
        assert matcher.feed("anything") == ("anything", False)
        assert matcher.flush() == ""

    def test_an_empty_stop_string_is_refused(self):
        with pytest.raises(ValueError, match="empty"):
            StopMatcher(["a", ""])


def byte_level() -> Tokenizer:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([AddedToken("<plain ü>", special=False)])
    return tokenizer


def byte_fallback() -> Tokenizer:
    """The kind of Llama 2 and Phi 3: few pieces, everything else as bytes, one leading space stripped."""
    words = ["▁", "▁hello", "a", "b", "é", "日", "▁▁"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    tokenizer = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def metaspace() -> Tokenizer:
    """Neither of the two kinds, so decoded by window."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(["the model answers the question that the caller asked", *TRICKY_TEXTS], trainer)
    return tokenizer


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(
        decoder=json.loads(tokenizer.decoder.__getstate__()),
        piece_of=tokenizer.id_to_token,
        skip=[i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special],
        decode=lambda ids: tokenizer.decode(ids, skip_special_tokens=True),
    )


BYTE_LEVEL, BYTE_FALLBACK, METASPACE = byte_level(), byte_fallback(), metaspace()
KINDS = {"byte_level": BYTE_LEVEL, "byte_fallback": BYTE_FALLBACK, "metaspace": METASPACE}


def pieces_of(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    detokenizer = choose_detokenizer(vocabulary_of(tokenizer))()
    return [*(detokenizer.add(token) for token in ids), detokenizer.finish()]


class TestDetokenizing:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("text", TRICKY_TEXTS)
    def test_real_text_comes_back(self, kind, text):
        tokenizer = KINDS[kind]
        ids = tokenizer.encode(text).ids
        pieces = pieces_of(tokenizer, ids)
        assert "".join(pieces) == tokenizer.decode(ids)
        if "\ufffd" not in text:
            assert not any("\ufffd" in piece for piece in pieces)
            assert pieces[-1] == "", "whole characters are not kept back to the end"

    @given(ids=st.lists(st.integers(0, BYTE_LEVEL.get_vocab_size() + 5), max_size=60))
    def test_byte_level_any_ids_as_decode(self, ids):
        assert "".join(pieces_of(BYTE_LEVEL, ids)) == BYTE_LEVEL.decode(ids, skip_special_tokens=True)

    @given(text=st.text(max_size=30).filter(lambda text: "<|" not in text))  # a special token is no text
    def test_byte_level_any_text_in_whole_characters(self, text):
        pieces = pieces_of(BYTE_LEVEL, BYTE_LEVEL.encode(text).ids)
        assert "".join(pieces) == text
        assert pieces[-1] == ""

    @given(text=st.text("ab é日😀 \n", max_size=30))
    def test_byte_fallback_as_decode(self, text):
        ids = BYTE_FALLBACK.encode(text).ids
        assert "".join(pieces_of(BYTE_FALLBACK, ids)) == BYTE_FALLBACK.decode(ids, skip_special_tokens=True)

    def test_byte_fallback_keeps_the_good_characters_of_a_broken_run(self):
        ids = [BYTE_FALLBACK.token_to_id(piece) for piece in ("<0xE2>", "<0x82>", "<0xAC>", "<0xE2>", "a")]
        assert pieces_of(BYTE_FALLBACK, ids) == ["", "", "€", "", "\ufffda", ""]

    def test_an_unfinished_character_appears_at_the_end_as_in_decode(self):
        ids = BYTE_LEVEL.encode("x\U00010348").ids[:-1]
        assert pieces_of(BYTE_LEVEL, ids)[-1] == "\ufffd"
        assert "".join(pieces_of(BYTE_LEVEL, ids)) == BYTE_LEVEL.decode(ids)

    def test_special_and_unknown_ids_add_nothing(self):
        hello = BYTE_LEVEL.encode("hello", add_special_tokens=False).ids
        assert "".join(pieces_of(BYTE_LEVEL, [0, *hello, 1, 2, 10**6])) == "hello"

    @pytest.mark.parametrize("piece", ["€", "ß"])
    def test_cost_does_not_grow_with_the_answer(self, piece):
        """Counted in tokens that the tokenizer decodes again, valid text or not."""
        asked = []

        def decode(ids):
            asked.append(len(ids))
            return bytes(ids).decode("utf-8", "replace")

        for ids in (list(piece.encode()) * 500, [0x80] * 1000):
            asked.clear()
            detokenizer = WindowDetokenizer(decode)
            text = "".join([*map(detokenizer.add, ids), detokenizer.finish()])
            assert text == bytes(ids).decode("utf-8", "replace")
            assert max(asked) < 60

    def test_text_of_a_window_that_never_completes_is_not_kept_back_for_ever(self):
        detokenizer = WindowDetokenizer(lambda ids: bytes(ids).decode("utf-8", "replace"))
        assert len("".join(detokenizer.add(0x80) for _ in range(100))) > 80


class TestSpecialTokens:
    def test_hidden_shown_or_all_while_verbatim(self):
        tokenizer = byte_level()
        tokenizer.add_special_tokens([AddedToken("<mark>", special=True), AddedToken("<other>", special=True)])
        mark, other = tokenizer.token_to_id("<mark>"), tokenizer.token_to_id("<other>")
        vocabulary = vocabulary_of(tokenizer)
        detokenizer = choose_detokenizer(vocabulary._replace(skip=[t for t in vocabulary.skip if t != mark]))()
        assert (detokenizer.add(mark), detokenizer.add(other)) == ("<mark>", "")
        detokenizer.verbatim = True
        assert detokenizer.add(other) == "<other>"

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_token_by_itself_is_its_bytes(self, kind):
        tokenizer = KINDS[kind]
        piece_of = choose_pieces(vocabulary_of(tokenizer))
        ids = tokenizer.encode("the model answers", add_special_tokens=False).ids
        assert "".join(piece_of(token).decode(errors="replace") for token in ids).replace(" ", "") == "themodelanswers"
