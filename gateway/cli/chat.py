"""The chat of `warden run`: read what is typed, ask, show the answer as it comes, and come back to the prompt.

1. Ctrl-C ends an answer, not the program: the request is cancelled, what came so far stays in the conversation.
2. An error is one line, the question is kept for /retry, and the prompt comes back.
3. A model that is not loaded begins to load while the person types; how far it is stands above the prompt.
4. However it ends, the terminal is as it was. Keys that are pressed while an answer comes are not shown in it, and are
   the next line.
"""

import asyncio
import signal
import sys
import termios
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from msgspec.structs import replace

from control.states import LOCAL
from gateway.cli.answer_screen import AnswerScreen, say
from gateway.cli.chat_commands import Leave, carry_out
from gateway.cli.chat_file import TypedBefore
from gateway.cli.chat_lines import CommandRefused, completions, is_command, message_of, read_command
from gateway.cli.chat_prompt import Prompt
from gateway.cli.chat_session import Conversation, ConversationRefused
from gateway.cli.connection import with_retry
from gateway.cli.one_answer import Meanwhile
from gateway.cli.request_fields import SAMPLING
from gateway.cli.text_table import printable
from gateway.cli.waiting import described
from gateway.client import GatewayClient, GatewayError
from gateway.protocol import Done, Message, Progress, RouteInfo, Tokens

LEAVE_HINT = "(Ctrl-C again or Ctrl-D leaves; /? for help)"
FORGETS = "from now on the oldest part of a long conversation is left out"
TOO_LONG = f"the conversation is longer than the model's context; {FORGETS}"


class Chat:
    """What there is besides the conversation. `fields`: of every request, as the command line says."""

    def __init__(self, client: GatewayClient, typed: TypedBefore, conversation: Conversation,
                 fields: dict[str, object]) -> None:
        self.client, self.typed, self.conversation, self.fields = client, typed, conversation, fields
        self.models: list[str] = []  # to complete
        self.wraps, self.verbose = True, False
        self._prompt = Prompt(typed, lambda text: completions(text, self.models, list(SAMPLING)), lambda: self._status)
        self._status = ""
        self._load: asyncio.Task | None = None

    async def run(self) -> None:
        """Until the person leaves. Raises: GatewayError, before the first prompt."""
        try:
            await self._run()
        except Leave:
            return
        finally:
            self.leave_load()

    async def _run(self) -> None:
        self.prepare_model(await self.find_model(self.conversation.model))
        with suppress(GatewayError):
            self.models = [model.name for model in await self.client.list_models()]
        say(f"{self.conversation.model}: /? for help, Ctrl-D to leave")
        interrupted = False
        with quiet_keys():
            while True:
                try:
                    text = await self._prompt.read()
                except EOFError:
                    return
                except KeyboardInterrupt:
                    if interrupted and self._prompt.is_empty:
                        return
                    if self._prompt.is_empty:
                        say(LEAVE_HINT)
                    interrupted = self._prompt.is_empty
                    continue
                interrupted = False
                await self._take(text)

    async def _take(self, text: str) -> None:
        if self.typed.trouble:
            say(self.typed.trouble)
            self.typed.trouble = ""
        try:
            if is_command(text):
                command = read_command(text)
                await stoppable(carry_out(self, command))
            elif question := message_of(text):
                self.conversation = self.conversation.asking(question)
                await self.answer()
        except (CommandRefused, ConversationRefused) as refused:
            say(str(refused))
        except GatewayError as error:
            say(with_retry(error.message, error.retry_after_s))

    async def answer(self) -> None:
        """Ask what is pending. Raises: GatewayError; then it is pending still, or its answer is kept as far as it
        came.
        """
        try:
            await self._answer()
        except GatewayError as error:
            if error.code != "context_length_exceeded" or self.conversation.forgets or not self.conversation.turns:
                raise
            say(TOO_LONG)
            self.conversation = replace(self.conversation, forgets=True)
            await self._answer()

    async def _answer(self) -> None:
        request = self.conversation.request()
        answer = self.client.ask(**request, **self.fields, demanding=bool(request["think"]))
        screen, said, thought = AnswerScreen(sys.stdout, wraps=self.wraps), [], []
        done: Done | None = None
        cut = "broken"
        try:
            with on_interrupt(answer.leave) as was_stopped, Meanwhile(sys.stdout) as meanwhile:
                async for event in answer:
                    if isinstance(event, Tokens):
                        meanwhile.hide()
                        screen.show(event)
                        said.append(event.text)
                        thought.append(event.thinking)
                    elif isinstance(event, Done):
                        done = event
                    else:
                        meanwhile.show(event)
            cut = "stopped" if was_stopped() and done is None else ""
        finally:
            answer.leave()
            if screen.said:
                screen.end()
            self.conversation = self.conversation.answered("".join(said), "".join(thought), cut)
        if cut:
            say("[stopped]" if "".join(said) else "[stopped; /retry asks again]")
        elif done is not None:
            self._say_after(done)
        print()

    def _say_after(self, done: Done) -> None:
        if done.finish_reason == "length" and self.conversation.options.max_tokens is not None:
            say(f"[cut off: max_tokens is {self.conversation.options.max_tokens}]")
        elif done.finish_reason == "length":
            say(f"[cut off: the answer has reached its limit, or the model's context is full; {FORGETS}]")
            self.conversation = replace(self.conversation, forgets=True)
        if self.verbose:
            say(f"[{times_of(done)}]")

    # -- models

    async def find_model(self, name: str) -> RouteInfo:
        """Who would answer for this name. Raises: GatewayError, also `model_not_found`."""
        return await self.client.route(model=name, messages=[Message("user", "?")], **self.fields)

    def prepare_model(self, info: RouteInfo) -> None:
        """From now on it is the model; if it lives here, it is loaded (3)."""
        self.conversation = replace(self.conversation, model=info.model)
        self.leave_load()
        if info.chosen < 0:
            say(f"nobody answers for {info.model} now: {info.message}")
        elif info.steps[info.chosen].backend in LOCAL:
            self._load = asyncio.create_task(self._loading(info.model))

    def leave_load(self) -> None:
        """Whoever loads goes on; nobody looks at it any more."""
        if self._load is not None:
            self._load.cancel()
        self._load, self._status = None, ""

    async def _loading(self, model: str) -> None:
        answer = self.client.ask_load(model)
        try:
            async for event in answer:
                if isinstance(event, Progress):
                    self._status = f"{printable(model)}: {printable(described(event))}"
                    self._prompt.refresh()
            self._status = ""
        except GatewayError as error:
            self._status = printable(f"{model} is not loaded: {error.message}")
        finally:
            answer.leave()
            self._prompt.refresh()


def times_of(done: Done) -> str:
    """What an answer took, for people."""
    usage, times = done.usage, done.timings
    rate = f", {usage.completion_tokens / times.decode_ms * 1000:.1f} tokens/s" if times.decode_ms else ""
    cached = f" ({usage.cached_tokens} known)" if usage.cached_tokens else ""
    load = f" ({times.load_ms / 1000:.1f} s loading)" if times.load_ms else ""
    return (f"{usage.completion_tokens} tokens in {times.decode_ms / 1000:.1f} s{rate}; prompt {usage.prompt_tokens} "
            f"tokens{cached} in {times.prompt_ms / 1000:.1f} s; waited {times.queue_ms / 1000:.1f} s{load}")


async def stoppable(step: Awaitable[None]) -> None:
    """Ctrl-C ends the step and nothing else."""
    task = asyncio.ensure_future(step)
    with on_interrupt(task.cancel):
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise  # it is us who are to end
            say("[stopped]")


@contextmanager
def on_interrupt(stop: Callable[[], object]) -> Iterator[Callable[[], bool]]:
    """Ctrl-C calls `stop` for as long as the block runs; gives a function that says whether it did."""
    loop, stopped = asyncio.get_running_loop(), []

    def interrupted() -> None:
        stopped.append(True)
        stop()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield lambda: bool(stopped)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def quiet_keys() -> Iterator[None]:
    """What is typed meanwhile is not shown, and read afterwards (4)."""
    try:
        before = termios.tcgetattr(sys.stdin)
    except (termios.error, ValueError):
        yield
        return
    quiet = [*before]
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
