"""The table of model cases that every engine, dtype and the graph interpreter are tested with.

    from cases import CASES, named, parametrized, selected

    @parametrized(selected("moments"))
    def test_...(case):
        model, x = model_of(case, "float32"), case.batch("float32")
        found = kc.hessian(model, x, **case.kwargs)
        ... true_hessian(case) ...

`flat` has the models and the true values, gradients, Hessians and curvatures along a
direction; all are computed once per session.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from cases import (
    activations,
    applications,
    differentiating,
    layers_attention,
    layers_core,
    layers_normalization,
    layers_preprocessing,
    layers_recurrent,
    layers_windows,
    model_shapes,
    networks_dense,
    networks_structured,
    ops_arrays,
    ops_control,
    ops_elementwise,
    ops_linalg,
    ops_neural,
    tensorflow_code,
)
from cases.case import TAGS, Case, Exact
from cases.exclusions import EXCLUSIONS
from cases.flat import (
    Flat,
    direction_of,
    flat_of,
    forget_models,
    joined,
    model_of,
    true_directional,
    true_flat_of,
    true_gradient,
    true_hessian,
    true_value,
)

FAMILIES = (
    layers_core,
    layers_windows,
    layers_normalization,
    layers_recurrent,
    layers_attention,
    layers_preprocessing,
    activations,
    ops_elementwise,
    ops_arrays,
    ops_linalg,
    ops_neural,
    ops_control,
    networks_dense,
    networks_structured,
    model_shapes,
    tensorflow_code,
    differentiating,
    applications,
)

ALL_CASES: tuple[Case, ...] = tuple(case for family in FAMILIES for case in family.CASES)
"""The whole table, whether or not the installed Keras has all of it."""

CASES: tuple[Case, ...] = tuple(case for case in ALL_CASES if case.is_available())
"""What can be tested here."""


def selected(*tags: str, without: Iterable[str] = ()) -> list[Case]:
    """The cases that have all of `tags` and none of `without`."""
    unknown = {*tags, *without} - set(TAGS)
    if unknown:
        raise ValueError(f"Unknown tags {sorted(unknown)}. The tags are {sorted(TAGS)}.")
    return [case for case in CASES if case.tags >= set(tags) and not case.tags & set(without)]


def named(*ids: str) -> list[Case]:
    """The cases with these ids, in this order."""
    by_id = {case.id: case for case in CASES}
    return [by_id[id] for id in ids]


def _marks(case: Case, quick: str) -> list[Any]:
    slow = "slow" in case.tags or not case.id.startswith(quick)
    return [pytest.mark.slow] if slow else []


def parametrized(cases: Iterable[Case], quick: str = "") -> Any:
    """Runs a test with the argument `case` for each case; slow ones are marked `slow`.

    Args:
        cases: the cases.
        quick: how the names of those begin that are not slow.
    """
    return pytest.mark.parametrize(
        "case",
        [pytest.param(case, id=case.id, marks=_marks(case, quick)) for case in cases],
    )


__all__ = [
    "ALL_CASES",
    "CASES",
    "EXCLUSIONS",
    "TAGS",
    "Case",
    "Exact",
    "Flat",
    "direction_of",
    "flat_of",
    "forget_models",
    "joined",
    "model_of",
    "named",
    "parametrized",
    "selected",
    "true_directional",
    "true_flat_of",
    "true_gradient",
    "true_hessian",
    "true_value",
]
