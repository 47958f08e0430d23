"""The numpy Llama computes what mlx_lm's Llama computes, and its gradients are those of MLX's autodiff."""

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models.llama import Model, ModelArgs

from workers.guide.llama import initial_weights, logits, loss_and_gradients
from workers.model_files import Shape, llama_config

SHAPE = Shape(hidden=16, layers=2, heads=2, kv_heads=2, intermediate=24)
VOCABULARY = 29


def mlx_model(weights):
    config = llama_config(SHAPE, VOCABULARY, 64, tied=True, made_by={})
    model = Model(ModelArgs.from_dict(config))
    model.load_weights([(name, mx.array(tensor)) for name, tensor in weights.items()])
    return model


def some_case():
    draw = np.random.Generator(np.random.PCG64(7))
    weights = {name: tensor * (1 if tensor.ndim == 1 else 8) + (tensor.ndim == 1) * draw.normal(size=tensor.shape) * 0.1
               for name, tensor in initial_weights(SHAPE, VOCABULARY, draw).items()}
    weights = {name: tensor.astype(np.float32) for name, tensor in weights.items()}
    tokens = draw.integers(0, VOCABULARY, (3, 9))
    counts = draw.random((3, 8)).astype(np.float32)
    counts[1, 5:] = 0
    return weights, tokens, counts


def test_logits_are_those_of_mlx_lm():
    weights, tokens, _ = some_case()
    expected = np.array(mlx_model(weights)(mx.array(tokens)))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(logits(weights, SHAPE, tokens), expected, atol=1e-5, rtol=1e-4)


def test_loss_and_every_gradient_are_those_of_autodiff():
    weights, tokens, counts = some_case()
    model = mlx_model(weights)

    def loss_of(model):
        each = nn.losses.cross_entropy(model(mx.array(tokens[:, :-1])), mx.array(tokens[:, 1:]))
        return (each * mx.array(counts)).sum()

    expected_loss, expected = nn.value_and_grad(model, loss_of)(model)
    loss, gradients = loss_and_gradients(weights, SHAPE, tokens, counts)
    np.testing.assert_allclose(loss, expected_loss.item(), rtol=1e-5)
    expected = {name: np.array(gradient) for name, gradient in tree_flatten(expected)}
    assert gradients.keys() == expected.keys() == weights.keys()
    for name, gradient in gradients.items():
        assert np.abs(expected[name]).max() > 1e-4, name
        np.testing.assert_allclose(gradient, expected[name], atol=2e-5, rtol=1e-3, err_msg=name)


def test_gradients_of_parts_of_a_batch_add_up():
    weights, tokens, counts = some_case()
    _, whole = loss_and_gradients(weights, SHAPE, tokens, counts)
    parts = [loss_and_gradients(weights, SHAPE, tokens[part], counts[part])[1] for part in (slice(0, 1), slice(1, 3))]
    for name, gradient in whole.items():
        np.testing.assert_allclose(parts[0][name] + parts[1][name], gradient, atol=1e-5, rtol=1e-3, err_msg=name)
