"""Makes a small language model with random weights: Llama architecture, float32, its own tokenizer.

What it is for: tests and benches need a model of a chosen size that mlx_lm loads like any other, without a network.
What it answers is gibberish, and greedy it repeats itself; that is the nature of random weights.

Guarantees:
1. The same size and seed give the same weights; the tokenizer does not depend on the seed.
2. The directory appears complete or not at all (built beside it, then renamed). One that is already there is kept if
   it was made by the same recipe, and refused otherwise: nothing is ever overwritten.
3. An answer never ends by chance and contains no special token (their logits are pushed down), so that a test gets
   as many tokens as it asked for.

Two families: "plain", and "agent" (`random_agent`), which has tokens for reasoning, calls and fill in the middle, a
template that knows them, and says them where a request asks for it.

The files themselves are written by `model_files`. `python -m workers.random_model DIR --size 1m --family agent`.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from tokenizers import AddedToken, Tokenizer

from workers.model_files import END, SPECIAL, Shape, llama_config, train_tokenizer, write_model
from workers.random_agent import ADDED, AGENT_TEMPLATE, habits

Size = Literal["1m", "26m"]
Family = Literal["plain", "agent"]
RECIPE = 1  # raise it when the same size and seed would no longer give the same files
CONTEXT_TOKENS = 4096
VOCABULARY_MAX = 1024
ROLES = ("system", "user", "assistant", "tool", "developer")
WEIGHT_STD = 0.05
SPECIAL_PUSH = -1000.0
HABIT_PULL = 2000.0

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] not in " + repr(list(ROLES)) + " %}"
    "{{ raise_exception('unknown role ' ~ message['role']) }}{% endif %}"
    "<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


SHAPES: dict[Size, Shape] = {
    "1m": Shape(hidden=128, layers=4, heads=4, kv_heads=2, intermediate=384),
    "26m": Shape(hidden=512, layers=8, heads=8, kv_heads=4, intermediate=1536),
}

# The tokenizer learns its merges from these lines. Words of the field, so that prompts of tests are not all bytes, and
# a little of other scripts, so that some characters are one token, some several, and some tokens end inside one.
SENTENCES = """\
One machine, several language models, many callers. Unified memory is the scarce thing.
A model that is answering or loading is never terminated to make room for another one.
The gateway admits by priority, queues, dispatches, and fans the tokens out to the callers.
Control decides what is loaded and what is evicted; the workers decide when they are ready.
A worker is born empty and dies to give its memory back to the system at once.
Three chats and five tasks at once: three chats and two tasks run, three tasks wait.
The answer streams token by token, and a slow reader never slows the other streams down.
What is the capital of France? The capital of France is Paris, a city on the river Seine.
Write a short story about a lighthouse keeper who learns to talk to the passing ships.
Explain how a queue works, step by step, as if you were talking to a child of ten years.
Please summarise the following text in two sentences and give it a friendly title.
The user asks a question and the assistant answers; the system message sets the tone.
She sells sea shells by the sea shore, and the shells she sells are sea shells for sure.
The quick brown fox jumps over the lazy dog while the other animals are watching them.
def answer(question: str) -> str: return "the same question gives the same answer"
for token in tokens: print(token, end=" ")  # then a new line, some tabs, and numbers: 0 1 2 3 10 42 100 2048
{"model": "random", "messages": [{"role": "user", "content": "hello"}], "stream": true}
Eine Maschine, viele Modelle: Größe, Übermut, Äpfel, Straße und schöne Grüße aus München.
Où est la bibliothèque ? Le garçon a déjà mangé, et voilà l'été à la plage.
El niño comió piñas mañana por la mañana; ¿dónde está la estación, señor?
Быстрая лисица прыгает через ленивую собаку, и модель отвечает на вопрос.
语言模型回答问题。一台机器,许多模型。内存是稀缺的东西。
言語モデルは質問に答えます。今日はいい天気ですね。
언어 모델이 질문에 대답합니다. 오늘은 날씨가 좋습니다.
النموذج يجيب على السؤال، والذاكرة محدودة. שלום לכולם.
Ελληνικά: το μοντέλο απαντά στην ερώτηση. नमस्ते दुनिया, यह एक मॉडल है।
😀 😃 😄 🚀 🎉 👍🏽 👩‍👩‍👧‍👦 🇫🇷 🇩🇪 ❤️ ✅ → ← ∑ ∞ ≤ ≥ é ñ ö
"""


def make_tokenizer(family: Family = "plain") -> Tokenizer:
    """At most VOCABULARY_MAX tokens, and those that the family adds; see `model_files.train_tokenizer`."""
    tokenizer = train_tokenizer(SENTENCES.splitlines(keepends=True), VOCABULARY_MAX)
    if family == "agent":
        tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in ADDED])
    return tokenizer


def make_weights(shape: Shape, vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    """Float32 tensors under the names of a Llama checkpoint, normally distributed, norms at one."""
    draw = np.random.Generator(np.random.PCG64(seed))

    def matrix(rows: int, columns: int) -> np.ndarray:
        return draw.standard_normal((rows, columns), dtype=np.float32) * np.float32(WEIGHT_STD)

    hidden, kv_width = shape.hidden, shape.hidden // shape.heads * shape.kv_heads
    weights = {
        "model.embed_tokens.weight": matrix(vocabulary, hidden),
        "model.norm.weight": np.ones(hidden, np.float32),
        "lm_head.weight": matrix(vocabulary, hidden),
    }
    for layer in range(shape.layers):
        name = f"model.layers.{layer}"
        weights |= {
            f"{name}.input_layernorm.weight": np.ones(hidden, np.float32),
            f"{name}.post_attention_layernorm.weight": np.ones(hidden, np.float32),
            f"{name}.self_attn.q_proj.weight": matrix(hidden, hidden),
            f"{name}.self_attn.k_proj.weight": matrix(kv_width, hidden),
            f"{name}.self_attn.v_proj.weight": matrix(kv_width, hidden),
            f"{name}.self_attn.o_proj.weight": matrix(hidden, hidden),
            f"{name}.mlp.gate_proj.weight": matrix(shape.intermediate, hidden),
            f"{name}.mlp.up_proj.weight": matrix(shape.intermediate, hidden),
            f"{name}.mlp.down_proj.weight": matrix(hidden, shape.intermediate),
        }
    _silence(weights, list(range(len(SPECIAL))))
    return weights


def _keep_out(weights: dict[str, np.ndarray], first: int, above: int) -> None:
    """The coordinates of the hidden state from `first` to below `above` stay what they are in the embedding."""
    for name, tensor in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            tensor[first:above, :] = 0
    weights["model.embed_tokens.weight"][:, first:above] = 0
    weights["lm_head.weight"][:, first:above] = 0


def _silence(weights: dict[str, np.ndarray], ids: list[int]) -> None:
    """One coordinate of the hidden state stays positive for every input; only the tokens `ids` look at it."""
    _keep_out(weights, 0, 1)
    weights["model.embed_tokens.weight"][:, 0] = 1
    weights["lm_head.weight"][ids, 0] = SPECIAL_PUSH


def _teach_habits(weights: dict[str, np.ndarray], pairs: list[tuple[int, int]]) -> None:
    """Each pair has a coordinate that only its first token has, and only its second token looks at."""
    _keep_out(weights, 1, 1 + len(pairs))
    for coordinate, (before, after) in enumerate(pairs, start=1):
        weights["model.embed_tokens.weight"][before, coordinate] = 1
        weights["lm_head.weight"][after, coordinate] = HABIT_PULL


def make_model(directory: Path, size: Size, seed: int = 0, family: Family = "plain") -> Path:
    """Build the model at `directory` and return it. Parents are made.

    Raises FileExistsError if something else stands at `directory`, ValueError for an unknown size or family.
    """
    if size not in SHAPES:
        raise ValueError(f"size: {size!r} is not one of {', '.join(SHAPES)}")
    if family not in get_args(Family):
        raise ValueError(f"family: {family!r} is not one of {', '.join(get_args(Family))}")
    directory = Path(directory).absolute()
    if directory.exists():
        return _kept(directory, size, seed, family)
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        _write_files(building, size, seed, family)
        building.chmod(0o755)
        try:
            building.rename(directory)
        except OSError:  # somebody made it at the same moment
            return _kept(directory, size, seed, family)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return directory


def _write_files(directory: Path, size: Size, seed: int, family: Family) -> None:
    tokenizer = make_tokenizer(family)
    vocabulary = tokenizer.get_vocab_size()
    weights = make_weights(SHAPES[size], vocabulary, seed)
    if family == "agent":
        _silence(weights, [tokenizer.token_to_id(text) for text in (*SPECIAL, *ADDED)])
        _teach_habits(weights, [(tokenizer.token_to_id(before), tokenizer.token_to_id(after))
                                for before, after in habits(END)])
    config = llama_config(SHAPES[size], vocabulary, CONTEXT_TOKENS, tied=False,
                          made_by={"random_model": _recipe(size, seed, family)})
    write_model(directory, config, weights, tokenizer, AGENT_TEMPLATE if family == "agent" else CHAT_TEMPLATE)


def _recipe(size: Size, seed: int, family: Family) -> dict:
    """What made it. The family "plain" is not named: its directories are older than the name."""
    return {"recipe": RECIPE, "size": size, "seed": seed} | ({} if family == "plain" else {"family": family})


def _kept(directory: Path, size: Size, seed: int, family: Family) -> Path:
    try:
        found = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("random_model")
    except (OSError, ValueError):
        found = None
    if found != _recipe(size, seed, family):
        raise FileExistsError(
            f"{directory} exists and is not the random model {size} with seed {seed} of the family {family}; "
            "remove it or choose another place"
        )
    return directory


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.random_model", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--size", choices=list(SHAPES), default="1m")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", choices=get_args(Family), default="plain")
    arguments = parser.parse_args()
    try:
        print(make_model(arguments.directory, arguments.size, arguments.seed, arguments.family))
    except (OSError, ValueError) as error:
        raise SystemExit(f"random_model: {error}") from None


if __name__ == "__main__":
    main()
