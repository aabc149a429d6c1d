"""When there are numbers on PyTorch, in which precision, and what its errors mean."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from keras.src.backend.torch.core import device_scope
from torch._subclasses import FakeTensorMode

from keras_curvature.engines.torch import compilation


def test_where_there_are_numbers():
    x = torch.ones(2)
    assert compilation.is_eager()
    assert compilation.is_eager({"x": [x, None], "n": 1})
    seen = []

    def look(x):
        seen.append(compilation.is_eager(x))
        return x.sum()

    torch.func.grad(look)(x)
    torch.vmap(look)(x)
    torch.compile(look, backend="eager")(x)
    assert seen == [True, False, False]


@pytest.mark.parametrize(
    "traced", [lambda: device_scope("meta"), FakeTensorMode], ids=["by Keras", "by PyTorch"]
)
def test_outside_of_a_trace_there_are_numbers(traced):
    with traced():
        assert not compilation.is_eager()
        with pytest.raises(ValueError, match="`f` must be called eagerly"):
            compilation.require_eager("f")
        with compilation.outside():
            compilation.require_eager("f")
            assert keras.ops.convert_to_tensor([1.0]).tolist() == [1]
        assert not compilation.is_eager()


def test_outside_of_an_export_there_are_numbers():
    seen = []

    class Look(torch.nn.Module):
        def forward(self, x):
            seen.append(compilation.is_eager())
            with compilation.outside():
                seen.append(compilation.is_eager())
            return x + 1

    torch.export.export(Look(), (torch.ones(2),), strict=False)
    assert seen[:2] == [False, True]


def test_what_is_not_converted_has_numbers_in_compiled_code():
    seen = []

    @compilation.not_converted
    def inner(x):
        seen.append(compilation.is_eager(x))
        return x * float(x.detach().sum())

    compiled = torch.compile(lambda x: inner(x + 1) + 1, backend="eager")
    x = torch.ones(2, requires_grad=True)
    found = compiled(x)
    assert found.tolist() == [9, 9]
    assert torch.autograd.grad(found.sum(), x)[0].tolist() == [4, 4]
    assert seen == [True]


def test_nothing_is_computed_in_less_than_is_said():
    a = torch.eye(2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        with compilation.computing_in("float32"):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16


def test_results_can_be_differentiated_by():
    with torch.inference_mode():
        with compilation.computing_in("float64"):
            assert not torch.ones(1).is_inference()
        assert torch.ones(1).is_inference()


def test_a_cpu_that_runs_out_of_memory():
    with pytest.raises(compilation.OUT_OF_MEMORY) as caught:
        torch.empty(2**50)
    assert type(caught.value) is RuntimeError
    assert compilation.ran_out(caught.value)
    said = compilation.saying("Too much", caught.value)
    assert isinstance(said, compilation.OUT_OF_MEMORY)
    assert str(said).startswith("Too much: ")
    assert compilation.ran_out(torch.OutOfMemoryError("CUDA out of memory"))
    assert compilation.ran_out(MemoryError())


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.ones(2) @ torch.ones(3),
        lambda: torch.nn.functional.embedding(torch.tensor([7]), torch.ones(2, 2)),
        lambda: keras.layers.Dense(1)(np.float32(1)),
        lambda: torch.relu("text"),
    ],
    ids=["shapes", "an index", "Keras's own", "no tensor"],
)
def test_refusals_are_not_of_memory(call):
    with pytest.raises(compilation.REFUSALS) as caught:
        call()
    assert not compilation.ran_out(caught.value)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_layer_may_update_a_metric(compiled):
    assert compilation.LAYERS_HAVE_METRICS

    class Watched(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.mean = keras.metrics.Mean(name="mean")
            self.dense = keras.layers.Dense(1)

        def call(self, x, training=None):
            if training:
                self.mean.update_state(keras.ops.mean(x))
            return self.dense(x)

    inputs = keras.Input((3,))
    model = keras.Model(inputs, Watched()(inputs))
    model.compile("sgd", "mse", jit_compile=compiled)
    history = model.fit(np.full((8, 3), 2.0), np.ones((8, 1)), epochs=2, verbose=0).history
    np.testing.assert_allclose(history["mean"], 2, rtol=1e-6)
