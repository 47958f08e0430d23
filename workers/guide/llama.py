"""A small Llama in numpy, forwards and backwards: what it computes, and how its loss changes with each weight.

Why not MLX: its CPU build multiplies matrices about forty times slower than numpy's BLAS (4 against 160 GFLOP/s on the
machine this was written on): twenty minutes against half a day. The test beside this file compares logits and all
gradients with mlx_lm's own Llama, so that what is trained here is what mlx_lm runs.

Arrays in, arrays out; randomness comes as an argument. Weights are a dict under the names of a Llama checkpoint,
float32, matrices (out, in); the output layer is the embedding, each head has its own keys and values. B sequences of
T tokens, width W, H heads of D.
"""

from typing import NamedTuple

import numpy as np

from workers.model_files import NORM_EPSILON, ROPE_BASE, Shape

Weights = dict[str, np.ndarray]

INITIAL_STD = 0.02
MASKED = np.float32(-1e9)
EMBEDDING, NORM = "model.embed_tokens.weight", "model.norm.weight"


def initial_weights(shape: Shape, vocabulary: int, draw: np.random.Generator) -> Weights:
    """Normal weights, smaller where a layer adds to the residual stream; norms at one."""

    def matrix(rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
        return draw.standard_normal((rows, columns), dtype=np.float32) * np.float32(INITIAL_STD * scale)

    hidden, adds = shape.hidden, (2 * shape.layers) ** -0.5
    weights = {EMBEDDING: matrix(vocabulary, hidden), NORM: np.ones(hidden, np.float32)}
    for layer in range(shape.layers):
        weights |= {f"model.layers.{layer}.{name}.weight": tensor for name, tensor in {
            "input_layernorm": np.ones(hidden, np.float32),
            "self_attn.q_proj": matrix(hidden, hidden),
            "self_attn.k_proj": matrix(hidden, hidden),
            "self_attn.v_proj": matrix(hidden, hidden),
            "self_attn.o_proj": matrix(hidden, hidden, adds),
            "post_attention_layernorm": np.ones(hidden, np.float32),
            "mlp.gate_proj": matrix(shape.intermediate, hidden),
            "mlp.up_proj": matrix(shape.intermediate, hidden),
            "mlp.down_proj": matrix(hidden, shape.intermediate, adds),
        }.items()}
    return weights


def logits(weights: Weights, shape: Shape, tokens: np.ndarray) -> np.ndarray:
    """(B, T) token ids to (B, T, vocabulary)."""
    return _forwards(weights, shape, tokens)[0]


def loss_and_gradients(weights: Weights, shape: Shape, tokens: np.ndarray, counts: np.ndarray) -> tuple[float, Weights]:
    """Cross entropy of each next token, summed with the weights `counts`, and its gradient by every weight.

    tokens: (B, T) ids, padded at the end. counts: (B, T - 1), how much the prediction of tokens[:, t + 1] counts.
    Both results are sums, so that those of parts of a batch can be added.
    """
    inputs, wanted = tokens[:, :-1], tokens[:, 1:]
    scores, final, kept = _forwards(weights, shape, inputs)
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    chosen = np.take_along_axis(scores, wanted[..., None], -1)[..., 0]
    loss = float(-(np.log(chosen + 1e-20) * counts).sum())
    np.put_along_axis(scores, wanted[..., None], (chosen - 1)[..., None], -1)
    scores *= counts[..., None]  # now the gradient by the logits

    gradients: Weights = {EMBEDDING: _outer(scores, final.output)}
    down = scores @ weights[EMBEDDING]
    down, gradients[NORM] = _norm_back(down, final, weights[NORM])
    for layer in reversed(range(shape.layers)):
        down = _layer_back(weights, f"model.layers.{layer}", shape, kept[layer], down, gradients)
    np.add.at(gradients[EMBEDDING], inputs, down)
    return loss, gradients


class _Normed(NamedTuple):
    input: np.ndarray
    scale: np.ndarray  # one over the root of the mean square
    output: np.ndarray


class _Layer(NamedTuple):
    """What the way back needs of one layer."""

    first: _Normed
    q: np.ndarray  # (B, H, T, D), rotated; so is k
    k: np.ndarray
    v: np.ndarray
    shares: np.ndarray  # (B, H, T, T) after the softmax
    mixed: np.ndarray  # (B, T, W)
    second: _Normed
    gate: np.ndarray
    open: np.ndarray  # sigmoid of gate
    up: np.ndarray


def _forwards(weights: Weights, shape: Shape, tokens: np.ndarray) -> tuple[np.ndarray, _Normed, list[_Layer]]:
    x = weights[EMBEDDING][tokens]
    length = tokens.shape[1]
    turns = _turns(length, shape.hidden // shape.heads)
    hidden_from = np.triu(np.full((length, length), MASKED, np.float32), 1)
    kept = []
    for layer in range(shape.layers):
        x, seen = _layer(weights, f"model.layers.{layer}", shape, x, turns, hidden_from)
        kept.append(seen)
    final = _norm(x, weights[NORM])
    return final.output @ weights[EMBEDDING].T, final, kept


def _layer(weights: Weights, name: str, shape: Shape, x: np.ndarray, turns: tuple[np.ndarray, np.ndarray],
           hidden_from: np.ndarray) -> tuple[np.ndarray, _Layer]:
    first = _norm(x, weights[f"{name}.input_layernorm.weight"])
    q, k, v = (_split(first.output @ weights[f"{name}.self_attn.{each}_proj.weight"].T, shape.heads) for each in "qkv")
    q, k = _rotate(q, *turns), _rotate(k, *turns)
    shares = q @ k.swapaxes(-1, -2)
    shares *= np.float32(q.shape[-1] ** -0.5)
    shares += hidden_from
    shares -= shares.max(-1, keepdims=True)
    np.exp(shares, out=shares)
    shares /= shares.sum(-1, keepdims=True)
    mixed = _join(shares @ v)
    x = x + mixed @ weights[f"{name}.self_attn.o_proj.weight"].T
    second = _norm(x, weights[f"{name}.post_attention_layernorm.weight"])
    gate = second.output @ weights[f"{name}.mlp.gate_proj.weight"].T
    up = second.output @ weights[f"{name}.mlp.up_proj.weight"].T
    opened = 1 / (1 + np.exp(-gate))
    x = x + (gate * opened * up) @ weights[f"{name}.mlp.down_proj.weight"].T
    return x, _Layer(first, q, k, v, shares, mixed, second, gate, opened, up)


def _layer_back(weights: Weights, name: str, shape: Shape, kept: _Layer, down: np.ndarray,
                gradients: Weights) -> np.ndarray:
    """From the gradient by the layer's output to that by its input; the layer's own are put into `gradients`."""

    def through(part: str, gradient: np.ndarray, given: np.ndarray) -> np.ndarray:
        gradients[f"{name}.{part}.weight"] = _outer(gradient, given)
        return gradient @ weights[f"{name}.{part}.weight"]

    swish = kept.gate * kept.open
    inner = through("mlp.down_proj", down, swish * kept.up)
    by_gate = inner * kept.up * (kept.open + swish * (1 - kept.open))
    by_second = through("mlp.gate_proj", by_gate, kept.second.output)
    by_second += through("mlp.up_proj", inner * swish, kept.second.output)
    part = f"{name}.post_attention_layernorm.weight"
    by_second, gradients[part] = _norm_back(by_second, kept.second, weights[part])
    down = down + by_second

    mixed = _split(through("self_attn.o_proj", down, kept.mixed), shape.heads)
    by_v = kept.shares.swapaxes(-1, -2) @ mixed
    by_shares = mixed @ kept.v.swapaxes(-1, -2)
    by_shares -= (by_shares * kept.shares).sum(-1, keepdims=True)
    by_shares *= kept.shares
    by_shares *= np.float32(kept.q.shape[-1] ** -0.5)
    cosine, sine = _turns(down.shape[1], kept.q.shape[-1])
    by_q = _rotate(by_shares @ kept.k, cosine, -sine)
    by_k = _rotate(by_shares.swapaxes(-1, -2) @ kept.q, cosine, -sine)
    by_first = through("self_attn.q_proj", _join(by_q), kept.first.output)
    by_first += through("self_attn.k_proj", _join(by_k), kept.first.output)
    by_first += through("self_attn.v_proj", _join(by_v), kept.first.output)
    part = f"{name}.input_layernorm.weight"
    by_first, gradients[part] = _norm_back(by_first, kept.first, weights[part])
    return down + by_first


def _norm(x: np.ndarray, gain: np.ndarray) -> _Normed:
    scale = 1 / np.sqrt(np.einsum("btw,btw->bt", x, x)[..., None] / np.float32(x.shape[-1]) + np.float32(NORM_EPSILON))
    return _Normed(x, scale, x * scale * gain)


def _norm_back(down: np.ndarray, kept: _Normed, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    unit = kept.input * kept.scale
    by_gain = np.einsum("btw,btw->w", down, unit)
    by_unit = down * gain
    by_unit -= unit * (np.einsum("btw,btw->bt", by_unit, unit)[..., None] / np.float32(unit.shape[-1]))
    by_unit *= kept.scale
    return by_unit, by_gain


def _turns(length: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of the angle of each position and pair, (T, D / 2); the pairs are (i, i + D / 2)."""
    angles = np.outer(np.arange(length), ROPE_BASE ** (-np.arange(0, width, 2) / width))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _rotate(x: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    left, right = np.split(x, 2, axis=-1)
    return np.concatenate([left * cosine - right * sine, left * sine + right * cosine], axis=-1)


def _split(x: np.ndarray, heads: int) -> np.ndarray:
    """(B, T, W) to (B, H, T, D)."""
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def _join(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.swapaxes(1, 2)).reshape(x.shape[0], x.shape[2], -1)


def _outer(gradient: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The gradient by a matrix: (B, T, out) and (B, T, in) to (out, in)."""
    return gradient.reshape(-1, gradient.shape[-1]).T @ given.reshape(-1, given.shape[-1])
