"""What `warden up` says once the stack answers: where it is, which model answers, and what to do next.

Somebody who has no model of his own yet is told the one command that fetches one, and which: the largest of SUGGESTED
that fits this machine, by the same arithmetic that control uses. The texts are made from facts; nothing is done here.
"""

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from control.budget import Ceiling, ModelFacts, make_plan, size

if TYPE_CHECKING:
    from control.config import Config

COMFORTABLE_PERCENT = 75
GB = 1000**3


class Suggestion(NamedTuple):
    """A model of the hub. Its numbers are those of its config.json and the size of its files, rounded up."""

    repository: str
    facts: ModelFacts


def _qwen3(name: str, weights_gb: float, layers: int, hidden: int, inner: int, heads: int, kv_heads: int) -> Suggestion:
    """Its heads are 128 numbers wide, and its activations have two bytes."""
    return Suggestion(f"mlx-community/{name}", ModelFacts(
        tensor_bytes=int(weights_gb * GB), kv_token_bytes=layers * 2 * kv_heads * 128 * 2, context_length=40_960,
        prefill_token_bytes=(8 * hidden + 4 * inner) * 2, engine="mlx", score_token_bytes=heads * 2, vocabulary=151_936,
        layers=layers))


SUGGESTED = (  # the largest first
    _qwen3("Qwen3-30B-A3B-4bit", 17.2, 48, 2048, 6144, 32, 4),
    _qwen3("Qwen3-14B-4bit", 8.4, 40, 5120, 17_408, 40, 8),
    _qwen3("Qwen3-8B-4bit", 4.7, 36, 4096, 12_288, 32, 8),
    _qwen3("Qwen3-4B-4bit", 2.3, 36, 2560, 9728, 32, 8),
    _qwen3("Qwen3-1.7B-4bit", 1.0, 28, 2048, 6144, 16, 8),
    _qwen3("Qwen3-0.6B-4bit", 0.4, 28, 1024, 3072, 16, 8),
)


def choose_suggestion(ceiling: Ceiling) -> Suggestion | None:
    """The largest that leaves a quarter of the budget free; None if none does."""
    return next((each for each in SUGGESTED if _needs(each) * 100 <= ceiling.bytes * COMFORTABLE_PERCENT), None)


def add_a_model(ceiling: Ceiling, warden: str, *, own: bool = False) -> list[str]:
    """For somebody who is served the built-in model only. `warden`: how the command is called; `own`: models of his
    were found and proposed.
    """
    lines = ["The built-in model, guide, answers questions about mlx-warden and nothing else."]
    if own:
        return [*lines, f"To serve your own: {warden} init --yes && {warden} down && {warden} up"]
    chosen = choose_suggestion(ceiling)
    if chosen is None:
        return [*lines, f"No model of a useful size fits the {size(ceiling.bytes)} that models may have here "
                        f"({ceiling.why})."]
    return [*lines, f"To add a real model ({chosen.facts.tensor_bytes / GB:.1f} GB to fetch; it needs "
                    f"{size(_needs(chosen))} of the {size(ceiling.bytes)} for models):",
            f"  {warden} pull {chosen.repository}", f"  {warden} run {chosen.repository}"]


def where_lines(url: str, endpoint: str, config: "Config", warden: str) -> list[str]:
    """The addresses, the model and what to do next, in two columns."""
    more = len([model for model in config.models if model.audience == "all"]) - 1
    model = f"{config.default.name}, when a request names none" + (f"; {more} more: {warden} ls" if more > 0 else "")
    rows = [("dashboard", f"{url}/"), ("chat", f"{url}/chat"), ("over ZeroMQ", endpoint), ("model", model),
            ("next", f"{warden} run; also: clients, ps, logs -f, doctor")]
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {text}" for name, text in rows]


def warden_as_called(argv_0: str) -> str:
    """`warden` as a person in this shell must write it: by name if it is found, else by path."""
    folder = Path(argv_0).parent if Path(argv_0).name == "warden" else None
    if folder is None or shutil.which("warden") == str(folder.absolute() / "warden"):
        return "warden"
    return shlex.quote(str(folder / "warden"))


def _needs(suggestion: Suggestion) -> int:
    return make_plan(suggestion.facts, batch=1, context=0, memory_bytes=0, profile=None, shrink=0,
                     room_bytes=None).share_bytes
