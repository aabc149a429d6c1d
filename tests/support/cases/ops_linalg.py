"""Cases of the functions of `keras.ops` on vectors, matrices and signals."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from keras import ops

from cases.building import operation_case

VECTOR, SQUARE, TALL, SIGNAL = (4,), (3, 3), (4, 3), (8,)


_case = functools.partial(operation_case, shape=SQUARE)


def _each(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """For functions that know no batch: applied to one example after the other."""
    return lambda x: ops.vectorized_map(function, x)


def _positive(x: Any) -> Any:
    """Symmetric positive definite matrices."""
    return ops.matmul(x, ops.transpose(x, (0, 2, 1))) + ops.eye(3, dtype=x.dtype)


def _regular(x: Any) -> Any:
    """Matrices that are far from singular, with eigenvalues that are far apart."""
    return x + ops.diag(ops.array([2.0, -2.0, 4.0], dtype=x.dtype))


def _turned(x: Any) -> Any:
    return ops.transpose(x, (0, 2, 1))


def _inner(x: Any) -> Any:
    """With vectors of one number, so that Keras's branch for scalars has the same shape."""
    squares = ops.sum(x**2, axis=(1, 2))[:, None]
    return ops.reshape(ops.inner(squares, ops.convert_to_tensor([[0.5]], x.dtype)), (-1, 1))


PRODUCTS = [
    _case("cdist", lambda x: ops.cdist(x, 2 * _turned(x) + 1)),
    _case("correlate", _each(lambda x: ops.correlate(x, x[:2] ** 2)), shape=VECTOR),
    _case("cross", lambda x: ops.cross(x[:, 0], x[:, 1])),
    _case("dot", _each(lambda x: ops.dot(x, x))),
    _case("einsum", lambda x: ops.einsum("bij,bjk,bkl->bil", x, x, x)),
    _case("inner", _inner, "branch", note="Keras asks in the graph whether it has scalars."),
    _case("matmul", lambda x: ops.matmul(x, _turned(x))),
    _case("matmul", lambda x: ops.matmul(x[:, :, 0], ops.ones((3, 2), x.dtype)), variant="rows"),
    _case("outer", _each(lambda x: ops.outer(x, x**2)), shape=VECTOR),
    _case("tensordot", _each(lambda x: ops.tensordot(x, x, axes=[[0], [1]]))),
    _case("vdot", _each(lambda x: ops.vdot(x, x[::-1])), shape=VECTOR),
]

DECOMPOSITIONS = [
    _case("cholesky", lambda x: ops.cholesky(_positive(x))),
    _case("cholesky_inverse", lambda x: ops.cholesky_inverse(ops.cholesky(_positive(x))), "slow"),
    _case("det", lambda x: ops.det(_regular(x) / 4)),
    _case("eig", lambda x: ops.sort(ops.real(ops.eig(_regular(x))[0])), "complex"),
    _case("eigh", lambda x: ops.eigh(_regular(x) + _turned(x))[0] / 4),
    _case("inv", lambda x: ops.inv(_regular(x)) * 4),
    _case("logdet", lambda x: ops.logdet(_positive(x))),
    _case("lstsq", _each(lambda x: ops.lstsq(x[:, :2], x[:, 2])), "slow", shape=TALL),
    _case("lu_factor", _each(lambda x: ops.lu_factor(_regular(x))[0] / 4)),
    _case("norm", lambda x: ops.norm(_regular(x), ord=2, axis=(1, 2)) / 4, variant="spectral"),
    _case("norm", lambda x: ops.norm(_regular(x), ord="nuc", axis=(1, 2)) / 4, variant="nuclear"),
    _case("pinv", lambda x: ops.pinv(_regular(x)) * 4),
    _case("qr", lambda x: ops.qr(_regular(x))[1] / 4),
    _case("slogdet", lambda x: ops.slogdet(_regular(x))[1]),
    _case("solve", lambda x: ops.solve(_regular(x), x) * 4),
    _case("solve_triangular", lambda x: ops.solve_triangular(_regular(x), x) * 4),
    _case("svd", lambda x: ops.svd(_regular(x), compute_uv=False) / 4),
]

SIGNALS = [
    _case("fft", lambda x: ops.fft((x, x**2)), "complex", shape=SIGNAL),
    _case("fft2", lambda x: ops.fft2((x, x**2)), "complex"),
    _case("ifft2", lambda x: ops.ifft2((x, x**2)), "complex"),
    _case("rfft", lambda x: ops.rfft(x), "complex", shape=SIGNAL),
    _case("irfft", lambda x: ops.irfft((x, x**2)), "complex", shape=(5,)),
    _case("stft", lambda x: ops.stft(x, 4, 2, 4), "complex", shape=SIGNAL),
    _case(
        "istft",
        lambda x: ops.istft(ops.stft(x, 4, 2, 4), 4, 2, 4, length=8),
        "complex",
        shape=SIGNAL,
    ),
]

CASES = [*PRODUCTS, *DECOMPOSITIONS, *SIGNALS]
