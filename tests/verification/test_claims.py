"""That claimed derivatives are told right from wrong, by how much, where and in which layer."""

from __future__ import annotations

import importlib
import re
import sys

import keras
import numpy as np
import pytest

import keras_curvature as kc

BACKEND = keras.config.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3))


def filled(x, entries, outputs=1):
    """Arrays of derivatives from `{(output, *inputs): column}`."""
    axes = len(next(iter(entries))) - 1
    found = np.zeros((len(x), outputs, *[x.shape[1]] * axes))
    for place, column in entries.items():
        found[(slice(None), *place)] = column
    return found


def waves(x):
    return np.sin(x[:, :1]) * x[:, 1:2] + np.exp(x[:, 2:])


def hessian_of_waves(x):
    a, b, c = x.T
    cross = np.cos(a)
    return filled(
        x, {(0, 0, 0): -np.sin(a) * b, (0, 0, 1): cross, (0, 1, 0): cross, (0, 2, 2): np.exp(c)}
    )


def gradient_of_waves(x):
    a, b, c = x.T
    return filled(x, {(0, 0): np.cos(a) * b, (0, 1): np.sin(a), (0, 2): np.exp(c)})


def cubes(x):
    return np.sum(x**3, axis=1)


def field(x):
    return np.stack([x[:, 0] * x[:, 1], x[:, 0] ** 2 * x[:, 2], x[:, 2] ** 3], axis=1)


def hessian_of_field(x):
    a, _, c = x.T
    one = np.ones(len(x))
    entries = {(0, 0, 1): one, (0, 1, 0): one, (1, 0, 0): 2 * c, (1, 0, 2): 2 * a}
    return filled(x, entries | {(1, 2, 0): 2 * a, (2, 2, 2): 6 * c}, outputs=3)


def determinant(x):
    return x[:, 0, 0] * x[:, 1, 1] - x[:, 0, 1] * x[:, 1, 0]


def gradient_of_determinant(x):
    return np.stack([[x[:, 1, 1], -x[:, 1, 0]], [-x[:, 0, 1], x[:, 0, 0]]]).transpose(2, 0, 1)


# name: function, points, claims; all by hand
CASES = {
    "one output": (
        waves,
        X,
        {
            "value": waves,
            "gradient": gradient_of_waves,
            "jacobian": lambda x: gradient_of_waves(x)[:, 0],
            "hessian": hessian_of_waves,
            "hessian_diagonal": lambda x: np.einsum("nkii->nki", hessian_of_waves(x)),
            "laplacian": lambda x: np.trace(hessian_of_waves(x), axis1=2, axis2=3),
            "biharmonic": lambda x: np.sin(x[:, :1]) * x[:, 1:2] + np.exp(x[:, 2:]),
            "directional_curvature": lambda x, v: np.einsum(
                "nkij,ni,nj->nk", hessian_of_waves(x), v, v
            ),
            "hessian_vector_product": lambda x, v: np.einsum(
                "nkij,nj->nki", hessian_of_waves(x), v
            ),
            (1,): lambda x: np.sin(x[:, 0]),
            (1, 0): lambda x: np.cos(x[:, 0]),
            (0, 0, 1): lambda x: -np.sin(x[:, :1]),
            (2, 2, 2, 2): lambda x: np.exp(x[:, 2]),
        },
    ),
    "no axis of outputs": (
        cubes,
        X,
        {
            "gradient": lambda x: 3 * x**2,
            "laplacian": lambda x: 6 * x.sum(1),
            (2, 2, 2): np.full(12, 6.0),
        },
    ),
    "several outputs": (
        field,
        X,
        {
            "hessian": hessian_of_field,
            "divergence": lambda x: x[:, 1] + 3 * x[:, 2] ** 2,
            (0, 0): lambda x: hessian_of_field(x)[:, :, 0, 0],
        },
    ),
    "matrices": (determinant, RNG.normal(size=(9, 2, 2)), {"gradient": gradient_of_determinant}),
    "a point at which nothing varies": (cubes, X[:1], {"gradient": lambda x: 3 * x**2}),
}  # fmt: skip

ROWS = [(name, key) for name, (_, _, claims) in CASES.items() for key in claims]


@pytest.mark.parametrize("off", [1.0, 1.01, -1.0])
@pytest.mark.parametrize(("name", "key"), ROWS, ids=lambda part: str(part))
def test_what_is_claimed_is_told_right_from_wrong(name, key, off):
    f, x, claims = CASES[name]
    claim = claims[key]
    array = claim if isinstance(claim, np.ndarray) else None
    scaled = (lambda *given: off * claim(*given)) if array is None else off * array
    found = kc.verify(f, x, claims={key: scaled})
    assert found.ok == (off == 1.0), str(found)
    assert found.complete
    assert found.digits > 14  # NumPy's are rounded once or twice
    (check,) = found.checks
    assert check.judged == check.places
    assert (check.error <= check.allowed) == (off == 1.0)
    told = " ".join(found.causes)
    if off != 1.0 and check.places > 1:
        assert ("1.01 times" if off > 0 else "of the wrong sign") in told


@pytest.mark.parametrize("inputs", [3, 40])  # every entry is looked at, and the worst row
def test_a_single_wrong_entry_is_found(inputs):
    x = RNG.normal(size=(6, inputs))
    claim = 6 * x[:, :, None] * np.eye(inputs)
    claim[4, 1, 2] += 0.5
    found = kc.verify(cubes, x, claims={"hessian": claim})
    (check,) = found.wrong
    assert (check.where, check.wrong) == ("example 4", 1)
    assert "most (1, 2), which says 0.5" in " ".join(found.causes)


def test_a_wrong_gradient_of_a_matrix_names_the_output_and_the_entry():
    claim = hessian_of_field(X)
    claim[:, 1, 0, 0] *= 2
    found = kc.verify(field, X, claims={"hessian": claim})
    assert "output 1: 1 of 9 entries is off, most (0, 0)" in " ".join(found.causes)


def function_of(framework):
    """A centred square, which some differentiate by another formula, of tensors."""
    if framework == "tensorflow":
        tf = pytest.importorskip("tensorflow")
        return lambda x: tf.nn.moments(tf.sin(x) * tf.range(1.0, 4.0, dtype=x.dtype), [1])[1]
    if framework == "jax":
        jnp = pytest.importorskip("jax.numpy")
        return lambda x: jnp.var(jnp.sin(x) * jnp.arange(1.0, 4.0), 1)
    torch = pytest.importorskip("torch")
    return lambda x: torch.linalg.det(x[:, :, None] * torch.eye(3, dtype=x.dtype) + x[:, None])


# a framework's ways, and whether they are right for the function above
WAYS = {
    "tape in tape": False,
    "tape in tape in tf.function": False,
    "tensorflow forward over reverse": False,
    "tf.hessians": False,
    "tape in tape with batch_jacobian": False,
    "jax.hessian": True,
    "jax jvp of jvp": True,
    "jax grad of grad": True,
    "jax forward over reverse under jax.jit": True,
    "torch.func.hessian": True,
    "torch.autograd.functional.hessian": True,
    "torch double backward": True,
    "torch forward over reverse": True,
    "torch reverse over forward": False,
    "torch forward over forward": False,
    "torch.func.vmap of torch.func.hessian": False,
}


def framework_of(way):
    return "tensorflow" if way[0] == "t" and way[:5] != "torch" else way[:5].strip(". ")


@pytest.mark.every(6)
@pytest.mark.parametrize("way", WAYS)
def test_the_ways_of_any_framework_are_told_right_from_wrong(way):
    framework = framework_of(way)
    if framework != "tensorflow":
        framework = "jax" if way.startswith("jax") else "torch"
    f = function_of(framework)
    found = kc.verify(f, X, claims={"hessian": way})
    assert bool(found.wrong) != WAYS[way], str(found)
    assert found.checks[0].judged == len(found.checks) * 8
    assert found.digits > 13
    assert ("cannot be cut" in " ".join(found.causes)) != WAYS[way]


def test_a_function_is_that_of_the_framework_whose_ways_are_asked_for():
    pytest.importorskip("torch")
    variance = lambda x: x.var(1)  # noqa: E731, of NumPy over n, of PyTorch over n - 1
    assert kc.verify(variance, X, claims="torch double backward").ok
    laplacian = np.full(12, 2 * (1 - 1 / 3))
    assert kc.verify(variance, X, claims={"laplacian": laplacian}).ok


def normalised(dtype="float32"):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((3,), dtype=dtype),
            keras.layers.Dense(5, "tanh", name="bent", dtype=dtype),
            keras.layers.LayerNormalization(name="normalised", dtype=dtype),
            keras.layers.Dense(1, name="last", dtype=dtype),
        ]
    )


OF_KERAS = {
    "tensorflow": ("tape in tape", False),
    "jax": ("jax forward over reverse under jax.jit", True),
    "torch": ("torch forward over forward", False),
}


OF_ROUNDING = {
    "tensorflow": "tape in tape",
    "jax": "jax forward over reverse under jax.jit",
    "torch": "torch double backward",
}
"""Ways that are right, and round as the model does."""


def test_the_layer_is_named_from_which_on_a_way_is_wrong():
    way, is_right = OF_KERAS[BACKEND]
    model = normalised()
    found = kc.verify(
        model, X, claims={"laplacian": way, "hessian": lambda x: kc.hessian(model, x)}
    )
    value, laplacian, hessian = found.checks
    assert value.name == "value"
    assert hessian.ok
    assert laplacian.ok == is_right
    assert 6.5 < found.digits < 8.5  # of a float32
    assert ("normalised (LayerNormalization)" in " ".join(found.causes)) != is_right


def test_the_layer_inside_of_a_model_in_the_model_is_named():
    way, is_right = OF_KERAS[BACKEND]
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(normalised()(inputs)))
    causes = " ".join(kc.verify(model, X, claims=way).causes)
    assert is_right or "/normalised (LayerNormalization)." in causes


def test_a_module_is_cut_whatever_keras_runs_on():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.LayerNorm(4))
    ways = ["torch double backward", "torch forward over forward"]
    found = kc.verify(net, X.astype("float32"), claims=ways)
    value, right, wrong = found.checks
    assert value.ok
    assert right.ok
    assert wrong.engine in found.headline
    assert "torch forward over forward begins to be wrong in layer 2 (LayerNorm)." in found.causes
    assert net[0].weight.dtype == torch.float32


def test_a_function_that_says_float64_and_computes_in_float32_is_told():
    def disguised(x):
        return waves(x.astype("float32")).astype("float64")

    found = kc.verify(disguised, X, claims={"hessian": hessian_of_waves})
    assert found.ok, str(found)
    assert 6.5 < found.digits < 8.5
    assert "says float64 and computes in float32" in found.method[0]
    assert found.tolerance == 1e-3
    honest = kc.verify(
        lambda x: waves(x.astype("float32")), X, claims={"hessian": hessian_of_waves}
    )
    assert "says float64" not in str(honest)
    assert "float32 and have 7" in str(honest)


def test_float64_of_keras_that_is_float32_is_told():
    model = normalised("float64")
    found = kc.verify(model, X, claims={"value": model})
    if BACKEND == "tensorflow":
        assert found.digits > 14
    else:
        assert found.digits < 9
        assert "says float64 and computes in float32" in found.method[0]
    assert found.ok


def test_rounding_to_float16_is_no_fault():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(5, "tanh", dtype="mixed_float16"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    found = kc.verify(model, X, claims=OF_ROUNDING[BACKEND])
    assert found.ok, str(found)
    assert 2 < found.digits < 5
    assert found.tolerance == 0.05


def test_cancelled_digits_are_counted_and_not_called_float32():
    found = kc.verify(lambda x: (waves(x) + 1e6) - 1e6, X, claims={"hessian": hessian_of_waves})
    assert 8 < found.digits < 12
    assert "says float64" not in str(found)
    assert found.ok


def test_what_waves_faster_than_differences_step_blames_nobody():
    def wave(x):
        return np.sin(300 * x).sum(1)

    x = np.random.default_rng(0).normal(size=(20, 4)) * [1e-6, 1.0, 1e3, 1e-2]
    claims = {"gradient": 300 * np.cos(300 * x), "hessian_diagonal": -9e4 * np.sin(300 * x)}
    found = kc.verify(wave, x, claims=claims)
    assert found.digits > 9  # of the sine of 3e5, whose rounding is 1e-11
    assert not found.wrong
    assert not found.ok


class Counting:
    """Gives other values each time."""

    calls = 0

    def __call__(self, x):
        self.calls += 1
        return cubes(x) + 0.01 * self.calls


def writing(x):
    x *= 2
    return cubes(x)


# what is no function of an example, and in which words
NO_FUNCTIONS = {
    "another one each time": (Counting(), "two calls with the same examples differ"),
    "of the batch": (lambda x: x - x.mean(0), "the other examples of its batch"),
    "never finite": (lambda x: np.log(x - 99).sum(1), "NaN or infinite at every example"),
}


@pytest.mark.parametrize(("f", "words"), NO_FUNCTIONS.values(), ids=NO_FUNCTIONS)
def test_what_cannot_be_differentiated_is_said(f, words):
    found = kc.verify(f, X, claims={"laplacian": lambda x: f(x)})
    assert not found.ok
    assert not found.complete
    assert words in found.left_out[0]
    assert "nothing was checked" in str(found)


def test_a_function_that_writes_into_its_argument_is_handed_a_copy():
    before = X.copy()
    assert kc.verify(writing, X, claims={"gradient": lambda x: 24 * x**2}).ok
    np.testing.assert_array_equal(X, before)


def test_where_it_is_not_finite_it_is_not_judged():
    found = kc.verify(lambda x: np.log(x[:, 0]), X, claims={(0,): lambda x: 1 / x[:, 0]})
    (check,) = found.checks
    assert 0 < check.judged < check.places
    assert "NaN or infinite at" in found.left_out[0]
    assert found.ok


def test_kinks_are_not_judged():
    x = np.concatenate([np.zeros((2, 1)), 3 + RNG.uniform(size=(4, 1))])
    found = kc.verify(np.abs, x, claims={"gradient": np.sign, "laplacian": 0 * x})
    assert [(check.judged, check.at_kinks) for check in found.checks] == [(4, 2), (4, 2)]
    assert found.ok


def test_what_a_way_raises_is_said():
    jax = pytest.importorskip("jax")
    found = kc.verify(lambda x: jax.numpy.prod(x, 1), X, claims="jet")
    assert not found.ok
    assert "by jax.experimental.jet was not checked: it raises KeyError" in found.left_out[0]


def test_many_outputs_are_mixed():
    matrix = RNG.normal(size=(3, 20))
    claim = np.einsum("ni,ik->nki", 2 * X, matrix)
    assert kc.verify(lambda x: x**2 @ matrix, X, claims={"jacobian": claim}).ok
    claim[:, 7, 0] *= 1.1
    found = kc.verify(lambda x: x**2 @ matrix, X, claims={"jacobian": claim})
    assert "a mixture of the outputs" in found.wrong[0].where


ERRORS = {
    "a shape": (cubes, X, {"hessian": X}, ValueError, r"must have shape \(12, 3, 3\)"),
    "of one output": (waves, X, {"hessian": X}, ValueError, r"or \(12, 3, 3\)"),
    "a quantity": (cubes, X, {"hesian": X}, ValueError, "names of quantities"),
    "an input": (cubes, X, {(0, 3): X}, ValueError, "indexes from 0 to 2"),
    "no claims": (cubes, X, {}, ValueError, "at least one claim"),
    "not a dict": (cubes, X, 3, TypeError, "must be a dict"),
    "a way": (cubes, X, "tape in the tape", ValueError, "or the name of a way"),
    "a way of others": (cubes, X, "tape in tape", ValueError, "a function of NumPy"),
    "two functions": (
        lambda x: x.var(1), X, ["jax.hessian", "torch double backward"], ValueError, "one function"
    ),
    "ways of NumPy": (lambda x: np.interp(x, [0, 1], [0, 1]), X, "all", ValueError, "has none"),
    "a way to a slope": (cubes, X, {"gradient": "tape in tape"}, ValueError, "second derivatives"),
    "no direction": (cubes, X, {"directional_curvature": X}, ValueError, "function of x and v"),
    "a claim that raises": (cubes, X, {"gradient": lambda x: x @ x}, ValueError, "raises Value"),
    "words": (cubes, X, {"gradient": ["a", 3]}, TypeError, "real numbers"),
    "complex": (cubes, X, {"gradient": 1j * X}, TypeError, "complex"),
    "divergence": (cubes, X, {"divergence": X}, ValueError, "as many outputs as inputs"),
    "whole numbers": (cubes, X.astype(int), {"gradient": X}, TypeError, "int64"),
    "NaN": (cubes, X * np.nan, {"gradient": X}, ValueError, "finite"),
    "no examples": (cubes, X[:0], {"gradient": X}, ValueError, "at least one example"),
    "no function": (3, X, {"gradient": X}, TypeError, "must be a Keras model, or a function"),
    "one example": (np.sum, X, {"gradient": X}, ValueError, "for each of the 12 examples"),
    "a dict": (lambda x: {"a": x}, X, {"gradient": X}, ValueError, "one array of real numbers"),
    "a broken one": (lambda x: x.foo, X, {"gradient": X}, ValueError, "AttributeError"),
}  # fmt: skip


@pytest.mark.parametrize(("f", "x", "claims", "error", "words"), ERRORS.values(), ids=ERRORS)
def test_what_cannot_be_used_is_said(f, x, claims, error, words):
    with pytest.raises(error, match=words):
        kc.verify(f, x, claims=claims)


@pytest.mark.parametrize("option", [{"dtype": "float64"}, {"engine": "nested"}, {"wrt": 0}])
def test_what_is_about_this_library_is_refused(option):
    with pytest.raises(ValueError, match=f"there is no `{next(iter(option))}`"):
        kc.verify(cubes, X, claims={"gradient": X}, **option)


def test_a_framework_that_is_not_installed_is_named(monkeypatch):
    find = importlib.util.find_spec
    missing = lambda name: None if name == "torch" else find(name)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", missing)
    with pytest.raises(ImportError, match="a way of torch, which is not installed"):
        kc.verify(cubes, X, claims="torch double backward")


def test_the_output_is_chosen_as_elsewhere():
    claims = {"hessian": hessian_of_field(X)[:, 1:2]}
    assert kc.verify(field, X, output=1, claims=claims).ok
    assert "jax" in sys.modules or BACKEND != "jax"


def potential(x):
    """A point mass far away, in metres: over the spread of near examples it is a straight line."""
    return -3.986e14 / np.linalg.norm(x, axis=1)


def forces(x):
    r = np.linalg.norm(x, axis=1)[:, None, None]
    return 3.986e14 * (np.eye(3) / r**3 - 3 * x[:, :, None] * x[:, None, :] / r**5)


@pytest.mark.parametrize("factor", [1, 1.1, -1])
@pytest.mark.parametrize("spread", [0, 1, 1e6])
def test_what_is_too_small_to_be_seen_is_not_called_right(spread, factor):
    x = np.array([5e6, 4e6, 2e6]) + spread * np.random.default_rng(0).normal(size=(20, 3))
    found = kc.verify(potential, x, claims={"hessian": factor * forces(x)})
    (check,) = found.checks
    assert check.judged == (20 if spread == 1e6 else 0)
    assert found.ok == (spread == 1e6 and factor == 1)
    assert any("too small to be judged" in line for line in found.left_out) == (spread < 1e6)


@pytest.mark.parametrize("side", [-1.0, 0.0, 1.0])
def test_where_the_second_derivative_jumps_nobody_is_blamed(side):
    x = np.linspace(-1, 1, 21)[:, None]
    bend = lambda x: 2.0 * (x[:, 0] + 1e-9 * side > 0)  # noqa: E731
    found = kc.verify(lambda x: np.maximum(x[:, 0], 0) ** 2, x, claims={"laplacian": bend})
    (check,) = found.checks
    assert found.ok
    assert (check.judged, check.at_kinks) == (20, 1)


def hilly(x):
    return 100 + 30 * np.tanh(x @ SLOPES).sum(axis=1)


def hilly_gradient(x):
    t = np.tanh(x @ SLOPES)
    return 30 * (1 - t**2) @ SLOPES.T


def hilly_hessian(x):
    t = np.tanh(x @ SLOPES)
    return np.einsum("nk,ik,jk->nij", -60 * t * (1 - t**2), SLOPES, SLOPES)


SLOPES = np.random.default_rng(5).normal(size=(3, 5))
HILLS = np.random.default_rng(6).normal(size=(40, 3)) * 2

ROUNDED = {
    "to cents": (lambda y: np.round(y, 2), 0.01),
    "to cents, in float32": (lambda y: np.round(y, 2).astype(np.float32), 0.01),
    "to whole numbers": (np.floor, 1),
    "to quarters": (lambda y: np.round(4 * y) / 4, 0.25),
    "to steps of another size": (lambda y: np.round(y / 0.37) * 0.37, 0.37),
}
"""What rounds values, and the steps that it leaves."""


@pytest.mark.parametrize("name", ROUNDED)
def test_values_that_are_rounded_on_purpose_blame_nobody(name):
    rounded, step = ROUNDED[name]
    claims = {"hessian": hilly_hessian(HILLS), "gradient": hilly_gradient(HILLS)}
    found = kc.verify(lambda x: rounded(hilly(x)), HILLS, claims=claims)
    assert not found.wrong
    assert not found.complete
    assert "float32:" not in str(found)
    (said,) = [sentence for sentence in found.left_out if "steps of about" in sentence]
    told = float(re.search(r"steps of about ([\d.e-]*\d)", said)[1])
    np.testing.assert_allclose(told, step, rtol=1e-2)


HALF = {
    "values": lambda x: np.sin(x).astype("float16").astype("float64"),
    "points": lambda x: np.sin(x.astype("float16").astype("float64")),
}
"""What half precision rounds inside of a function of float64; its steps are of many sizes."""


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("count", [7, 50])
def test_half_precision_inside_blames_nobody(name, count):
    x = np.arange(-3.0, 4) if count == 7 else np.random.default_rng(0).normal(size=count)
    claims = {"laplacian": -np.sin(x), "gradient": np.cos(x)[:, None]}
    found = kc.verify(lambda x: HALF[name](x[:, 0]), x[:, None], claims=claims)
    assert not found.wrong, str(found)
    assert "steps of about" in " ".join(str(found).split())


def test_what_is_larger_than_the_steps_is_judged():
    hessian = hilly_hessian(HILLS)

    def f(x):
        return np.round(hilly(x), 6)

    assert kc.verify(f, HILLS, claims={"hessian": hessian}).ok
    assert kc.verify(f, HILLS, claims={"hessian": 1.1 * hessian}).wrong


WITHOUT_STEPS = {
    "as they are": lambda y: y,
    "float32": lambda y: y.astype(np.float32),
    "float32, in other units": lambda y: 0.1 * y.astype(np.float32).astype(float),
    "float16": lambda y: y.astype(np.float16),
    "two values": lambda y: np.sign(y - 100),
    "a straight line": lambda y: y,
    "0 at most examples": lambda y: np.maximum(y - 130, 0),
}


@pytest.mark.parametrize("name", WITHOUT_STEPS)
def test_no_steps_are_seen_where_there_are_none(name):
    values = hilly if name != "a straight line" else (lambda x: x[:, :1].sum(axis=1))
    f = WITHOUT_STEPS[name]
    points = HILLS[:, :1] if name == "a straight line" else HILLS
    gradient = np.zeros(points.shape)
    found = kc.verify(lambda x: f(values(x)), points, claims={"gradient": gradient})
    assert "steps of about" not in " ".join(str(found).split())


def test_that_some_of_many_examples_were_looked_at_is_in_the_verdict():
    x = np.random.default_rng(7).normal(size=(1000, 3))
    found = kc.verify(hilly, x, claims={"hessian": hilly_hessian(x)})
    assert found.ok
    assert (found.examples, found.total) == (256, 1000)
    assert "at the 256 of 1000 examples" in found.headline
    assert (
        "examples" not in kc.verify(hilly, HILLS, claims={"hessian": hilly_hessian(HILLS)}).headline
    )


@pytest.mark.parametrize("frequency", [2e5, 2e6, 2e7, 2e8])
@pytest.mark.parametrize("count", [1, 3, 20])
def test_a_ripple_that_is_shorter_than_every_step_blames_nobody(frequency, count):
    """And nobody is called right who does not know of it: it bends far more than the rest."""
    size = 1e-3 / frequency

    def rippled(x):
        return x[:, 0] ** 2 + size * np.sin(frequency * x[:, 0])

    x = np.random.default_rng(count).uniform(-1, 1, size=(count, 1))
    gradient = 2 * x + size * frequency * np.cos(frequency * x)
    hessian = (2 - size * frequency**2 * np.sin(frequency * x))[:, :, None]
    assert not kc.verify(rippled, x, claims={"hessian": hessian, "gradient": gradient}).wrong
    without = kc.verify(rippled, x, claims={"hessian": np.full((count, 1, 1), 2.0)})
    assert not without.ok


@pytest.mark.parametrize("count", [5, 20, 30, 40])
def test_digits_do_not_fall_where_examples_lie_on_kinks(count):
    x = HILLS.copy()
    x[:count, 0] = 0
    gradient = np.stack([3 * np.sign(x[:, 0]), np.cos(x[:, 1]), 2 * x[:, 2]], axis=1)
    found = kc.verify(
        lambda x: 3 * np.abs(x[:, 0]) + np.sin(x[:, 1]) + x[:, 2] ** 2,
        x,
        claims={"gradient": gradient},
    )
    assert found.digits > 14
    assert found.because == "float64"
    (check,) = found.checks
    assert (check.at_kinks, check.wrong) == (count, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("key", ["hessian", "laplacian", "gradient", (0, 1)])
def test_a_claim_that_is_no_number_is_told_as_that(key, value):
    hessian = hilly_hessian(HILLS)
    claims = {
        "hessian": hessian,
        "laplacian": np.trace(hessian, axis1=1, axis2=2),
        "gradient": hilly_gradient(HILLS),
        (0, 1): hessian[:, 0, 1],
    }
    claim = claims[key].copy()
    claim[[3, 8]] = value
    found = kc.verify(hilly, HILLS, claims={key: claim})
    assert found.wrong
    told = [cause for cause in found.causes if "NaN or infinite at 2 of" in cause]
    assert "example 3" in told[0]
    said = " ".join(str(found).split())
    assert "it is NaN or infinite there" in said
    assert "by inf" not in said


def steep(x):
    """Ten times as steep along the second input as along the first."""
    return np.sin(x[:, 0]) + 10 * np.sin(x[:, 1])


def almost_harmonic(x):
    """Of second derivatives that cancel to a thousandth of them."""
    return x[:, 0] ** 2 - x[:, 1] ** 2 + 1e-3 * np.sin(x[:, 0])


# What is claimed to be 0: function, quantity, the shape of the claim's one example
SIZES = {
    "along one input": (steep, (0,), ()),
    "along the other": (steep, (1,), ()),
    "gradient": (steep, "gradient", (2,)),
    "divergence": (lambda x: np.stack([x[:, 0], 40 * x[:, 0]], axis=1), "divergence", ()),
    "of second order, 1e-4 of the slope": (lambda x: x[:, 1] + 1e-4 * x[:, 0] ** 2, (0, 0), ()),
    "mixed": (lambda x: steep(x) + 0.01 * x[:, 0] * x[:, 1], (0, 1), ()),
    "laplacian of terms that cancel": (almost_harmonic, "laplacian", ()),
    "of third order": (steep, (0, 0, 0), ()),
    "of fourth order": (steep, (0, 0, 0, 0), ()),
}


@pytest.mark.parametrize("name", SIZES)
def test_nothing_is_off_by_the_size_of_what_it_should_be(name):
    f, quantity, shape = SIZES[name]
    x = np.random.default_rng(3).normal(size=(50, 2))
    (check,) = kc.verify(f, x, claims={quantity: np.zeros((50, *shape))}).wrong
    assert check.error == pytest.approx(1)


@pytest.mark.parametrize("off", [0, 5e-6])
def test_a_slope_beside_a_far_steeper_one_is_held_to_the_same_digits(off):
    x = np.random.default_rng(3).normal(size=(50, 2))
    found = kc.verify(steep, x, claims={(0,): (1 + off) * np.cos(x[:, 0])})
    assert found.ok == (not off)
    if off:
        assert found.checks[0].error == pytest.approx(off)


def test_what_is_0_is_held_against_the_slope():
    x = np.random.default_rng(3).normal(size=(50, 2))

    def level(x):
        return 3 * x[:, 1]

    assert kc.verify(level, x, claims={(0,): np.zeros(50)}).ok
    found = kc.verify(level, x, claims={(0,): np.full(50, 1.0)})
    assert found.wrong[0].wrong == 50
    assert 1 < found.wrong[0].error < np.inf
    assert "where that is 0, to 1 % of the" in str(found)


def test_the_counts_of_what_is_0_and_of_what_is_off_agree():
    x = np.stack([np.linspace(-4, 4, 60), np.linspace(0, 1, 60)], axis=1)
    slope = 1 / np.cosh(x[:, 0]) ** 2
    found = kc.verify(lambda x: np.tanh(x[:, 0]), x, claims={(0,): 0 * slope})
    assert found.wrong[0].wrong == 60
    assert found.causes == ("The partial (0,) by array is 0 at all 60 places where it is off.",)
    found = kc.verify(lambda x: np.tanh(x[:, 0]), x, claims={(0,): 2 * slope})
    seen = int((slope > 0.01 * slope.max()).sum())
    assert f"at all {seen} places where that is more than 1 % of its size" in found.causes[0]
