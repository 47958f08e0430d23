"""What each client of an eviction run heard, checked word by word, and who is to blame for what went wrong.

Theory
------
The engine numbers its tokens: number k has id k and text "tk". So an answer that lost, doubled or misplaced one shows
it, whatever stood between engine and client. Requests are numbered too, in the order in which they are sent, so the
number of an event tells whether its request is open, ended or was never made.

1. Each request ends exactly once. A second end, or any word after the end, is a loss; so is an end that never comes.
2. Tokens come gapless and in order, and a complete answer has all of its text.
3. A request that was given to a worker again, or that ended because its worker died, lost its worker. So did one that
   was refused because its model is given up.
4. What (3) counts is explained by a SIGKILL of ours, of a worker of that model, between the last sign of life of that
   attempt (less NOTICED_WITHIN_S: a job may be sent to a process whose death nobody has noticed) and the bad news.
   Everything else was lost to an eviction, or to something worse.

A request that never began, because the queue was full, has lost nothing: it is counted as refused. Pure: events and
`now_s` (monotonic) come in.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.protocol import Accepted, Done, Error, Event, Progress, Result, Started, Tokens, Welcome

NOTICED_WITHIN_S = 5.0  # after a SIGKILL: all of supervisord, control and gateway know of it
GIVEN_UP_WITHIN_S = 310.0  # a model that crashes three times is given up for five minutes
LOSSES_MAX = 10_000  # in hand until they are reported; what is beyond is counted
RETRIED, CRASHED, UNAVAILABLE = "retried", "worker_crashed", "model_unavailable"
EXPLAINED_AFTER_S = {RETRIED: NOTICED_WITHIN_S, CRASHED: NOTICED_WITHIN_S, UNAVAILABLE: GIVEN_UP_WITHIN_S}
REFUSED = {"queue_full", "displaced"}


class Kill(NamedTuple):
    """A SIGKILL of ours. `kind` "worker" or "control"; `model` "" for control; `at_s` monotonic."""

    at_s: float
    kind: str
    model: str
    pid: int
    incarnation: int = 0


class Loss(NamedTuple):
    """Something that no client should see. `what`: the error's code, or RETRIED, or words of this module.

    `after_s`: the last sign of life before it, `heard_s`: when it was heard; both monotonic.
    """

    request: int
    model: str
    what: str
    after_s: float
    heard_s: float
    detail: str = ""


class Transcript:
    """One request: what is expected of its answer, and how far that has come."""

    __slots__ = ("alive_s", "attempt", "heard", "length", "model", "number", "spoilt")

    def __init__(self, number: int, model: str, length: int, sent_s: float) -> None:
        self.number, self.model, self.length = number, model, length
        self.attempt = 1
        self.heard = 0  # tokens
        self.alive_s = sent_s
        self.spoilt = False  # its tokens are out of order, and that was told


class Checker:
    """The requests of one client. `losses` is taken away by whoever reports them; the counts stay."""

    def __init__(self) -> None:
        self.open: dict[int, Transcript] = {}
        self.sent = self.ended = self.done = self.refused = self.lost = 0
        self.errors: Counter[str] = Counter()
        self.losses: list[Loss] = []
        self._epoch = 0

    def on_sent(self, model: str, length: int, now_s: float) -> int:
        """The number of a new request for an answer of `length` tokens."""
        self.sent += 1
        self.open[self.sent] = Transcript(self.sent, model, length, now_s)
        return self.sent

    def on_event(self, event: Event, now_s: float) -> None:
        if isinstance(event, Welcome):
            self._on_welcome(event, now_s)
            return
        request = self.open.get(number_of(event.id))
        if request is None:  # (1)
            number = number_of(event.id)
            what = "a word after the end" if 0 < number <= self.sent else "a word for a request that was never made"
            self._lose(Loss(number, "", what, now_s, now_s, type(event).__name__))
            return
        match event:
            case Tokens():
                self._on_tokens(request, event, now_s)
            case Started():
                self._on_attempt(request, event.attempt, now_s)
            case Done():
                self._on_attempt(request, event.attempt, now_s)
                self._on_done(request, event, now_s)
            case Error():
                self._on_error(request, event, now_s)
            case Accepted() | Progress():
                pass
            case Result():
                self._spoil(request, "a result, where an answer was asked", now_s, "")

    def give_up(self, now_s: float) -> None:
        """Nothing more is waited for: what is open has lost its end (1)."""
        for one in self.open.values():
            self._lose(Loss(one.number, one.model, "no end", one.alive_s, now_s,
                            f"{one.heard} of {one.length} tokens, attempt {one.attempt}"))

    def _on_welcome(self, welcome: Welcome, now_s: float) -> None:
        if self._epoch and welcome.epoch != self._epoch:
            self._lose(Loss(0, "", "the gateway restarted", now_s, now_s, f"epoch {self._epoch} to {welcome.epoch}"))
        self._epoch = welcome.epoch

    def _on_tokens(self, request: Transcript, event: Tokens, now_s: float) -> None:
        at = request.heard  # (2)
        if event.position != at or event.ids != list(range(at, at + len(event.ids))):
            self._spoil(request, "tokens out of order", now_s, f"{event.position}: {event.ids} where {at} was next")
        if event.text != words_of(at, len(event.ids)):
            self._spoil(request, "wrong text", now_s, f"{event.text!r} for tokens {event.ids}")
        request.heard += len(event.ids)
        request.alive_s = now_s

    def _on_attempt(self, request: Transcript, attempt: int, now_s: float) -> None:
        for _ in range(attempt - request.attempt):  # (3)
            self._lose(Loss(request.number, request.model, RETRIED, request.alive_s, now_s, f"attempt {attempt}"))
        request.attempt = max(request.attempt, attempt)
        request.alive_s = now_s

    def _on_done(self, request: Transcript, event: Done, now_s: float) -> None:
        told, heard = event.usage.completion_tokens, request.heard
        if event.finish_reason != "stop" or not told == heard == request.length:
            self._spoil(request, "not the whole answer", now_s,
                        f"{event.finish_reason}, {heard} of {request.length} tokens, usage says {told}")
        self._end(request)
        self.done += 1

    def _on_error(self, request: Transcript, event: Error, now_s: float) -> None:
        self._end(request)
        self.errors[event.code] += 1
        if event.code in REFUSED and not request.heard:
            self.refused += 1
        else:
            self._lose(Loss(request.number, request.model, event.code, request.alive_s, now_s, event.message))

    def _end(self, request: Transcript) -> None:
        del self.open[request.number]
        self.ended += 1

    def _spoil(self, request: Transcript, what: str, now_s: float, detail: str) -> None:
        """Told once for each request."""
        if not request.spoilt:
            self._lose(Loss(request.number, request.model, what, request.alive_s, now_s, detail))
        request.spoilt = True

    def _lose(self, loss: Loss) -> None:
        self.lost += 1
        if len(self.losses) < LOSSES_MAX:
            self.losses.append(loss)


class Judgement(NamedTuple):
    """`lost` are in the order in which they were heard."""

    lost: list[Loss]
    explained: list[Loss]


def judge(losses: Iterable[Loss], kills: Sequence[Kill]) -> Judgement:
    """Who is to blame (4)."""
    judgement, killed_at_s = Judgement([], []), defaultdict(list)
    for kill in sorted(kill for kill in kills if kill.kind == "worker"):
        killed_at_s[kill.model].append(kill.at_s)
    for loss in sorted(losses, key=lambda one: one.heard_s):
        (judgement.explained if explains(loss, killed_at_s[loss.model]) else judgement.lost).append(loss)
    return judgement


def explains(loss: Loss, killed_at_s: Sequence[float]) -> bool:
    """Did one of our SIGKILLs of that model's workers (in order of time) do this?"""
    before_s = EXPLAINED_AFTER_S.get(loss.what)
    if before_s is None:
        return False
    last_before_it = bisect_right(killed_at_s, loss.heard_s)
    return last_before_it > 0 and killed_at_s[last_before_it - 1] >= loss.after_s - before_s


def number_of(request_id: str) -> int:
    """0 for what was never given out."""
    return int(request_id) if request_id.isascii() and request_id.isdigit() else 0


def words_of(start: int, count: int) -> str:
    """The text of `count` tokens from number `start` on."""
    text = " ".join(f"t{number}" for number in range(start, start + count))
    return f" {text}" if start and text else text
