"""Cases of the functions of `keras.ops` that run other functions: branches, loops, scans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from cases.building import function_case
from cases.case import Case

ROW = (4,)


def _case(name: str, function: Callable[[Any], Any], *tags: str, **fields: Any) -> Case:
    return function_case(f"ops/{name}", function, ROW, *tags, covers=[f"ops.{name}"], **fields)


def _by_sign(row: Any) -> Any:
    """One example: which branch is taken depends on its own numbers."""
    return ops.cond(row[0] > 0, lambda: ops.sin(2 * row), lambda: row**3)


def _by_place(row: Any) -> Any:
    index = ops.cast(row[0] > 0, "int32") + ops.cast(row[1] > 0, "int32")
    return ops.switch(index, [ops.sin, ops.exp, ops.square], row)


@ops.custom_gradient
def _log1pexp(x: Any) -> Any:
    """Rewritten for stability only: its gradient is that of its values."""
    e = ops.exp(x)

    def gradient(*args: Any, upstream: Any = None) -> Any:
        upstream = args[0] if upstream is None else upstream
        return upstream * (1 - 1 / (1 + e))

    return ops.log(1 + e), gradient


CASES = [
    _case(
        "associative_scan",
        lambda x: ops.associative_scan(lambda a, b: a * b + b, x, axis=1),
        output_shape=(4,),
    ),
    _case("cond", lambda x: ops.map(_by_sign, x), "branch", "loop", "kinked"),
    _case("custom_gradient", lambda x: _log1pexp(2 * x), "custom_gradient"),
    _case(
        "fori_loop",
        lambda x: ops.fori_loop(0, 3, lambda _, y: ops.sin(y) + x, x),
        "loop",
    ),
    _case("jvp", lambda x: ops.jvp(ops.sin, (x,), (x**2,))[1]),
    _case("map", lambda x: ops.map(ops.sin, x), "loop"),
    _case(
        "scan",
        lambda x: ops.transpose(
            ops.scan(lambda c, a: (ops.sin(c) + a, c * a), x[:, 0], ops.transpose(x))[1]
        ),
        "loop",
    ),
    _case("switch", lambda x: ops.map(_by_place, x), "branch", "loop", "kinked"),
    _case("vectorized_map", lambda x: ops.vectorized_map(lambda row: row * ops.sum(row**2), x)),
    _case(
        "while_loop",
        lambda x: ops.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, ops.sin(y) + x), (0, x))[
            1
        ],
        "loop",
    ),
]
