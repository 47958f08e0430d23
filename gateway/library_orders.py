"""Changes of the library: a pulled model is added, a name copied, a name or a model forgotten; one change at a time.

    add      the library is written, our own configuration has the model, control is told ("reread"), it is answered
    copy     the same
    delete   of a copied name: the same. Of a pulled model: refused as `model_busy` while anybody has work for it; from
             then on nobody is let in; its process leaves by the three keys ("evict"); the library is written without
             it; control is told, and forgets its row; so do we; weights that nobody else uses are deleted

The file is the truth. Whoever is killed in between reads it when it is back: a control process at its start, and this
gateway tells control at its own start, and again every TELL_AGAIN_S, until control has said that it has the same. A
model that we know and control does not yet waits as one that is not loaded. What was not written has not happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from control import messages
from control.config import canonical, with_library
from control.library import Dropped, Fetched, Library, is_name
from control.library_file import LibraryNotWritten
from control.states import HAS_PROCESS
from gateway import protocol
from gateway.library_edits import (
    WEIGHTS_STAY,
    weights_text,
    why_not_new,
    why_not_ours,
    with_copy,
    with_model,
    without_copy,
    without_dropped,
    without_model,
)
from gateway.pull_names import bare
from gateway.refusal import Refusal

if TYPE_CHECKING:
    from control.config import ModelConfig
    from gateway.dispatcher import Dispatcher
    from gateway.fetcher import Fetch

CHANGES_MAX = 100
OUR_ASKS = 1 << 40  # numbers of our questions to control, apart from those of `gateway.orders`
TELL_AGAIN_S = 1.0
ASK_AGAIN_S = 0.1  # while its process or its memory is on its way out
WITHIN_S = 20.0  # longer than memory is looked for
LATER = "control has not heard of it yet, and will"
Done = Callable[[str, str], None]  # code ("" if it is done) and text


class Store(NamedTuple):
    """The world of the library. `write` raises LibraryNotWritten, `start` OSError."""

    read: Callable[[], Library]
    write: Callable[[Library], None]
    start: Callable[..., Fetch]


@dataclass(slots=True)
class Change:
    """`edit` raises Refusal. `leaving`: the model that goes with it. `since`: its turn came, monotonic seconds."""

    edit: Callable[[Library], Library]
    done: Done
    leaving: ModelConfig | None = None
    since: float = 0.0
    before: Library | None = None  # set once it is written


class LibraryOrders:
    def __init__(self, dispatcher: Dispatcher, store: Store | None) -> None:
        self.d, self._store = dispatcher, store
        self.library = store.read() if store is not None else Library()
        self._changes: deque[Change] = deque()  # the first is under way
        self._numbers = OUR_ASKS
        self._asked: tuple[int, str] = (0, "")  # the newest question and its verb
        self._ask_at = 0.0
        self._settled = store is None or self.library == Library()
        self._drops_begun = False

    # -- what people ask -------------------------------------------------------------------------------------

    def check_new(self, name: str) -> None:
        """Raises: Refusal, if no model may be added under that name."""
        if self._store is None:
            raise Refusal("not_offered", "pulling, copying and deleting models are not offered here")
        if (refusal := why_not_new(name, self.d.config)) is not None:
            raise refusal

    def add(self, entry: Fetched, done: Done, now: float) -> None:
        """A model was fetched; `done` hears when it may be asked, or why it may not."""
        def edit(library: Library) -> Library:
            self.check_new(entry.name)
            return with_model(library, entry)

        try:
            self._queue(Change(edit, done), now)
        except Refusal as refusal:
            done(refusal.code, refusal.message)

    def on_copy(self, client: bytes, question: protocol.Copy, model: ModelConfig, now: float) -> None:
        """Raises: Refusal."""
        name = bare(question.to)
        self._check_store()
        if not is_name(name):
            raise Refusal("invalid_request", f"destination: {question.to[:200]!r} cannot be a name; use 1 to 96 "
                          "letters, digits and . _ - : /")

        done = self._answering(client, question, name, f"{name} is {model.name}")
        self._queue(Change(lambda library: with_copy(library, name, model, self.d.config), done), now)

    def on_delete(self, client: bytes, question: protocol.Delete, model: ModelConfig, now: float) -> None:
        """Raises: Refusal."""
        self._check_store()
        wanted = canonical(question.model)
        copy = next((name for name in model.copies if canonical(name) == wanted), "")
        if copy:
            done = self._answering(client, question, copy, f"{copy} is forgotten; {model.name} stays")
            self._queue(Change(lambda library: without_copy(library, copy), done), now)
            return
        if not model.pulled:
            raise Refusal("invalid_request", why_not_ours(question.model, model, self.d.config))
        done = self._answering(client, question, model.name, f"{model.name} is deleted")
        self._queue(Change(lambda library: without_model(library, model, self.d.config), done, leaving=model), now)

    def _check_store(self) -> None:
        if self._store is None:
            raise Refusal("not_offered", "copying and deleting models are not offered here")

    def _answering(self, client: bytes, question: protocol.Copy | protocol.Delete, model: str, text: str) -> Done:
        def done(code: str, why: str) -> None:
            if code:
                self.d.say_error(client, question.id, Refusal(code, why, 1.0 if code == "model_busy" else 0.0))
            else:
                self.d.desk.answer(client, question.id, protocol.OrderDone(model, "; ".join(filter(None, (text, why)))))

        return done

    # -- one change after the other --------------------------------------------------------------------------

    @property
    def leaving(self) -> str:
        """Slug of the model that is being deleted: nobody is let in any more. "" if there is none."""
        change = self._changes[0] if self._changes else None
        return change.leaving.slug if change is not None and change.leaving is not None else ""

    def _queue(self, change: Change, now: float) -> None:
        if len(self._changes) >= CHANGES_MAX:
            raise Refusal("queue_full", f"{CHANGES_MAX} changes of the library wait already", 1.0)
        self._changes.append(change)
        if len(self._changes) == 1:
            self._begin(now)

    def _begin(self, now: float) -> None:
        change = self._changes[0]
        change.since = now
        leaving = change.leaving
        if leaving is None:
            self._write(change, now)
            return
        known = self.d.config.by_slug.get(leaving.slug)  # made anew by each change
        if known is None or not known.pulled or canonical(known.name) != canonical(leaving.name):
            # An earlier change was the same.
            self._end(change, "model_not_found", f'model "{leaving.name}" not found', now)
            return
        if why := self._why_busy(leaving):
            self._end(change, "model_busy", f"{leaving.name} is not deleted: {why}; ask again when it is idle", now)
            return
        row = self.d.effects.read_row(leaving.slug)
        if row is not None and row.phase in HAS_PROCESS:
            self._ask("evict", leaving.name, now)
        else:
            self._write(change, now)

    def _why_busy(self, model: ModelConfig) -> str:
        requests = sum(request.model.slug == model.slug for request in self.d.requests.values())
        loads, _ = self.d.desk.waiting_for_load(model.slug)
        return f"{requests + loads} requests are answered or wait" if requests or loads else ""

    def _write(self, change: Change, now: float) -> None:
        before = self.library
        try:
            after = change.edit(before)
            if after != before:
                self._store.write(after)
        except Refusal as refusal:
            self._end(change, refusal.code, refusal.message, now)
            return
        except LibraryNotWritten as problem:
            self._end(change, "internal", str(problem), now)
            return
        change.before, self.library, self._settled = before, after, False
        if change.leaving is None:
            self._take()  # before control: who asks for it waits as for one that is not loaded
        self._ask("reread", "", now)

    def _take(self) -> None:
        self.d.take_config(with_library(self.d.config, self.library))

    def _end(self, change: Change, code: str, text: str, now: float) -> None:
        assert self._changes[0] is change, "one change after the other"
        self._changes.popleft()
        if change.leaving is not None and change.before is not None and not code:
            self._take()
        self._drop_then(change, code, text)
        if self._changes:
            self._begin(now)

    def _drop_then(self, change: Change, code: str, text: str) -> None:
        """Who deleted a model hears it when its weights are gone."""
        drops = [drop for drop in self.library.dropped if change.before is not None
                 and drop not in change.before.dropped]
        if code or not drops:
            change.done(code, text or (WEIGHTS_STAY if change.leaving is not None else ""))
            return
        self._drop(drops[0], lambda trouble, size: change.done("", weights_text(trouble, size)))

    def _drop(self, drop: Dropped, done: Callable[[str, int], None]) -> None:
        def ended(trouble: str, size: int) -> None:
            self.d.effects.note("weights_deleted", source=drop.source, bytes=size, trouble=trouble)
            if not trouble:
                library = without_dropped(self.library, drop)
                try:
                    self._store.write(library)
                    self.library = library
                except LibraryNotWritten as problem:
                    self.d.effects.note("library_not_written", reason=str(problem))
            done(trouble, size)

        self.d.pulls.drop(drop, ended)

    # -- control ---------------------------------------------------------------------------------------------

    def _ask(self, verb: str, model: str, now: float) -> None:
        self._numbers += 1
        self._asked, self._ask_at = (self._numbers, verb), now + TELL_AGAIN_S
        self.d.effects.to_control(messages.Ask(messages.VERSION, self._numbers, verb, model))

    def on_told(self, told: messages.Told, now: float) -> bool:
        """False: it is no answer to us."""
        if told.id < OUR_ASKS:
            return False
        if told.id != self._asked[0]:
            return True  # we have asked again since
        change, verb = self._changes[0] if self._changes else None, self._asked[1]
        self._asked = (0, "")
        if verb == "evict" and change is not None:
            if told.code:
                self._end(change, told.code if told.code in protocol.ERRORS else "internal", told.text, now)
            else:
                self._write(change, now)
        elif not told.code:
            self._settled = True
            if change is not None and change.before is not None:
                self._end(change, "", "", now)
        elif told.code == "model_busy":
            self._ask_at = now + ASK_AGAIN_S
        elif change is not None and change.before is not None:
            self._undo(change, told.text, now)
        return True

    def _undo(self, change: Change, why: str, now: float) -> None:
        """Control cannot: it is as if nobody had asked."""
        try:
            self._store.write(change.before)
            self.library = change.before
            self._take()
        except LibraryNotWritten as problem:
            why = f"{why}; {problem}"
        change.before = None
        self._end(change, "internal", why, now)

    def on_tick(self, now: float) -> None:
        if self._store is None:
            return
        if not self._drops_begun:  # what an earlier gateway did not come to
            self._drops_begun = True
            for drop in self.library.dropped:
                self._drop(drop, lambda trouble, size: None)
        change = self._changes[0] if self._changes else None
        if change is not None and now - change.since > WITHIN_S:
            self._give_up(change, now)
        elif not self._settled and now >= self._ask_at and (change is None or change.before is not None):
            self._ask("reread", "", now)

    def _give_up(self, change: Change, now: float) -> None:
        """Control is silent. What is written stands, and is told to it until it has heard it."""
        if change.before is not None:
            self._end(change, "", LATER, now)
        else:
            self._end(change, "gateway_unavailable", "control did not answer, so nothing was done; `warden ctl status` "
                      "shows whether it runs", now)
