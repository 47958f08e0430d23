"""Several answers that make one response: `n` of the OpenAI dialect, and several prompts of its completions.

`Choices` is read like one answer: the events of all, in turns, so that no choice waits for another one. Each event has
the id of its request, by which a face knows the choice (`places`). The end of a choice that is not the last is an
`Ended`; the last end has the usage of all, each prompt counted once. One choice that fails fails all of them, and a
caller that leaves cancels all of them.
"""

from collections import deque
from typing import NamedTuple

import msgspec

from gateway.client import Answer, Answered, GatewayError, Reading
from gateway.http.answering import Stream, check_end, stream_answer, whole_answer
from gateway.http.call import Call
from gateway.http.heard_choices import ChoicesFace, HeardChoices
from gateway.protocol import ERRORS, Done, Timings, Usage


class Ended(NamedTuple):
    """A choice that is complete while others are not."""

    done: Done


class Choices(Reading[Answered | Ended]):
    """`per_prompt`: how many of the answers, which stand in the order of the prompts, belong to each."""

    def __init__(self, answers: list[Answer], per_prompt: int) -> None:
        self.places = {answer.id: place for place, answer in enumerate(answers)}
        self.dones: dict[int, Done] = {}  # by place
        self.ended = False
        self._answers = answers
        self._per_prompt = per_prompt
        self._turns = deque(answers)
        for answer in answers:
            answer.on_news = self.wake

    @property
    def events(self) -> deque[Answered | GatewayError]:
        """Those of the answer whose turn it is; empty if there are none at all."""
        for _ in range(len(self._turns)):
            if self._turns[0].events:
                break
            self._turns.rotate(-1)
        return self._turns[0].events

    def take(self) -> Answered | Ended | None:
        """The next event, None if there is none now. Raises: GatewayError."""
        if not self.events:
            return None
        answer = self._turns[0]
        self._turns.rotate(-1)
        place = self.places[answer.id]
        try:
            event = answer.take()
        except GatewayError as error:
            self.ended = True
            raise self._of_choice(error, place) from None
        if not isinstance(event, Done):
            return event
        check_end(event)
        self.dones[place] = event
        if len(self.dones) < len(self._answers):
            return Ended(event)
        self.ended = True
        return self._all_done(event)

    def leave(self) -> None:
        self.ended = True
        for answer in self._answers:
            answer.on_news = None
            answer.leave()
        self.wake()

    def _of_choice(self, error: GatewayError, place: int) -> GatewayError:
        """What is wrong with the request is wrong with all choices; what may go well later happened to one of them."""
        if error.code not in ERRORS or not ERRORS[error.code].retryable:
            return error
        return GatewayError(error.code, f"choice {place} of {len(self._answers)}: {error.message}",
                            error.retry_after_s, error.status, error.rate)

    def _all_done(self, last: Done) -> Done:
        """The last end, with the usage of all and the longest time of each kind."""
        dones = [self.dones[place] for place in range(len(self._answers))]
        prompts, usages = dones[::self._per_prompt], [done.usage for done in dones]
        usage = Usage(sum(done.usage.prompt_tokens for done in prompts), sum(use.completion_tokens for use in usages),
                      sum(done.usage.cached_tokens for done in prompts), sum(use.thinking_tokens for use in usages))
        times = Timings(*(max(getattr(done.timings, name) for done in dones) for name in Timings.__struct_fields__))
        return msgspec.structs.replace(last, usage=usage, timings=times)


class ChoicesStream(Stream):
    face: ChoicesFace

    def take(self, event: object) -> bytes:
        if isinstance(event, Ended):
            return self.face.ended(event.done)
        return super().take(event)


async def answer_choices(call: Call, face: ChoicesFace, answers: list[Answer], *, per_prompt: int,
                         stream: bool) -> None:
    """One response of all answers. Raises: GatewayError if it failed before anything was sent."""
    if len(answers) == 1:
        await (stream_answer if stream else whole_answer)(call, face, answers[0])
        return
    choices = Choices(answers, per_prompt)
    face.places = choices.places
    if stream:
        await stream_answer(call, face, choices, ChoicesStream)
    else:
        await whole_answer(call, face, choices, HeardChoices(choices.places, choices.dones))
