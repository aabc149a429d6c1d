"""Models that look at the numbers that they are given, or draw some."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

import keras_curvature as kc

ENGINES = ("taylor", "nested")

pytestmark = pytest.mark.filterwarnings("ignore:The model gives an example another output")


def by_the_sign(x):
    """`x²` where the first number is positive, else `x³`."""
    return x**2 if x[0, 0] > 0 else x**3


def by_a_number(x):
    """`x` to the power of how many numbers of the first example are positive, and one."""
    return x ** (int((x[0] > 0).sum()) + 1)


def by_an_item(x):
    return x**3 if x.max().gt(0.5).item() else 2 * x**2


def as_long_as_it_takes(x):
    """Doubled until it is above 10."""
    y = x**2
    while y.max() < 10:
        y = 2 * y
    return y


def by_a_place(x):
    """The largest number of all, squared."""
    return x[:, int(x[0].argmax())] ** 2


DECIDING = {
    "if": (by_the_sign, [[0.5]], 2.0, [[-0.5]], -3.0),
    "int": (by_a_number, [[0.5, 0.25]], 3 + 1.5, [[-0.5, 0.25]], 4.0),
    "item": (by_an_item, [[0.75]], 4.5, [[0.25]], 4.0),
    "while": (as_long_as_it_takes, [[3.0]], 4.0, [[1.0]], 32.0),
    "place": (by_a_place, [[2.0, 1.0]], 2.0, [[1.0, 3.0]], 2.0),
}
"""A function, and at two points its Laplacian summed over the outputs."""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("made", ["a function", "a model"])
@pytest.mark.parametrize("case", DECIDING)
def test_what_is_decided_is_decided_anew(case, made, engine):
    function, *known = DECIDING[case]
    if made == "a model":

        class Model(keras.Model):
            def call(self, x):
                return function(x)

        model = Model()
        model(np.array(known[0]))
    else:
        model = function
    for x, laplacian in zip(known[::2] * 2, known[1::2] * 2, strict=True):
        found = kc.laplacian(model, x, engine=engine, dtype="float64")
        assert found.sum().item() == pytest.approx(laplacian, rel=1e-12)


def test_a_decision_inside_of_chunks():
    """Each chunk is given to the model as a batch of its own."""
    x = np.array([[0.5], [0.25], [-0.5], [-0.25]])
    found = kc.laplacian(by_the_sign, x, batch_size=2, dtype="float64")
    np.testing.assert_allclose(found[:, 0], [2, 2, -3, -1.5])


LOST = {
    "item": lambda x: x**2 * x.sum().item(),
    "float": lambda x: x**2 * float(x[0, 0]),
    "tolist": lambda x: x**2 * x.tolist()[0][0],
    "numpy": lambda x: x**2 * x.numpy(),
    "NumPy": lambda x: np.sin(x),
}


@pytest.mark.parametrize("how", LOST)
def test_numbers_that_are_taken_out_are_refused(how):
    with pytest.raises((TypeError, RuntimeError), match="tensor that depends on its inputs"):
        kc.laplacian(LOST[how], [[1.0, 2.0]])


def test_numbers_of_what_depends_on_nothing_may_be_taken_out():
    scale = torch.tensor(3.0)
    found = kc.laplacian(lambda x: scale.item() * x**2 + float(scale.numpy()), [[1.0]])
    assert found.item() == 6


own = torch.Generator()
seeds = keras.random.SeedGenerator(1)

DRAWING = {
    "rand_like": torch.rand_like,
    "randn": lambda x: torch.randn(x.shape),
    "bernoulli_": lambda x: torch.empty_like(x).bernoulli_(0.5),
    "normal_": lambda x: torch.empty_like(x).normal_(),
    "dropout": lambda x: torch.nn.functional.dropout(torch.ones_like(x)),
    "a generator": lambda x: torch.randn(x.shape, generator=own),
    "a generator in place": lambda x: torch.empty_like(x).uniform_(generator=own),
    "keras.random": lambda x: keras.random.normal(x.shape, seed=1),
    "a SeedGenerator": lambda x: keras.random.normal(x.shape, seed=seeds),
}


@pytest.mark.parametrize("how", DRAWING)
def test_what_a_model_draws_is_what_it_would_draw_and_is_still_there(how):
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])

    def begin():
        torch.manual_seed(2)
        own.manual_seed(3)
        seeds.state.assign([1, 0])

    begin()
    noise = DRAWING[how](x)
    begin()
    found = kc.laplacian(lambda x: DRAWING[how](x).to(x) * x**2, x)
    torch.testing.assert_close(found, 2 * noise)
    torch.testing.assert_close(DRAWING[how](x), noise)  # nobody has drawn it
