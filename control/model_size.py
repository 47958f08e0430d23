"""What a model's files say about the memory it will take: the headers of its weights, and its config.json.

Of the weights only the headers are read: eight bytes of length and that much JSON, which names each tensor, its type,
its shape and where it lies. A header that contradicts itself or its file is refused, since a budget made from it would
be worth nothing; so is a model whose config.json does not even say how wide and deep it is.

Counted are all tensors of every `model*.safetensors`, since mlx_lm loads them all; one that is in two files counts
once. Where something is not known the guess goes upwards:
- 8-bit floats count twice: mlx_lm turns some of them into 16 bits when it loads them.
- Layers with a sliding window, and recurrent ones, count as if they kept every token.
- Attention that keeps a compressed row for all heads (MLA) counts as that row only where mlx_lm is known to keep it so
  (LATENT_KV), else as full keys and values.
- Without a number of KV heads each head has its own; without any heads a token keeps twice its hidden state per layer.
- Weights that mlx_lm throws away (a vision tower, a layer that predicts further tokens) count.

About 1 ms for a small model, 0.2 s for one of 90,000 tensors: who asks often remembers the answer.
"""

import json
import os
import stat
from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import prod
from pathlib import Path

from control.budget import ModelFacts
from control.config import ModelConfig

WEIGHTS = "model*.safetensors"
FILES_MAX = 4096
HEADERS_MAX_BYTES = 100_000_000  # of all files together; the format allows as much for one
LENGTH_BYTES = 8
DIMENSIONS_MAX = 32
CONFIG_MAX_BYTES = 4 * 1024 * 1024
NUMBER_MAX = 2**24  # of anything that config.json counts
TOKEN_MAX_BYTES = 2**34  # of anything that one token takes; with it every sum still fits into a word of the table
CONTEXT_FALLBACK_TOKENS = 4096  # for a model that does not say; these three are held against the workers' by a test
ECHO_CONTEXT_TOKENS = 1_000_000
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}
WIDENED = {"F8_E4M3", "F8_E5M2"}
FLOAT_BYTES = {"F16": 2, "BF16": 2, "F32": 4}  # what activations, and so keys and values, may be
LATENT_KV = {"bailing_moe_v3", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa", "joyai_llm_flash",
             "kimi_k2", "kimi_linear", "longcat_flash", "mistral4"}  # by model_type, as of mlx_lm 0.32.2
HIDDEN_WIDTHS, INNER_WIDTHS = 8, 4  # how many vectors of each kind one layer holds at a time for one token

HIDDEN = ("hidden_size", "n_embd", "d_model", "model_dim", "dim")
LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "num_transformer_layers")
HEADS = ("num_attention_heads", "n_heads", "n_head", "num_heads", "num_query_heads")
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv", "num_global_key_value_heads",
            "swa_num_key_value_heads", "num_swa_key_value_heads")
HEAD_WIDTHS = ("head_dim", "global_head_dim", "attention_head_dim", "v_head_dim", "swa_head_dim")
INNER = ("intermediate_size", "ffn_hidden_size", "n_inner", "hidden_dim", "intermediate_dim")


class SizeUnknown(Exception):
    """The files do not say how large the model is; one line with file, problem and remedy."""

    def __init__(self, file: Path, problem: str, remedy: str = "fetch the model again") -> None:
        super().__init__(f"{file}: {problem}; {remedy}")


def read_facts(model: ModelConfig) -> ModelFacts:
    """What the files of this model say. The echo engine has none and keeps nothing.

    Raises:
        SizeUnknown: a file is missing, damaged or says too little.
    """
    if model.engine == "echo":
        return ModelFacts(0, 0, model.context_length or ECHO_CONTEXT_TOKENS, 0, model.engine)
    place = Path(model.path)
    tensors: dict[str, tuple[str, int]] = {}  # type and bytes by name
    left_bytes = HEADERS_MAX_BYTES
    for file in _weight_files(place):
        found, header_bytes = _read_header(file, left_bytes)
        left_bytes -= header_bytes
        tensors |= found
    counted = sum(size * (2 if kind in WIDENED else 1) for kind, size in tensors.values())
    config = _read_config(place / "config.json")
    return _facts(place / "config.json", config, counted, _activation_bytes(tensors.values()), model.engine)


# -- weights -------------------------------------------------------------------------------------------------


def _weight_files(place: Path) -> list[Path]:
    files = sorted(place.glob(WEIGHTS))
    if not files:
        raise SizeUnknown(place, f"holds no {WEIGHTS}", "correct the model's path, or fetch the model again")
    if len(files) > FILES_MAX:
        raise SizeUnknown(place, f"holds {len(files)} {WEIGHTS}; the limit is {FILES_MAX}", "correct the model's path")
    return files


def _read_header(file: Path, limit_bytes: int) -> tuple[dict[str, tuple[str, int]], int]:
    """Type and bytes of each tensor of this file, and the bytes of the header. Raises SizeUnknown."""
    try:
        # A named pipe would let this process wait for ever, so it is not even opened to be read.
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            facts = os.fstat(stream.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise SizeUnknown(file, "is no file", "correct the model's path")
            length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
            data_bytes = facts.st_size - LENGTH_BYTES - length
            if length > limit_bytes or data_bytes < 0:
                allowed = min(limit_bytes, max(0, facts.st_size - LENGTH_BYTES))
                raise SizeUnknown(file, f"its header should have {length} bytes, and {allowed} are the limit here")
            header = json.loads(stream.read(length))
    except OSError as error:
        raise SizeUnknown(file, f"cannot be read ({error.strerror})", "mend that, or fetch the model again") from None
    except (ValueError, RecursionError):
        raise SizeUnknown(file, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise SizeUnknown(file, "its header is not a JSON object")
    header.pop("__metadata__", None)
    return _check_tensors(file, header, data_bytes), length


def _check_tensors(file: Path, header: dict, data_bytes: int) -> dict[str, tuple[str, int]]:
    found, spans = {}, []
    for name, entry in header.items():
        problem = _problem_of(entry, data_bytes)
        if problem:
            raise SizeUnknown(file, f"{problem} (tensor {name[:80]!r})")
        begin, end = entry["data_offsets"]
        found[name] = entry["dtype"], end - begin
        spans.append((begin, end))
    spans.sort()
    if any(later[0] < earlier[1] for earlier, later in pairwise(spans)):
        raise SizeUnknown(file, "its tensors overlap")
    return found


def _problem_of(entry: object, data_bytes: int) -> str:
    """What is wrong with one entry of a header, "" if nothing is."""
    if not isinstance(entry, dict):
        return "its header is damaged"
    kind, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not (isinstance(kind, str) and _are_counts(shape) and _are_counts(offsets) and len(offsets) == 2):
        return "its header is damaged"
    begin, end = offsets
    if not begin <= end <= data_bytes:
        return f"a tensor lies outside of the file: bytes {begin} to {end} of {data_bytes}"
    bits = BITS.get(kind)
    if bits is not None and (end - begin) * 8 != prod(shape) * bits:
        return f"{end - begin} bytes are not what {kind} x {shape} takes"
    return ""


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and len(value) <= DIMENSIONS_MAX and all(
        type(each) is int and 0 <= each < 2**63 for each in value)


def _activation_bytes(tensors: Iterable[tuple[str, int]]) -> int:
    """Bytes of one number of the activations: of the float type that most of the weights have, the larger of equals."""
    totals = dict.fromkeys(FLOAT_BYTES, 0)
    for kind, size in tensors:
        if kind in totals:
            totals[kind] += size
    kind = max(totals, key=lambda each: (totals[each], FLOAT_BYTES[each]))
    return FLOAT_BYTES[kind]


# -- config.json ---------------------------------------------------------------------------------------------


def _read_config(file: Path) -> dict:
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            data = stream.read(CONFIG_MAX_BYTES + 1)
        config = json.loads(data) if len(data) <= CONFIG_MAX_BYTES else None
    except OSError as error:
        raise SizeUnknown(file, f"cannot be read ({error.strerror})", "mend that, or fetch the model again") from None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise SizeUnknown(file, f"is not a JSON object of at most {CONFIG_MAX_BYTES} bytes")
    return config


class _Shape:
    """Numbers of config.json by any of their names; those of `text_config` count as much as those outside of it."""

    def __init__(self, config: dict) -> None:
        inner = config.get("text_config")
        self.parts = (config, inner) if isinstance(inner, dict) else (config,)

    def numbers(self, names: tuple[str, ...]) -> Iterator[int]:
        """Everything said under these names that is above 0; a list (one number per layer) counts as its largest."""
        for name in names:
            for part in self.parts:
                said = part.get(name)
                for number in said if isinstance(said, list) else (said,):
                    if type(number) is int and 0 < number < NUMBER_MAX:
                        yield number

    def most(self, *names: str) -> int:
        return max(self.numbers(names), default=0)


def _facts(file: Path, config: dict, tensor_bytes: int, number_bytes: int, engine: str) -> ModelFacts:
    shape = _Shape(config)
    hidden, layers, heads = (shape.most(*names) for names in (HIDDEN, LAYERS, HEADS))
    if not hidden or not layers:
        lacking = "how wide a token is (hidden_size)" if not hidden else "how many layers there are (num_hidden_layers)"
        raise SizeUnknown(file, f"does not say {lacking}", "add it, or use a model that mlx_lm can load")
    experts = shape.most("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "top_k_experts")
    experts += shape.most("n_shared_experts", "num_shared_experts")
    inner = max(hidden, shape.most(*INNER), experts * shape.most("moe_intermediate_size", "expert_hidden_dim"))
    facts = ModelFacts(
        tensor_bytes=tensor_bytes,
        kv_token_bytes=layers * _kv_numbers(shape, hidden, heads) * number_bytes,
        context_length=_context_length(shape),
        prefill_token_bytes=(HIDDEN_WIDTHS * hidden + INNER_WIDTHS * inner) * number_bytes,
        engine=engine,
        score_token_bytes=max(heads, 1) * number_bytes,
        vocabulary=shape.most("vocab_size"),
        layers=layers,
    )
    if max(facts.kv_token_bytes, facts.prefill_token_bytes) > TOKEN_MAX_BYTES:
        raise SizeUnknown(file, f"by its numbers one token takes more than {TOKEN_MAX_BYTES} bytes", "correct them")
    return facts


def _context_length(shape: _Shape) -> int:
    """As in the worker: the first name that is there, in config.json itself before its text_config."""
    said = (part[name] for part in shape.parts for name in CONTEXT_NAMES if isinstance(part.get(name), int))
    tokens = next(said, 0)
    return min(tokens, NUMBER_MAX) if tokens > 0 else CONTEXT_FALLBACK_TOKENS


def _kv_numbers(shape: _Shape, hidden: int, heads: int) -> int:
    """How many numbers one layer keeps of one token, keys and values together."""
    latent = shape.most("kv_lora_rank")
    kinds = {kind for part in shape.parts if isinstance(kind := part.get("model_type"), str)}
    if latent and LATENT_KV & kinds:
        return latent + shape.most("qk_rope_head_dim") + 2 * shape.most("index_head_dim")
    if not heads:
        return 2 * hidden
    width = max(shape.most(*HEAD_WIDTHS), shape.most("qk_nope_head_dim") + shape.most("qk_rope_head_dim"))
    if not shape.most("head_dim"):
        width = max(width, -(-hidden // heads))
    return 2 * width * (heads if latent else shape.most(*KV_HEADS) or heads)
