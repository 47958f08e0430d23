"""One job of the echo engine: which tokens its answer has, when each is due, and what is said with it.

Its answer depends on its prompt and on the tokens that were said before, told by `emitted` or not, and on nothing else.
Pure. Times are in seconds of the engine's clock.
"""

from dataclasses import dataclass

from workers.answer_text import AnswerText, Said, State
from workers.engine import JobKey, JobRefused
from workers.job_parts import NO_EXTRAS, CallPiece, Extras, More, TokenLogprob
from workers.protocol import End, FinishReason


@dataclass(slots=True)
class Running:
    """One job. `length`: how many tokens its answer has if nothing stops it; `limit`: how many it may have.

    `due` is the time of its next token, `interval_s` the time between two.
    """

    key: JobKey
    prompt_tokens: int
    words: list[str]
    length: int
    limit: int
    interval_s: float
    crash_at: int
    hang_at: int
    oom_at: int
    said: AnswerText
    added: float
    due: float
    extras: Extras = NO_EXTRAS
    vectors: list[bytes] | None = None  # of a job that embeds: all that it says
    first: float = 0.0
    has_begun: bool = False  # `first` is known
    position: int = 0
    thinking_tokens: int = 0
    calls: int = 0

    def word(self) -> str:
        text = self.words[self.position] if self.words else f"t{self.position}"
        return f" {text}" if self.position else text

    def say(self, word: str) -> Said:
        before = self.said.state
        said = self.said.feed(word)
        self.position += 1
        self.thinking_tokens += State.THINKING in (before, self.said.state)
        return said

    def begin_behind(self, emitted: list[int]) -> None:
        """As if it had said them. Raises: JobRefused."""
        if emitted != list(range(min(len(emitted), self.length, self.limit))):
            raise JobRefused("invalid_request", "emitted: these are not the first tokens of the answer, 0, 1, 2 ...")
        for _ in emitted:
            self.calls += len(self.say(self.word()).calls)

    def more(self, said: Said, chance: list[TokenLogprob]) -> More | None:
        """What an output says besides words; None if nothing."""
        if not (said.thinking or said.calls or chance):
            return None
        whose = "_".join(map(str, self.key))
        calls = [CallPiece(self.calls + at, f"call_{whose}_{self.calls + at}", call.name, call.arguments)
                 for at, call in enumerate(said.calls)]
        self.calls += len(calls)
        return More(said.thinking, calls, chance)

    def end(self, reason: FinishReason, now: float) -> End:
        prompt_ms, decode_ms = (self.first - self.added) * 1e3, (now - self.first) * 1e3
        return End(reason, self.prompt_tokens, self.position, prompt_ms, decode_ms,
                   thinking_tokens=self.thinking_tokens, stop=self.said.stop)

    def stand_still(self, paused_s: float) -> None:
        """Its clock did not run meanwhile."""
        self.added += paused_s
        self.first += paused_s
        self.due += paused_s
