"""How many tokens a prompt has, for any configured model: counted in a thread of its own, without weights.

The engine's thread goes on with its streams and the I/O thread with its frames, whatever is counted here, one prompt at
a time. Only the tokenizer's files are read, never code, and nothing is fetched. The last KEPT tokenizers stay, until
memory is short. An echo model has words for tokens. A prompt that is many times too long is refused as soon as that is
certain, so that no text, however long, takes more memory here than one that fits.

Used from the I/O thread: `ask`, `take`, `forget`, `trim`. At most PENDING_MAX wait: the gateway asks for no more at
once, but forgets those of callers who left, which are counted here all the same.
"""

import json
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from control.config import ModelConfig
from workers.engine import EngineJob, JobRefused
from workers.job_parts import NO_EXTRAS
from workers.prompt import PromptEncoder, choose_context
from workers.protocol import FRAME_MAX_BYTES, Count

KEPT = 4
PENDING_MAX = 128
IDS_MAX = FRAME_MAX_BYTES // 8  # an id takes at most five bytes of the frame
WITHOUT_LIMIT = 2**31  # of vocabulary: what is counted is judged by who asked
COUNTED_LEAST_TOKENS = 65_536  # are counted of any model, else as many as its context holds: each takes half a kB here
TOO_LONG = "context_length_exceeded"
ECHO_CONTEXT_TOKENS = 1_000_000


class Done(NamedTuple):
    """What came of one count, as `protocol.Counted`. `context_length` 0: not known."""

    count: Count
    tokens: int = 0
    context_length: int = 0
    code: str = ""
    message: str = ""
    ids: list[int] | None = None


class Words(NamedTuple):
    """What counts for one model."""

    encode: Callable[[EngineJob], list[int]]
    context_length: int


class Counter:
    """`find` gives the model of a slug, None if it is not configured. `wake` is called when something can be taken."""

    def __init__(self, find: Callable[[str], ModelConfig | None], wake: Callable[[], None]) -> None:
        self._find, self._wake = find, wake
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="count")
        self._pending: set[Future[Done]] = set()
        self._done: deque[Done] = deque()
        self._kept: OrderedDict[tuple[str, str, int], Words] = OrderedDict()  # touched by the thread alone

    def ask(self, count: Count) -> None:
        if len(self._pending) >= PENDING_MAX:
            self._done.append(Done(count, code="queue_full", message=f"{PENDING_MAX} prompts wait here to be counted"))
            self._wake()
            return
        future = self._thread.submit(self._count, count)
        self._pending.add(future)
        future.add_done_callback(partial(self._on_end, count))

    def take(self) -> list[Done]:
        """What was counted since the last call, in order."""
        taken = []
        while self._done:
            taken.append(self._done.popleft())
        return taken

    def forget(self) -> None:
        """Nobody waits any more for what was asked so far."""
        for future in list(self._pending):
            future.cancel()
        self._done.clear()

    def trim(self) -> None:
        """Give the tokenizers back that are only kept for speed."""
        if self._kept and not self._pending:
            self._thread.submit(self._kept.clear)

    # -- the thread itself -----------------------------------------------------------------------------------

    def _on_end(self, count: Count, future: "Future[Done]") -> None:
        """Called in the thread, or where the count was cancelled."""
        self._pending.discard(future)
        if future.cancelled():
            return
        problem = future.exception()
        if isinstance(problem, JobRefused):
            self._done.append(Done(count, code=problem.code, message=problem.message))
        elif problem is not None:
            text = " ".join(str(problem).split())
            self._done.append(Done(count, code="internal", message=f"the tokenizer of {count.slug} cannot be used: "
                                   f"{type(problem).__name__}: {text}"))
        else:
            self._done.append(future.result())
        self._wake()

    def _count(self, count: Count) -> Done:
        model = self._find(count.slug)
        if model is None:
            return Done(count, code="model_not_found", message=f"{count.slug} is not configured here")
        words = self._words(model)
        ids = words.encode(EngineJob((0,), count.messages, count.prompt, extras=count.extras or NO_EXTRAS))
        if count.with_ids and len(ids) > IDS_MAX:
            raise JobRefused("invalid_request", f"prompt: it has {len(ids)} tokens; their ids are told up to {IDS_MAX}")
        return Done(count, len(ids), words.context_length, ids=ids if count.with_ids else None)

    def _words(self, model: ModelConfig) -> Words:
        key = (model.engine, str(model.path), model.context_length)
        if key not in self._kept:
            self._kept[key] = echo_words(model) if model.engine == "echo" else mlx_words(model)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


def echo_words(model: ModelConfig) -> Words:
    """As the echo engine counts. Its ids are the numbers of the words."""
    from workers.echo_engine import count_words

    return Words(lambda job: list(range(count_words(job))), model.context_length or ECHO_CONTEXT_TOKENS)


def mlx_words(model: ModelConfig) -> Words:
    """Raises what mlx_lm raises for a directory without a tokenizer that it knows."""
    from mlx_lm.utils import load_tokenizer

    path = Path(model.path)
    config = json.loads((path / "config.json").read_bytes())
    tokenizer = load_tokenizer(path, {"trust_remote_code": False, "local_files_only": True})
    context_length = choose_context(config, model.context_length)
    most = max(COUNTED_LEAST_TOKENS, context_length)
    encoder = PromptEncoder(tokenizer, most, WITHOUT_LIMIT)

    def encode(job: EngineJob) -> list[int]:
        try:
            return encoder.encode(job).tokens
        except JobRefused as refused:
            if refused.code != TOO_LONG:
                raise
            raise JobRefused(TOO_LONG, f"the prompt has more than {most} tokens; the context holds {context_length}, "
                                       "the answer included") from None

    return Words(encode, context_length)
