"""What a name was meant for that none of a monitor's numbers has."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from keras_curvature.measurement.closest_name import closest
from keras_curvature.report.metrics import MEANINGS

NEEDS: Mapping[str, str] = {
    "r2": "known values in the shape of the output, `probe` as (x, y)",
    "reference": "known second derivatives, `reference=`",
    "scale_reference": "known second derivatives, `reference=`",
    "shape": "a shape to keep, `shape=`",
    "joint": "the whole Hessian, exactly: of few inputs, or with `directions='all'`",
    "interaction": "the whole Hessian, exactly: of few inputs, or with `directions='all'`",
    "top_eigenvalue": "the whole Hessian, exactly: of few inputs, or with `directions='all'`",
}
"""Which numbers are not always measured, by the beginning of their names."""


def advice(name: str, known: Collection[str]) -> str:
    """What to do about a name that none of the numbers measured has.

    Args:
        name: that was given.
        known: those that there are, without a prefix.
    """
    inner = [one for one in known if name.endswith((f"_{one}", f"/{one}"))]
    if inner:
        meant = max(inner, key=len)
        return f"Write it without `{name.removesuffix(meant)}`: {meant!r}."
    longer = tuple(f"_{one}" for one in MEANINGS if one.endswith(f"_{name}"))
    outputs = [one for one in known if one.endswith(f"_{name}") and not one.endswith(longer)]
    if outputs and name in MEANINGS:
        return f"Each output has its own: {outputs}."
    change = name.replace("feature/", "change/")
    if change != name and change in known:
        return f"That input has two values only, and so a change: {change!r}."
    need = next((need for start, need in NEEDS.items() if f"_{start}" in f"_{name}"), None)
    close = closest(name, known)
    if close:
        return f"Did you mean {close!r}?"
    return f"It needs {need}." if need else ""
