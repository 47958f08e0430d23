"""The jobs that a worker has in hand: which it takes, what is told of them, which are paused, and how each ends.

Guarantees
1. A job is in hand from its Accept until its last output was handed on, it failed, or it was cancelled; a paused one
   too. What the engine still says of a job that is not in hand is dropped.
2. At most `batch_max` jobs that are not paused. A Pause gives its place back the moment it is heard, and the engine
   obeys in order: so the job that was sent behind it joins where the other one left.
3. Every Pause of a job in hand is answered by one Paused, and nothing of the job comes between that and its Resume;
   unless the job ends first. What cannot be paused (inputs to embed, a relay's request) goes on and answers nothing.
4. Outputs of one step leave in one frame, unless that were too large (`workers/step_frames.py`).

All of it belongs to the I/O thread. `say` sends a message of the job protocol and fills in version and origin.
"""

from collections.abc import Callable

from workers import protocol as jobs
from workers.engine import EngineJob, JobKey, Output
from workers.engine_thread import EngineThread
from workers.job_parts import NO_EXTRAS
from workers.step_frames import frames_of


class JobsInHand:
    """`paused` are some of `jobs`. `busy_since`: monotonic seconds when the first that is not paused came."""

    def __init__(self, engine: EngineThread, say: Callable[..., None]) -> None:
        self.jobs: set[JobKey] = set()
        self.paused: set[JobKey] = set()
        self.accepted = self.finished = self.tokens_out = self.frames = 0
        self.busy_since = 0.0
        self._engine, self._say = engine, say

    def has_place(self, batch_max: int) -> bool:
        return len(self.jobs) - len(self.paused) < batch_max

    # -- orders of the gateway ---------------------------------------------------------------------------------

    def take(self, job: jobs.Job, now: float) -> None:
        key = (job.epoch, job.job, job.attempt)
        self._on_more_work(now)
        self.jobs.add(key)
        self.accepted += 1
        self._engine.add(EngineJob(key, job.messages, job.prompt, job.tokens, job.sampling, job.max_tokens, job.stop,
                                   job.remote, job.inputs, job.extras or NO_EXTRAS, job.priority, job.emitted))
        self._say(jobs.Accept, *key[1:])

    def cancel(self, key: JobKey) -> None:
        """It ends here, between two steps. A job that is not known is answered too: its end was lost, and the gateway
        still holds a slot for it.
        """
        if key in self.jobs:
            self._engine.remove(key)
            self._forget(key)
        self._say(jobs.Fail, *key[1:], "cancelled", "")

    def pause(self, key: JobKey) -> None:
        """Asked again, since the answer may have been lost, it is answered again."""
        if key in self.jobs:
            self.paused.add(key)  # (2)
            self._engine.pause(key)

    def resume(self, key: JobKey, now: float) -> None:
        if key in self.paused:
            self._on_more_work(now)
            self.paused.remove(key)
            self._engine.resume(key)

    def _on_more_work(self, now: float) -> None:
        """Nobody expects a step of an engine whose jobs are all paused (`control/stall.py`)."""
        if len(self.jobs) == len(self.paused):
            self.busy_since = now

    def drop_all(self) -> None:
        """Nobody waits for any of them."""
        for key in self.jobs:
            self._engine.remove(key)
        self.finished += len(self.jobs)
        self.jobs.clear()
        self.paused.clear()

    # -- what the engine said ----------------------------------------------------------------------------------

    def on_outputs(self, outputs: list[Output]) -> None:
        items = [jobs.Item(*out.key[1:], out.position, out.ids, out.text, out.end, out.more)
                 for out in outputs if out.key in self.jobs and not out.failed]
        for out in outputs:
            if out.failed:
                self.fail(out.key, *out.failed)
        if not items:
            return
        frames, failed = frames_of(items)  # (4)
        untold = {(item.job, item.attempt) for item in failed}
        for some in frames:
            self.frames += 1
            self._say(jobs.Step, self.frames, some)
        for out in outputs:
            self.tokens_out += len(out.ids)
            if untold and out.key[1:] in untold:
                self._engine.remove(out.key)
                self.fail(out.key, "internal", "the model wrote a call that is too long for any frame")
            elif out.end is not None and out.key in self.jobs:
                self._forget(out.key)

    def fail(self, key: JobKey, code: str, message: str) -> None:
        if key in self.jobs:
            self._forget(key)
            self._say(jobs.Fail, *key[1:], code, message)

    def tell(self, kind: type, key: JobKey, *rest: object) -> None:
        """Something about a job in hand that does not end it."""
        if key in self.jobs:
            self._say(kind, *key[1:], *rest)

    def _forget(self, key: JobKey) -> None:
        self.jobs.discard(key)
        self.paused.discard(key)
        self.finished += 1
