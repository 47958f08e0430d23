"""/v1/completions of the OpenAI dialect: text that goes on, without a chat and its template.

A prompt is text or token ids, or a list of several, each of which gets `n` choices; their index counts on from prompt
to prompt. Without `max_tokens` an answer may be as long as the model is configured for, as local servers do it
(OpenAI's 16 surprise everybody). `suffix` asks for what is between the two, of a model that can fill in.
"""

import time
from typing import Annotated

import msgspec

from gateway import protocol
from gateway.http.asking import how_asked
from gateway.http.call import Call
from gateway.http.choices import answer_choices
from gateway.http.errors import Problem
from gateway.http.fields import Asks
from gateway.http.openai_completion_face import CompletionFace
from gateway.http.openai_models import MAKER
from gateway.http.openai_options import IGNORED, Sampled, StreamOptions, bias_of, of_choice, options_of

CHOICES_MAX = 128  # of all prompts together
TOKEN_ID_MAX = 2**31 - 1  # in the client protocol
Prompt = str | list[int]
Tops = Annotated[int, msgspec.Meta(ge=0, le=protocol.LOGPROBS_MAX)]


class TextCompletion(Sampled):
    prompt: str | list[str | int | list[int]] | None = None
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Tops | None = None
    best_of: int | None = None


ASKS = (Asks(
    "openai", "/v1/completions", TextCompletion,
    body={"prompt": "hi"},
    parts={"stream_options": StreamOptions},
    notes={"prompt": "text, token ids, or a list of either; each gets n choices",
           "max_tokens": "-1 or nothing: as much as there is",
           "suffix": "of models that can fill in; `prompt` may be empty",
           "n": "each choice is a request of its own; a seed counts on from choice to choice",
           "best_of": "the same as n", "echo": "501 with logprobs, or with a prompt of token ids"},
    ignored={**IGNORED, "stream_options.include_obfuscation": "nothing is obfuscated"},
    values={"best_of": ("more than n", 5)},
    examples={"prompt": "hi", "logit_bias": {"5": 1}, "best_of": 1},
),)


async def completions(call: Call) -> None:
    asked = await call.read_json(TextCompletion)
    call.model = asked.model
    prompts, count = prompts_of(asked), asked.n or 1
    refuse(asked, prompts, count)
    options = options_of(asked, asked.max_tokens)
    fields = {**how_asked(call), "model": asked.model, "suffix": asked.suffix or None, "logprobs": asked.logprobs,
              "logit_bias": bias_of(asked.logit_bias)}
    call.names = {"tokens": "prompt"}
    answers = [call.services.client.ask(options=of_choice(options, number), **fields,
                                        **({"prompt": prompt} if isinstance(prompt, str) else {"tokens": prompt}))
               for prompt in prompts for number in range(count)]
    echo = [prompt for prompt in prompts for _ in range(count)] if asked.echo else []
    face = CompletionFace(f"cmpl-{call.request_id}", int(time.time()), include_usage=asked.include_usage, maker=MAKER,
                          echo=echo, tops=bool(asked.logprobs))
    await answer_choices(call, face, answers, per_prompt=count, stream=bool(asked.stream))


def prompts_of(asked: TextCompletion) -> list[Prompt]:
    """At least one. Raises: Problem `invalid_request`."""
    given = asked.prompt
    if isinstance(given, str):
        given = [given]
    if not given:
        raise Problem("invalid_request", "prompt: is required", "prompt")
    kinds = {type(each) for each in given}
    if len(kinds) > 1:
        raise Problem("invalid_request", "prompt: give texts, or token ids, or lists of token ids, and not several of "
                      "these", "prompt")
    return [given] if kinds == {int} else given


def refuse(asked: TextCompletion, prompts: list[Prompt], count: int) -> None:
    """Raises: Problem."""
    if len(prompts) * count > CHOICES_MAX:
        raise Problem("invalid_request", f"prompt: {len(prompts)} prompts with n={count} make more than {CHOICES_MAX} "
                      "choices; send them in several requests", "prompt")
    for number, prompt in enumerate(prompts):
        field = f"prompt[{number}]" if len(prompts) > 1 else "prompt"
        if not prompt and (prompt != "" or not asked.suffix):  # what is before a suffix may be nothing
            raise Problem("invalid_request", f"{field}: must not be empty", field)
        if not isinstance(prompt, str):
            check_ids(prompt, field)
    if asked.echo and asked.logprobs is not None:
        raise Problem("not_offered", "echo: the chances of the prompt's tokens are not offered; leave out echo or "
                      "logprobs", "echo")
    if asked.echo and not isinstance(prompts[0], str):
        raise Problem("not_offered", "echo: a prompt of token ids is not offered as text; leave it out", "echo")
    if asked.best_of is not None and asked.best_of < count:
        raise Problem("invalid_request", f"best_of: {asked.best_of} is less than n ({count})", "best_of")
    if (asked.best_of or count) > count:
        raise Problem("not_offered", "best_of: choosing the best of more answers than n is not offered; leave it out",
                      "best_of")


def check_ids(prompt: list[int], field: str) -> None:
    """Raises: Problem `invalid_request`. Which ids the model has, the worker knows."""
    for place, token in enumerate(prompt):
        if not 0 <= token <= TOKEN_ID_MAX:
            raise Problem("invalid_request", f"{field}[{place}]: {token} is no token id", f"{field}[{place}]")
