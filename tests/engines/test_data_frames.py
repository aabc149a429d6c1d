"""A frame of pandas is the array of its columns, whatever dtypes of numbers these have."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_curvature as kc
from keras_curvature.engines.data_frames import as_array
from keras_curvature.measurement.probe import fitted, make_probe

pd = pytest.importorskip("pandas")

A = np.array([0.5, -1.0, 2.0, 0.25])
ON = np.array([True, False, False, True])

FRAMES = {
    "floats and booleans": {"a": A, "on": ON},
    "floats of two sizes": {"a": A.astype("float32"), "on": ON.astype("float64")},
    "integers and booleans": {"a": (4 * A).astype(int), "on": ON},
    "nullable": {"a": pd.array(A, "Float64"), "on": pd.array(ON, "boolean")},
    "nullable integers": {"a": pd.array(4 * A, "Int32"), "on": ON},
    "booleans alone": {"a": ON, "on": ~ON},
}


@pytest.mark.parametrize("case", FRAMES)
def test_columns_of_numbers_of_any_dtype_are_an_array(case):
    frame = pd.DataFrame(FRAMES[case])
    truth = np.stack([np.array(column, "float64") for column in FRAMES[case].values()], axis=1)
    found = as_array(frame)
    assert found.dtype.kind in "fiub"
    np.testing.assert_array_equal(found, truth)
    np.testing.assert_array_equal(make_probe(frame).x, truth)


def square():
    x = keras.Input((2,))
    return keras.Model(x, x[:, :1] ** 2 * x[:, 1:])


def test_its_derivatives_are_those_of_the_array():
    frame = pd.DataFrame({"a": A, "on": ON})
    truth = np.stack([[[2.0 * on, 2 * a], [2 * a, 0]] for a, on in zip(A, ON, strict=True)])
    np.testing.assert_allclose(kc.hessian(square(), frame)[:, 0], truth, atol=1e-6)
    monitor = kc.CurvatureMonitor(frame)
    monitor.measure(square())
    assert tuple(monitor.reports[""].features) == ("a", "on")


def test_columns_under_one_name_are_each_their_own():
    np.testing.assert_array_equal(
        as_array(pd.DataFrame(np.stack([A, ON], axis=1), columns=["a", "a"])),
        np.stack([A, ON], axis=1),
    )


def test_what_is_missing_is_nan():
    frame = pd.DataFrame({"a": pd.array([1.0, None], "Float64"), "on": pd.array([None, True])})
    np.testing.assert_array_equal(as_array(frame), [[1, np.nan], [np.nan, 1]])
    with pytest.raises(ValueError, match="in row 0, counted from 0, of the column 'on'"):
        fitted(make_probe(frame), square())


NO_NUMBERS = {
    "category": (pd.Categorical(list("abab")), r"'c': 'category'.*Encode \['c'\].*get_dummies"),
    "category of numbers": (pd.Categorical([1, 2, 1, 2]), r"'c': 'category'.*Encode \['c'\]"),
    "text": (np.array(list("abab"), object), r"'c': '(object|str)'.*drop\(columns=\['c'\]\)"),
    "dates": (pd.to_datetime(["2020-01-01"] * 4), r"'c': 'datetime64.*Encode"),
    "numbers as objects": (A.astype(object), r"'c': 'object'.*`frame.astype\(\{'c': 'float32'\}\)"),
}


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_a_column_of_no_numbers_is_named_and_what_to_do(case):
    column, said = NO_NUMBERS[case]
    frame = pd.DataFrame({"a": A, "c": column})
    for ask in (
        lambda frame: fitted(make_probe(frame), square()),
        lambda frame: kc.hessian(square(), frame),
    ):
        with pytest.raises(TypeError, match=said):
            ask(frame)


BESIDES = {
    "text": ["q"] * 4,
    "booleans": ON,
    **{name: one for name, (one, _) in NO_NUMBERS.items()},
}


@pytest.mark.parametrize("case", BESIDES)
def test_what_a_model_of_named_inputs_has_no_input_for_is_left_out(case):
    inputs = {name: keras.Input((1,), name=name) for name in ("a", "b")}
    model = keras.Model(inputs, inputs["a"] ** 2 * inputs["b"])
    frame = pd.DataFrame({"b": ON, "besides": BESIDES[case], "a": A})
    monitor = kc.CurvatureMonitor(frame)
    monitor.measure(model)
    assert set(monitor.reports[""].features) | set(monitor.reports[""].changes) == {"a", "b"}
    found = kc.hessian(model, frame)["a"]["a"]
    np.testing.assert_allclose(np.ravel(found), 2.0 * ON, atol=1e-6)
