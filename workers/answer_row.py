"""One job inside the MLX engine: from the tokens that it is given to what its outputs say.

Guarantees: text, reasoning and calls as `answer_text` says, a job's own words only. Chances of tokens are told for the
words of the answer and nothing else: those of a token whose text is held back wait with it, and are dropped if it turns
out to be a marker or a stop string. No MLX here.
"""

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from workers.answer_text import AnswerText, Markers, Said, State
from workers.engine import EngineJob
from workers.job_parts import CallPiece, More, TokenLogprob
from workers.prompt import Prompt
from workers.protocol import End, FinishReason
from workers.text import Detokenizer, choose_detokenizer, choose_pieces, special_ids, vocabulary_of
from workers.tool_calls import CallForm, choose_form, reader_of

if TYPE_CHECKING:
    from workers.grammar import Grammars, Guide

CALL_ID_BYTES = 12
PENDING_MAX = 512  # tokens whose chances wait for their text; then they are told without it
Chance = tuple[float, list[tuple[int, float]]]  # natural logarithm of a token's chance; the likeliest, likeliest first


class Speech(NamedTuple):
    """How one model's tokens become words: `markers` of reasoning and of calls, `form` of the calls."""

    new_detokenizer: Callable[[], Detokenizer]
    piece_of: Callable[[int], bytes]
    markers: Markers
    form: CallForm
    think_start_id: int | None


def learn_speech(tokenizer: Any, *, knows_tools: bool) -> Speech:
    """From mlx_lm's tokenizer. `knows_tools`: its chat template tells the model of tools."""
    form = choose_form(tokenizer, knows_tools)
    markers = Markers(tokenizer.think_start or "", tokenizer.think_end or "", form.start, form.end)
    vocabulary = vocabulary_of(tokenizer, shown=special_ids(tokenizer, markers))
    opening = tokenizer.think_start_tokens or ()
    return Speech(choose_detokenizer(vocabulary), choose_pieces(vocabulary), markers, form,
                  opening[0] if len(opening) == 1 else None)


def learn_grammars(tokenizer: Any, vocabulary: int, speech: Speech) -> "Grammars":
    """What answers of the model can be held to. `vocabulary`: width of its logits."""
    from workers.grammar import Grammars

    backend = getattr(tokenizer, "backend_tokenizer", None)
    return Grammars(backend.to_str if backend is not None else None, max(vocabulary, len(tokenizer)),
                    tokenizer.eos_token_ids, speech.form, think_start_id=speech.think_start_id,
                    think_end=speech.markers.think_end)


class AnswerRow:
    """One job that has joined, or waits to. Times are of `time.perf_counter`.

    `reserved_tokens`: its prompt and the longest answer that it may have in one go. `answer_ids` are kept for a job
    that may go on when the context is full (`goes_on`) only.
    """

    __slots__ = ("key", "job", "prompt", "reserved_tokens", "guide", "guided", "given", "prefilled", "tokens",
                 "thinking_tokens", "answer_ids", "joined_s", "first_s", "goes_on", "_speech", "_detokenizer", "_text",
                 "_calls", "_pending")

    def __init__(self, job: EngineJob, prompt: Prompt, reserved_tokens: int, speech: Speech, guide: "Guide | None",
                 *, has_markers: bool) -> None:
        self.key, self.job, self.prompt, self.guide = job.key, job, prompt, guide
        self.guided: Any = None  # its place among the rows with masks, while it is in the batch
        self.reserved_tokens = reserved_tokens
        self.given = prompt.tokens  # what it goes into the batch with: its prompt, or what is left of its context
        self.prefilled = self.tokens = self.thinking_tokens = 0
        self.answer_ids: list[int] = []
        self.joined_s = self.first_s = 0.0
        self.goes_on = job.extras.shift and len(prompt.tokens) + job.max_tokens > reserved_tokens
        self._speech, self._detokenizer = speech, speech.new_detokenizer()
        self._text = AnswerText(speech.markers if has_markers else Markers(), thinking=prompt.thinks, stops=job.stop,
                                read_calls=reader_of(speech.form, job.extras) if has_markers else None,
                                one_call=not job.extras.parallel_tools, json_calls=speech.form.is_json)
        self._calls = 0
        self._pending: list[TokenLogprob] = []  # of tokens whose text is held back

    @property
    def wants_chance(self) -> bool:
        return self.job.extras.logprobs is not None and self._text.state is State.TEXT

    @property
    def stop(self) -> str:
        return self._text.stop

    @property
    def own_from(self) -> int:
        """Where in `given` its own words begin; its end as long as it has said nothing."""
        return max(len(self.given) - self.tokens, min(len(self.given), self.job.extras.num_keep))

    @property
    def room_tokens(self) -> int:
        """How many tokens it may have with what it is given now."""
        room = self.reserved_tokens - len(self.given)
        return min(room, self.job.max_tokens - self.tokens) if self.goes_on else room

    def take(self, token: int, chance: Chance | None) -> tuple[str, More | None, bool]:
        """(words, what else was said, whether the answer is over) by one more token."""
        text, before = self._text, self._text.state
        self.tokens += 1
        if self.goes_on:
            self.answer_ids.append(token)
        said = text.feed(self._detokenizer.add(token))
        self._detokenizer.verbatim = text.state is State.CALL
        if before is State.THINKING or text.state is State.THINKING:
            self.thinking_tokens += 1
        if chance is not None:
            self._pending.append(self._tell_chance(token, chance))
        return said.text, self._more(said), said.stopped

    def finish(self) -> tuple[str, More | None, bool]:
        """What was held back, as `take`."""
        first = self._text.feed(self._detokenizer.finish())
        last = self._text.finish()
        said = Said(first.text + last.text, first.thinking + last.thinking, first.calls + last.calls, first.stopped)
        return said.text, self._more(said, over=True), first.stopped

    def end(self, reason: FinishReason, now_s: float) -> End:
        prompt_ms, decode_ms = (self.first_s - self.joined_s) * 1e3, (now_s - self.first_s) * 1e3
        return End(reason, len(self.prompt.tokens), self.tokens, prompt_ms, decode_ms,
                   thinking_tokens=self.thinking_tokens, stop=self.stop)

    def shift(self) -> None:
        """The context is full: keep the first `num_keep` tokens and the newer half of the rest."""
        whole = self.given + self.answer_ids
        keep = min(self.job.extras.num_keep, self.prompt.context_length // 2)
        self.given = whole[:keep] + whole[keep + (len(whole) - keep + 1) // 2 :]
        self.answer_ids = []
        self.prefilled = 0

    def _more(self, said: Said, *, over: bool = False) -> More | None:
        """What an output says besides words; None if nothing."""
        logprobs = self._release(said, over) if self._pending else []
        if not (said.thinking or said.calls or logprobs):
            return None
        calls = [CallPiece(self._calls + at, f"call_{secrets.token_hex(CALL_ID_BYTES)}", call.name, call.arguments)
                 for at, call in enumerate(said.calls)]
        self._calls += len(calls)
        return More(said.thinking, calls, logprobs)

    def _release(self, said: Said, over: bool) -> list[TokenLogprob]:
        """Chances of tokens whose words are shown now."""
        ended = over or said.stopped or self._text.state is not State.TEXT
        too_many = len(self._pending) > PENDING_MAX
        if not (said.text or ended or too_many or not self._text.holds_words):
            return []
        told = self._pending if said.text or too_many or not ended else []
        self._pending = []
        return told

    def _tell_chance(self, token: int, chance: Chance) -> TokenLogprob:
        piece_of = self._speech.piece_of
        logprob, likeliest = chance
        top = [TokenLogprob(other, piece_of(other), its) for other, its in likeliest]
        return TokenLogprob(token, piece_of(token), logprob, top)


def merge_more(first: More | None, last: More | None) -> More | None:
    """What two parts of one output say together."""
    if first is None or last is None:
        return first or last
    return More(first.thinking + last.thinking, first.calls + last.calls, first.logprobs + last.logprobs)
