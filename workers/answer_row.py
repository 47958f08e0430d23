"""One job inside the MLX engine: from the tokens that it is given to what its outputs say.

Guarantees: text, reasoning and calls as `answer_text` says, a job's own words only. Chances of tokens are told for the
words of the answer and nothing else: those of a token whose text is held back wait with it, and are dropped if it turns
out to be a marker or a stop string.

A row goes on as if nothing had happened after a pause, and behind ids that were `emitted` before (`begin_behind`): all
that it knows of its answer follows from these ids, but for the chances of those whose text is held back. So these few
ids are sampled once more, forced to be what they were (`forced`), and nothing is said of them. No MLX here.
"""

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from workers.answer_text import AnswerText, Markers, Said, State
from workers.engine import EngineJob, Output
from workers.job_parts import CallPiece, More, TokenLogprob
from workers.prompt import Prompt
from workers.protocol import End, FinishReason
from workers.text import Detokenizer, choose_detokenizer, choose_pieces, special_ids, vocabulary_of
from workers.tool_calls import CallForm, choose_form, reader_of

if TYPE_CHECKING:
    from workers.grammar import Grammars, Guide

CALL_ID_BYTES = 12
PENDING_MAX = 512  # tokens whose chances wait for their text; then they are told without it
UNKNOWN_CHANCE = (0.0, [])
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

    `reserved_tokens`: its prompt and the longest answer that it may have in one go. `goes_on`: it may go on when the
    context is full. `kept`: nothing of it will be computed anew, should it be paused now.
    """

    __slots__ = ("key", "job", "prompt", "reserved_tokens", "guide", "guided", "given", "prefilled", "tokens",
                 "thinking_tokens", "cached_tokens", "forced", "resumed", "kept", "joined_s", "first_s", "paused_s",
                 "goes_on", "_speech", "_has_markers", "_detokenizer", "_text", "_calls", "_pending")

    def __init__(self, job: EngineJob, prompt: Prompt, reserved_tokens: int, speech: Speech, guide: "Guide | None",
                 *, has_markers: bool) -> None:
        self.key, self.job, self.prompt, self.guide = job.key, job, prompt, guide
        self.guided: Any = None  # its place among the rows with masks, while it is in the batch
        self.reserved_tokens = reserved_tokens
        self.given = prompt.tokens  # what it goes into the batch with: its prompt, or what is left of its context
        self.prefilled = self.cached_tokens = 0
        self.forced: list[int] = []
        self.resumed, self.kept = False, True
        self.joined_s = self.first_s = self.paused_s = 0.0
        self.goes_on = job.extras.shift and len(prompt.tokens) + job.max_tokens > reserved_tokens
        self._speech, self._has_markers = speech, has_markers
        self._begin()

    def _begin(self) -> None:
        job, speech, has_markers = self.job, self._speech, self._has_markers
        self.tokens = self.thinking_tokens = self._calls = 0
        self._detokenizer = speech.new_detokenizer()
        self._text = AnswerText(speech.markers if has_markers else Markers(), thinking=self.prompt.thinks,
                                stops=job.stop, one_call=not job.extras.parallel_tools, json_calls=speech.form.is_json,
                                read_calls=reader_of(speech.form, job.extras) if has_markers else None)
        self._pending: list[TokenLogprob] = []  # of tokens whose text is held back

    def begin_behind(self, emitted: list[int]) -> None:
        """It has said these ids already. Raises: ValueError for ids that its grammar does not allow."""
        for token in emitted:
            self.take(token, UNKNOWN_CHANCE if self.wants_chance else None)
        self.forced = emitted[len(emitted) - len(self._pending) :]
        if self.forced:
            self._begin()
        replayed = emitted[: len(emitted) - len(self.forced)]
        for token in replayed if self.forced else ():
            self.take(token, None)
        whole = list(self.prompt.tokens)
        for number, token in enumerate(replayed, 1):
            whole.append(token)
            if self.goes_on and len(whole) == self.reserved_tokens and number < self.job.max_tokens:
                whole = self._shifted(whole)
            if self.guide is not None:
                self.guide.consume(token)
        if self.guide is not None and self.guide.problem:
            raise ValueError(self.guide.problem)
        self.given = whole

    @property
    def is_over(self) -> bool:
        """Nothing more can come behind what was emitted."""
        return self._text.stopped or self.room_tokens <= 0

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
        said = text.feed(self._detokenizer.add(token))
        self._detokenizer.verbatim = text.state is State.CALL
        if before is State.THINKING or text.state is State.THINKING:
            self.thinking_tokens += 1
        if chance is not None:
            self._pending.append(self._tell_chance(token, chance))
        return said.text, self._more(said), said.stopped

    def tell(self, token: int, reason: FinishReason | None, chance: Chance | None, now_s: float,
             ) -> tuple[Output | None, bool]:
        """(what one more token says, None if it was said before; whether the row goes on). `reason`: why the batch has
        let go of it; "stop": by `token`, which is no part of the answer.
        """
        position = self.tokens
        self.first_s = self.first_s or now_s
        if self.guide is not None and self.guide.problem:
            return Output(self.key, position, [], "", failed=("invalid_request", self.guide.failure)), False
        said_before = bool(self.forced) and reason != "stop"
        if said_before:
            del self.forced[0]
        ids = [] if reason == "stop" else [token]
        text, more, over = self.take(token, chance) if ids else ("", None, False)
        if not over and (reason is None or reason == "length" and self.may_shift):
            return None if said_before else Output(self.key, position, ids, text, more=more), True
        if not over:
            rest, last, over = self.finish()
            text, more = text + rest, merge_more(more, last)
        return Output(self.key, position, ids, text, self.end("stop" if over else reason, now_s), more), False

    def tell_over(self, now_s: float) -> Output:
        """The end of an answer all of which was told before (`is_over`)."""
        text, more, over = self.finish()
        self.joined_s = self.first_s = now_s
        return Output(self.key, self.tokens, [], text, self.end("stop" if over or self.stop else "length", now_s), more)

    @property
    def may_shift(self) -> bool:
        return self.goes_on and self.tokens < self.job.max_tokens

    def finish(self) -> tuple[str, More | None, bool]:
        """What was held back, as `take`."""
        first = self._text.feed(self._detokenizer.finish())
        last = self._text.finish()
        said = Said(first.text + last.text, first.thinking + last.thinking, first.calls + last.calls, first.stopped)
        return said.text, self._more(said, over=True), first.stopped

    def end(self, reason: FinishReason, now_s: float) -> End:
        prompt_ms, decode_ms = (self.first_s - self.joined_s) * 1e3, (now_s - self.first_s) * 1e3
        return End(reason, len(self.prompt.tokens), self.tokens, prompt_ms, decode_ms, self.cached_tokens,
                   thinking_tokens=self.thinking_tokens, stop=self.stop)

    def skip_time(self, paused_s: float) -> None:
        """It stood still so long."""
        self.joined_s += paused_s if self.joined_s else 0.0
        self.first_s += paused_s if self.first_s else 0.0

    def shift(self, whole: list[int]) -> None:
        """The context is full with `whole`: keep the first `num_keep` tokens and the newer half of the rest."""
        self.given = self._shifted(whole)
        self.prefilled = 0

    def _shifted(self, whole: list[int]) -> list[int]:
        keep = min(self.job.extras.num_keep, self.prompt.context_length // 2)
        return whole[:keep] + whole[keep + (len(whole) - keep + 1) // 2 :]

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
