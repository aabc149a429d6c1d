"""The table of cases itself: complete, well posed, and as true as it claims to be."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator

import keras
import numpy as np
import pytest

import truth
from cases import (
    ALL_CASES,
    CASES,
    EXCLUSIONS,
    TAGS,
    Case,
    direction_of,
    flat_of,
    model_of,
    named,
    parametrized,
    selected,
    true_directional,
    true_flat_of,
    true_gradient,
    true_hessian,
    true_value,
)
from cases.tensorflow_own import RAISES, WRONG, known_verdict, survey
from keras_curvature.verification.stencils import rounding_bound

SMALL = selected(without=["wide"])
WIDE = selected("wide")

DIFFERENCES_ARE_NOT_DERIVATIVES = {"stop_gradient", "straight_through"}
"""Tags of cases whose derivative is not that of their values, on purpose."""


def _public(module: str) -> Iterator[tuple[str, object]]:
    """Classes of `keras.layers`, functions of the other modules, by name."""
    for name, value in vars(getattr(keras, module)).items():
        wanted = inspect.isclass(value) if module == "layers" else inspect.isfunction(value)
        if wanted and not name.startswith("_"):
            yield f"{module}.{name}", value


def _without_a_case(module: str) -> list[str]:
    """Names that no case covers, under this name or as another name of the same object."""
    public = dict(_public(module))
    known = {name for case in ALL_CASES for name in case.covers} | set(EXCLUSIONS)
    objects = {id(public[name]) for name in known if name in public}
    return [name for name, value in public.items() if id(value) not in objects]


# The table is complete


@pytest.mark.parametrize("module", ["layers", "activations", "ops"])
def test_everything_public_has_a_case_or_a_reason(module):
    assert _without_a_case(module) == []


def test_a_layer_without_a_case_is_found_by_its_name(monkeypatch):
    monkeypatch.setattr(keras.layers, "Forgotten", type("Forgotten", (), {}), raising=False)
    assert _without_a_case("layers") == ["layers.Forgotten"]


def test_nothing_has_both_a_case_and_a_reason_for_having_none():
    assert {name for case in ALL_CASES for name in case.covers} & set(EXCLUSIONS) == set()


def test_ids_are_unique():
    assert [id for id, count in Counter(case.id for case in ALL_CASES).items() if count > 1] == []


def test_tags_are_known_and_in_use():
    assert {tag for case in ALL_CASES for tag in case.tags} == set(TAGS)


def test_selection():
    wanted = [case for case in CASES if "loop" in case.tags and "moments" not in case.tags]
    assert selected("loop", without=["moments"]) == wanted != []
    assert [case.id for case in named("layers/LSTM", "ops/exp")] == ["layers/LSTM", "ops/exp"]
    with pytest.raises(ValueError, match="Unknown tags"):
        selected("loops")


# The models are what the table says


@pytest.mark.every(3)
@parametrized(CASES, quick="networks/")
def test_dtypes_agree(case):
    value = true_value(case)
    assert np.isfinite(value).all()
    single = flat_of(case, "float32")
    # float32 has 6e-8; a network of a few layers loses a factor of ten to a hundred, one
    # of a hundred layers a thousand.
    tolerance = 1e-4 if "slow" in case.tags else 1e-5
    np.testing.assert_allclose(single(single.z), value, atol=tolerance * np.abs(value).max())
    if "float32_only" in case.tags:
        with pytest.raises(ValueError, match="has no float64 model"):
            flat_of(case, "float64")
        return
    double = flat_of(case, "float64")
    # Where the truth comes from a twin, its sums are in another order.
    tolerance = 1e-5 if "float32_inside" in case.tags else 1e-13
    np.testing.assert_allclose(double(double.z), value, atol=tolerance * np.abs(value).max())


def test_points_are_the_same_in_both_dtypes():
    for case in CASES:
        points = [keras.tree.flatten(case.batch(dtype)) for dtype in ("float32", "float64")]
        for narrow, wide in zip(*points, strict=True):
            np.testing.assert_array_equal(narrow, wide, err_msg=case.id)


@pytest.mark.slow
def test_weights_are_the_same_in_both_dtypes_and_none_is_at_its_default():
    for case in SMALL:
        dtypes = ["float32"] if "float32_only" in case.tags else ["float32", "float64"]
        weights = [model_of(case, dtype).get_weights() for dtype in dtypes]
        for narrow, wide in zip(weights[0], weights[-1], strict=True):
            np.testing.assert_array_equal(narrow, wide, err_msg=case.id)
            assert narrow.dtype.kind != "f" or not np.isin(narrow, (0.0, 1.0)).any(), case.id


def test_building_leaves_the_dtypes_of_keras_alone():
    before = keras.config.floatx(), keras.config.dtype_policy()
    (case,) = named("layers/Dense")
    flat_of(case, "float64")
    assert (keras.config.floatx(), keras.config.dtype_policy()) == before


# The truth is true


def _hessian_by_differences(case: Case, h: float) -> np.ndarray:
    flat = true_flat_of(case)
    return truth.hessian_of_value(flat, flat.z, h, case.order)


def _norm(hessian: np.ndarray) -> np.ndarray:
    """Frobenius, for each example."""
    return np.sqrt((hessian**2).sum(axis=(1, 2, 3)))


@pytest.mark.every(4)
@parametrized(
    [case for case in SMALL if case.exact is None and not case.is_flat], quick="networks/"
)
def test_the_truth_does_not_depend_on_the_step(case):
    """A step that crosses a kink, or is too long or too short, shows by halving it."""
    whole = true_hessian(case)
    difference = _norm(whole - _hessian_by_differences(case, case.h / 2))
    # The engines are held to 1e-6 of this norm: the truth is to be ten times better. Most
    # cases reach 1e-9; short steps between kinks cost up to 1e-8.
    assert (difference < 1e-7 * _norm(whole)).all()
    # ... and there is something to get wrong: over the distances of the case, the second
    # derivatives change the output by a part that float32 sees.
    reach = np.abs(true_flat_of(case).z).max()
    assert (_norm(whole) * reach**2).min() > 1e-3 * np.abs(true_value(case)).max()


@parametrized([case for case in SMALL if case.is_flat])
def test_where_the_truth_is_zero_differences_leave_rounding(case):
    assert not true_hessian(case).any()
    left = np.abs(_hessian_by_differences(case, case.h)).max()
    assert left < rounding_bound(case.h, case.order, np.abs(true_value(case)).max())


@parametrized(WIDE)
def test_the_truth_along_a_direction_does_not_depend_on_the_step(case):
    flat, v = true_flat_of(case), direction_of(case)
    if "truth_from_gradient" in case.tags:
        other = truth.difference_of_slope(flat.slope, flat.z, v, case.h / 2, case.order)
        # The first derivatives that it trusts are those of the values.
        slope = truth.difference(flat, flat.z, v, 1e-5, order=2)
        np.testing.assert_allclose(flat.slope(flat.z, v), slope, atol=1e-9)
    else:
        other = truth.directional_second_difference(flat, flat.z, v, case.h / 2, case.order)
    found = true_directional(case)
    # Steps of 1e-7 between the kinks of a deep network leave 4e-6 or 1.1e-5, by processor.
    np.testing.assert_allclose(other, found, atol=3e-5 * np.abs(found).max())


@parametrized(selected("closed_form", without=DIFFERENCES_ARE_NOT_DERIVATIVES))
def test_closed_forms_are_the_derivatives_of_the_values(case):
    flat = true_flat_of(case)
    gradient = truth.gradient(flat, flat.z, case.h)
    np.testing.assert_allclose(gradient, true_gradient(case), rtol=0, atol=1e-10)
    hessian = _hessian_by_differences(case, case.h)
    # The sigmoid's poles are 3.1 away: an error of 1e-10 at h = 1/128, all rounding.
    np.testing.assert_allclose(hessian, true_hessian(case), rtol=0, atol=1e-9)


@parametrized(selected("closed_form"))
def test_closed_forms_have_the_right_shapes(case):
    n, m = true_value(case).shape
    d = direction_of(case).shape[1]
    assert true_gradient(case).shape == (n, m, d)
    assert true_hessian(case).shape == (n, m, d, d)


@pytest.mark.parametrize("tag", sorted(DIFFERENCES_ARE_NOT_DERIVATIVES))
def test_where_differences_are_not_derivatives_there_is_a_closed_form(tag):
    assert all(case.exact is not None for case in selected(tag))


# What TensorFlow says


@pytest.mark.slow
@parametrized(c for c in CASES if known_verdict(c) != "right" and "slow" not in c.tags)
def test_tensorflow_is_still_wrong(case):
    """Fails on the day on which TensorFlow is mended: then strike the case from its list."""
    finding = survey(case, "graph")
    assert finding.verdict == known_verdict(case), finding.detail
    assert RAISES.get(case.id, "") in finding.detail


def test_verdicts_are_on_cases():
    assert {*RAISES, *WRONG} <= {case.id for case in ALL_CASES}
