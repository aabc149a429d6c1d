"""Array maths on PyTorch under NumPy's names: NumPy's values, and derivatives in closed form."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from keras.src.backend.torch.core import device_scope
from torch.fx.experimental.proxy_tensor import make_fx

from keras_curvature.engines.torch import arrays as xp
from keras_curvature.engines.torch import stacks

RNG = np.random.default_rng(0)
DTYPES = ["float32", "float64"]

A = RNG.normal(size=(2, 3, 4))
B = RNG.normal(size=(2, 3, 4))
SQUARE = RNG.normal(size=(2, 3, 3))
SYMMETRIC = SQUARE + np.swapaxes(SQUARE, 1, 2)
POSITIVE = np.abs(A) + 0.5
SOME = A > 0
AXES = [None, 0, -1, (0, 2), [1]]


def no_nan_quotient(a, b):
    return np.divide(a, b, out=np.zeros_like(a * b), where=b != 0)


def no_nan_product(a, b):
    return np.multiply(a, b, out=np.zeros_like(a * b), where=b != 0)


def reduction(name, axis, keepdims):
    axes = tuple(axis) if isinstance(axis, list) else axis
    return (
        lambda a: getattr(xp, name)(a, axis=axis, keepdims=keepdims),
        lambda a: getattr(np, name)(a, axis=axes, keepdims=keepdims),
        SOME if name in ("all", "any") else A,
    )


HOLED = np.where(np.abs(B) < 0.5, 0.0, B)
INFINITE = np.where(HOLED == 0, np.inf, A)

TABLE = {
    "abs": (xp.abs, np.abs, A),
    "clip": (lambda a: xp.clip(a, -0.5, 0.5), lambda a: np.clip(a, -0.5, 0.5), A),
    "clip by arrays": (xp.clip, np.clip, A, B - 1, B + 1),
    "copy": (xp.copy, np.copy, A),
    "divide_no_nan": (xp.divide_no_nan, no_nan_quotient, A, HOLED),
    "exp": (xp.exp, np.exp, A),
    "isfinite": (xp.isfinite, np.isfinite, INFINITE),
    "maximum": (xp.maximum, np.maximum, A, B),
    "maximum of a number": (lambda a: xp.maximum(a, 1e-12), lambda a: np.maximum(a, 1e-12), A),
    "minimum": (xp.minimum, np.minimum, A, B),
    "multiply_no_nan": (xp.multiply_no_nan, no_nan_product, INFINITE, HOLED),
    "ones_like": (xp.ones_like, np.ones_like, A),
    "relu": (xp.relu, lambda a: np.maximum(a, 0), A),
    "sign": (xp.sign, np.sign, HOLED),
    "sqrt": (xp.sqrt, np.sqrt, POSITIVE),
    "square": (xp.square, np.square, A),
    "where": (xp.where, np.where, SOME, A, B),
    "where, a number": (lambda c, a: xp.where(c, a, 0), lambda c, a: np.where(c, a, 0), SOME, A),
    "zeros_like": (xp.zeros_like, np.zeros_like, A),
    **{
        f"{name}, axis={axis}, keepdims={keepdims}": reduction(name, axis, keepdims)
        for name in ("all", "any", "max", "mean", "min", "std", "sum")
        for axis in AXES
        for keepdims in (False, True)
    },
    "any of no truth values": (xp.any, np.any, np.zeros(3)),
    "argmax": (lambda a: xp.argmax(a, axis=-1), lambda a: np.argmax(a, axis=-1), np.round(A)),
    "argmin": (lambda a: xp.argmin(a, axis=1), lambda a: np.argmin(a, axis=1), np.round(A)),
    "norm": (
        lambda a: xp.norm(a, axis=1, keepdims=True),
        lambda a: np.linalg.norm(a, axis=1, keepdims=True),
        A,
    ),
    "norm of all": (xp.norm, lambda a: np.linalg.norm(a.reshape(-1)), A),
    "sum of no axis": (lambda a: xp.sum(a, axis=()), lambda a: np.sum(a, axis=()), A),
    "broadcast_to": (
        lambda a: xp.broadcast_to(a, [5, 2, 3, 4]),
        lambda a: np.broadcast_to(a, [5, 2, 3, 4]),
        A,
    ),
    "concatenate": (
        lambda a, b: xp.concatenate([a, b], axis=1),
        lambda a, b: np.concatenate([a, b], axis=1),
        A,
        B,
    ),
    "matrix_transpose": (xp.matrix_transpose, lambda a: np.swapaxes(a, 1, 2), A),
    "pad": (
        lambda a: xp.pad(a, [[0, 1], [2, 0], [0, 0]]),
        lambda a: np.pad(a, [[0, 1], [2, 0], [0, 0]]),
        A,
    ),
    "repeat": (lambda a: xp.repeat(a, 3, axis=1), lambda a: np.repeat(a, 3, axis=1), A),
    "repeat the last": (lambda a: xp.repeat(a, 2, -1), lambda a: np.repeat(a, 2, -1), A),
    "reshape": (lambda a: xp.reshape(a, [-1, 6]), lambda a: np.reshape(a, [-1, 6]), A),
    "split": (
        lambda a: xp.split(a, [1, 2], axis=1)[1],
        lambda a: np.split(a, [1], axis=1)[1],
        A,
    ),
    "squeeze": (lambda a: xp.squeeze(a, 1), lambda a: np.squeeze(a, 1), A[:, :1]),
    "stack": (lambda a, b: xp.stack([a, b], axis=1), lambda a, b: np.stack([a, b], axis=1), A, B),
    "take": (
        lambda a: xp.take(a, np.array([2, 0, 0]), axis=1),
        lambda a: np.take(a, [2, 0, 0], axis=1),
        A,
    ),
    "take as a matrix": (
        lambda a: xp.take(a, [[1, 0], [0, 1]]),
        lambda a: np.take(a, [[1, 0], [0, 1]], axis=0),
        A,
    ),
    "take_for_each": (
        lambda a: xp.take_for_each(a, torch.tensor([[0, 2], [1, 1]])),
        lambda a: np.stack([a[0][[0, 2]], a[1][[1, 1]]]),
        A,
    ),
    "tile": (lambda a: xp.tile(a, [2, 1, 3]), lambda a: np.tile(a, [2, 1, 3]), A),
    "transpose": (xp.transpose, np.transpose, A),
    "transpose, perm": (
        lambda a: xp.transpose(a, [1, 2, 0]),
        lambda a: np.transpose(a, [1, 2, 0]),
        A,
    ),
    "unstack": (lambda a: xp.unstack(a)[1], lambda a: a[1], A),
    "diag": (
        lambda a: xp.diag(a, k=1),
        lambda a: np.stack([np.diag(row, k=1) for row in a]),
        A[:, 0],
    ),
    "diagonal": (xp.diagonal, lambda a: np.diagonal(a, axis1=-2, axis2=-1), SQUARE),
    "trace": (xp.trace, lambda a: np.trace(a, axis1=-2, axis2=-1), SQUARE),
    "einsum": (
        lambda a, b: xp.einsum("nij,nkj->nik", a, b),
        lambda a, b: np.einsum("nij,nkj->nik", a, b),
        A,
        B,
    ),
    "matmul": (xp.matmul, np.matmul, SQUARE, A),
    "matmul, transpose_b": (
        lambda a, b: xp.matmul(a, b, transpose_b=True),
        lambda a, b: a @ np.swapaxes(b, 1, 2),
        A,
        B,
    ),
    "matvec": (xp.matvec, lambda a, v: np.einsum("nij,nj->ni", a, v), A, A[:, 0]),
    "matvec, transpose_a": (
        lambda a, v: xp.matvec(a, v, transpose_a=True),
        lambda a, v: np.einsum("nij,ni->nj", a, v),
        SQUARE,
        SQUARE[:, 0],
    ),
    "tensordot": (
        lambda a, b: xp.tensordot(a, b, [[2], [2]]),
        lambda a, b: np.tensordot(a, b, [[2], [2]]),
        A,
        B,
    ),
    "scaled": (xp.scaled, np.multiply, A, B[0]),
    "sum_over_directions": (xp.sum_over_directions, lambda a: a.sum(axis=0, keepdims=True), A),
    "sum_of_squares_over_directions": (
        xp.sum_of_squares_over_directions,
        lambda a: (a**2).sum(axis=0, keepdims=True),
        A,
    ),
    "map_slices": (lambda a: xp.map_slices(xp.exp, a, a[0]), np.exp, A),
    "sum_of": (lambda a: xp.sum_of(xp.exp, a), lambda a: np.exp(a).sum(axis=0), A),
}


def like(array, dtype):
    return array.astype(dtype) if array.dtype.kind == "f" else array


def compare(found, expected):
    assert isinstance(found, torch.Tensor)
    assert tuple(found.shape) == np.shape(expected)
    if np.asarray(expected).dtype.kind == "f":
        assert xp.name_of(found.dtype) == np.asarray(expected).dtype.name
        rtol = 20 * xp.eps(found.dtype)  # sums of up to 24 numbers near 1
        np.testing.assert_allclose(xp.to_numpy(found), expected, rtol=rtol, atol=rtol)
    else:
        np.testing.assert_array_equal(xp.to_numpy(found), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_the_values_and_the_dtype_are_those_of_numpy(row, dtype):
    ours, numpys, *given = row
    given = [like(array, dtype) for array in given]
    with np.errstate(all="ignore"):
        expected = numpys(*given)
    tensors = [torch.from_numpy(array.copy()) for array in given]
    compare(ours(*tensors), expected)
    needs_gradient = [t.requires_grad_() if t.is_floating_point() else t for t in tensors]
    compare(ours(*needs_gradient), expected)
    with torch.inference_mode():
        compare(ours(*tensors), expected)


OF_TENSORS = ("map_slices", "scaled", "sum_o", "take", "unstack")
"""How the names begin of what is for tensors alone, or gives NumPy's for NumPy's."""


@pytest.mark.parametrize(
    "name", [n for n in TABLE if not n.startswith(OF_TENSORS) or n == "sum of no axis"]
)
def test_arrays_of_numpy_are_taken_too(name):
    ours, numpys, *given = TABLE[name]
    with np.errstate(all="ignore"):
        compare(ours(*given), numpys(*given))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (xp.arange(4), np.arange(4)),
        (xp.arange(2, 5), np.arange(2, 5)),
        (xp.eye(3, dtype="float64"), np.eye(3)),
        (xp.eye(3, dtype=torch.int8), np.eye(3, dtype="int8")),
        (xp.full([2, 1], xp.constant(3.0, "float64")), np.full([2, 1], 3.0)),
        (xp.lowest("float64"), np.finfo("float64").min),
        (xp.ones([2], torch.float64), np.ones(2)),
        (xp.ones([], "float32"), np.ones([], "float32")),
        (xp.one_hot(np.array([1, 0]), 3), np.array([[False, True, False], [True, False, False]])),
        (xp.zeros([0, 3]), np.zeros([0, 3], "float32")),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_made(found, expected):
    compare(found, expected)


def test_a_sum_of_small_integers_stays_one():
    assert xp.sum(torch.ones(3, dtype=torch.int32)).dtype == torch.int32
    assert int(xp.sum(torch.ones(3, dtype=torch.bool))) == 3


@pytest.mark.parametrize("axis", [0, 1])
def test_of_no_numbers(axis):
    nothing = torch.zeros((0, 2))
    assert xp.sum(nothing, axis=axis).shape == (2,) if axis == 0 else (0,)
    assert xp.take(nothing, [], axis=0).shape == (0, 2)
    assert xp.concatenate([nothing, nothing], axis=axis).shape == (0, 2 + 2 * axis)
    assert xp.map_slices(xp.exp, nothing, nothing.sum(0)).shape == (0, 2)
    assert xp.repeat(nothing, 2, axis=axis).shape == (0, 2 + 2 * axis)
    assert xp.sum_of_squares_over_directions(nothing).tolist() == [[0.0, 0.0]]


DTYPES_AND_NAMES = {
    "float32": torch.float32,
    torch.float64: torch.float64,
    np.float16: torch.float16,
    np.dtype("bool"): torch.bool,
    "bfloat16": torch.bfloat16,
    ml_dtypes.bfloat16: torch.bfloat16,
    float: torch.float64,
    np.dtype("<U3"): np.dtype("<U3"),
    np.dtype("O"): np.dtype("O"),
}


@pytest.mark.parametrize(("given", "expected"), DTYPES_AND_NAMES.items(), ids=str)
def test_dtypes_have_one_name(given, expected):
    found = xp.dtype_of(given)
    assert found == expected
    assert xp.name_of(given) == str(expected).removeprefix("torch.").replace("<U3", "str96")
    assert xp.is_string(given) == isinstance(expected, np.dtype)
    assert xp.is_numeric(given) == isinstance(expected, torch.dtype)


def test_what_a_dtype_is():
    assert xp.is_floating("bfloat16")
    assert not xp.is_floating("complex64")
    assert xp.has_derivative("complex64")
    assert not xp.has_derivative("int8")
    assert xp.is_integer("uint8")
    assert not xp.is_integer("bool")
    assert not xp.is_real(torch.complex128)
    assert xp.itemsize("float16") == 2
    assert xp.widened(torch.float32, "float64") == torch.float64
    assert xp.widened(torch.complex64, torch.float64) == torch.complex128
    assert xp.widened(torch.int32, torch.float64) == torch.int32
    assert xp.widest() == torch.float64


NUMPYS = {
    "float64": np.array([1.0, 2.0]),
    "backwards": np.arange(4.0)[::-1],
    "in the other order of bytes": np.array([1.0, 2.0], ">f4"),
    "not to be written to": np.broadcast_to(np.float32(1), (3,)),
    "uint16": np.array([1, 65535], "uint16"),
    "bfloat16": np.array([1, 2], ml_dtypes.bfloat16),
    "bool": np.array([True, False]),
    "empty": np.zeros((0, 2)),
    "a number": np.float64(0.1),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("array", NUMPYS.values(), ids=NUMPYS)
def test_there_and_back(array):
    found = xp.to_numpy(xp.constant(array))
    np.testing.assert_array_equal(found.astype("float64"), array.astype("float64"))
    if array.dtype.kind in "fV":
        assert found.dtype.name == array.dtype.name


def test_a_constant_shares_no_memory():
    array = np.zeros(2)
    found = xp.constant(array)
    array[0] = 1
    assert found.tolist() == [0, 0]


def test_numbers_of_pythons():
    assert xp.constant(2.0).dtype == torch.float32
    assert xp.constant([0.5, 1]).dtype == torch.float32
    assert xp.constant(2).dtype == torch.int64
    assert xp.constant(False).dtype == torch.bool
    assert xp.constant(1e-30, "float64").dtype == torch.float64


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e5m2", "complex64", "bool"])
def test_numpy_reads_every_tensor(name):
    tensor = torch.ones(2).to(xp.dtype_of(name))
    found = xp.to_numpy(tensor)
    assert found.dtype.name == name
    assert found.astype("complex64").tolist() == [1, 1]


def test_numpy_reads_what_pytorch_does_not_give():
    parameter = torch.nn.Parameter(torch.ones(2))
    assert xp.to_numpy(parameter, np.float64).tolist() == [1, 1]
    assert xp.to_numpy(torch.tensor([1j]).conj()).tolist() == [-1j]
    assert xp.to_numpy([1, 2]).tolist() == [1, 2]
    seen = []
    torch.func.grad(torch.func.grad(lambda x: (seen.append(xp.to_numpy(x)), x**3)[1]))(parameter[0])
    assert seen == [1]


def test_which_tensors_have_numbers():
    assert xp.has_numbers(torch.ones(2, requires_grad=True))
    assert not xp.has_numbers(torch.ones(2, device="meta"))
    seen = []

    def look(x):
        seen.append((xp.has_numbers(x), xp.is_symbol(x.shape[0]) if x.ndim else None))
        return x.sum()

    torch.func.grad(look)(torch.ones(2))
    torch.vmap(look)(torch.ones(2))
    make_fx(look, tracing_mode="symbolic")(torch.ones(2))
    torch.compile(look, backend="eager")(torch.ones(3))
    assert seen[:3] == [(True, False), (False, None), (False, True)]
    assert [known for known, _ in seen[3:]] == [False]


def test_what_is_no_tensor_of_numbers():
    with pytest.raises(TypeError, match=r"PyTorch has no tensors of text. Received: <U1"):
        xp.array(["a"])
    assert not xp.is_dense(torch.eye(2).to_sparse())
    assert xp.is_dense(torch.eye(2))
    array = np.ones(2)
    assert xp.array(array) is array
    with torch.inference_mode():
        made = torch.ones(2)
    assert not xp.array(made).is_inference()
    text = np.array(["a", "b"])
    assert xp.take(text, torch.tensor([1])).tolist() == ["b"]


def test_constants_are_made_where_keras_makes_them():
    with device_scope("meta"):
        made = [xp.constant(np.ones(2)), xp.constant(1.0), xp.eye(2), xp.zeros([2]), xp.arange(2)]
    assert all(tensor.is_meta for tensor in made)


def test_factors():
    a = torch.from_numpy(A)
    q, r = xp.qr(a.mT)
    np.testing.assert_allclose(q @ r, a.mT, atol=1e-14)
    left, values = xp.svd(a)
    np.testing.assert_allclose(values, np.linalg.svd(A, compute_uv=False), atol=1e-14)
    np.testing.assert_allclose(left.mT @ left, np.broadcast_to(np.eye(3), (2, 3, 3)), atol=1e-14)


# Derivatives.


@pytest.mark.parametrize("dtype", DTYPES)
def test_eigenvalues_and_vectors(dtype):
    matrices = torch.from_numpy(SYMMETRIC.astype(dtype))
    values, vectors = xp.eigh(matrices)
    tolerance = 50 * xp.eps(dtype)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(SYMMETRIC), atol=tolerance)
    product = vectors @ torch.diag_embed(values) @ vectors.mT
    np.testing.assert_allclose(product, matrices, atol=tolerance)


def eigenvalues_and_squares(matrix):
    """The signs of vectors are free."""
    values, vectors = xp.eigh((matrix + matrix.mT) / 2)
    return values, vectors**2


def test_derivatives_of_eigenvalues_and_vectors():
    matrix = torch.from_numpy(SYMMETRIC).requires_grad_()
    assert torch.autograd.gradcheck(eigenvalues_and_squares, matrix, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(eigenvalues_and_squares, matrix)


def test_the_sum_of_the_cubes_of_eigenvalues_is_a_trace():
    matrix = torch.from_numpy(SYMMETRIC[0])
    found = torch.func.hessian(lambda a: (eigenvalues_and_squares(a)[0] ** 3).sum())(matrix)
    expected = torch.func.hessian(lambda a: torch.trace(((a + a.mT) / 2) ** 1 @ a @ a))(matrix)
    along = torch.from_numpy(SYMMETRIC[1])
    second = [torch.einsum("ijkl,ij,kl", h, along, along) for h in (found, expected)]
    np.testing.assert_allclose(*second, rtol=1e-12)


def test_equal_eigenvalues_have_derivatives():
    identity = torch.eye(3, dtype=torch.float64, requires_grad=True)
    values, vectors = xp.eigh(identity)
    (found,) = torch.autograd.grad(values @ torch.arange(3.0).double() + vectors.sum(), identity)
    np.testing.assert_array_equal(found, np.diag([0.0, 1, 2]))
    tangent = torch.func.jvp(xp.eigh, (identity.detach(),), (torch.ones(3, 3).double(),))[1]
    assert torch.isfinite(torch.cat([part.reshape(-1) for part in tangent])).all()


def test_eigenvalues_of_each_of_a_batch():
    matrices = torch.from_numpy(SYMMETRIC)
    np.testing.assert_allclose(torch.vmap(xp.eigh)(matrices)[0], xp.eigh(matrices)[0], atol=1e-14)


NAN, INF = float("nan"), float("inf")
NO_NAN = {
    # a, b, value, by a, by b
    "quotient": (xp.divide_no_nan, 6, 2, 3, 0.5, -1.5),
    "quotient by 0": (xp.divide_no_nan, 6, 0, 0, 0, 0),
    "0 by 0": (xp.divide_no_nan, 0, 0, 0, 0, 0),
    "infinity by 0": (xp.divide_no_nan, INF, 0, 0, 0, 0),
    "NaN by 0": (xp.divide_no_nan, NAN, 0, 0, 0, 0),
    "product": (xp.multiply_no_nan, 3, 2, 6, 2, 3),
    # As of any product: what a factor of 0 is trained by.
    "product with 0": (xp.multiply_no_nan, 3, 0, 0, 0, 3),
    "infinity times 0": (xp.multiply_no_nan, INF, 0, 0, 0, 0),
    "NaN times 0": (xp.multiply_no_nan, NAN, 0, 0, 0, 0),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("function", "a", "b", "value", "by_a", "by_b"), NO_NAN.values(), ids=NO_NAN
)
def test_nothing_is_no_nan(function, a, b, value, by_a, by_b, dtype):
    given = [torch.tensor(float(x), dtype=xp.dtype_of(dtype), requires_grad=True) for x in (a, b)]
    found = function(*given)
    assert found == value
    assert [float(g) for g in torch.autograd.grad(found, given)] == [by_a, by_b]
    assert torch.func.grad(function, argnums=(0, 1))(*(x.detach() for x in given)) == (by_a, by_b)


@pytest.mark.parametrize("large", [0, stacks.LARGE], ids=["in one pass", "plain"])
def test_sums_of_squares_are_differentiated(large, monkeypatch):
    monkeypatch.setattr(stacks, "LARGE", large)
    sum_of_squares = stacks.sum_of_squares_over_directions
    stack = torch.from_numpy(A).requires_grad_()
    np.testing.assert_allclose(
        sum_of_squares(stack).detach(), (A**2).sum(0, keepdims=True), rtol=1e-14
    )
    assert torch.autograd.gradcheck(sum_of_squares, stack, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(sum_of_squares, stack)
    several = torch.vmap(sum_of_squares, in_dims=1)(stack.detach())
    np.testing.assert_allclose(several[:, 0], (A**2).sum(0), rtol=1e-14)


def test_gradients_are_pulled_back_and_trained_through():
    factor = torch.tensor(3.0, requires_grad=True)
    point = torch.tensor([1.0, 2.0])
    weights = [torch.tensor([1.0, 0.0]), torch.ones(1)]
    found = xp.pulled_back(lambda x: factor * x**2, point, weights)
    np.testing.assert_allclose(torch.stack(found).detach(), [[6, 0], [6, 12]])
    (by_factor,) = torch.autograd.grad(found[1].sum(), factor)
    assert by_factor == 6


def power_of_two(x, most=5):
    """The first one that is larger than `x`, and its power."""
    return xp.while_loop(
        lambda power, _, largest: power <= largest,
        lambda power, turns, largest: (2 * power, turns + 1, largest),
        (torch.ones_like(x), xp.constant(0), x),
        most,
    )


def test_a_loop_ends_where_it_is_to():
    assert [float(part) for part in power_of_two(torch.tensor(5.0))[:2]] == [8, 3]
    assert float(power_of_two(torch.tensor(5.0), most=2)[0]) == 4
    found = torch.vmap(lambda x: power_of_two(x)[0])(torch.tensor([5.0, 1.0, 0.5]))
    assert found.tolist() == [8, 2, 1]


def test_a_loop_changes_nothing_that_it_began_with():
    start = torch.zeros(2)
    xp.while_loop(lambda x: x.sum() < 3, lambda x: (x + 1,), (start,), 9)
    assert start.tolist() == [0, 0]
