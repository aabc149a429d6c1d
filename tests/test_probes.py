from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_curvature.probes import feature_names, make_probe

X = np.arange(6.0).reshape(3, 2)
Y = np.ones((3, 1))


class Frame:
    """What a probe uses of a data frame."""

    columns = ["age", "bmi"]

    def __array__(self, dtype=None, copy=None):
        return X


FORMS = {
    "array": (X, None),
    "list": (X.tolist(), None),
    "tensor": (tf.constant(X), None),
    "x y": ((X, Y), Y),
    "x only": ((X,), None),
    "dataset": (tf.data.Dataset.from_tensor_slices(X).batch(2), None),
    "dataset of x y": (tf.data.Dataset.from_tensor_slices((X, Y)).batch(2), Y),
    "frame": (Frame(), None),
}


@pytest.mark.parametrize(("given", "y"), FORMS.values(), ids=FORMS)
def test_forms_of_a_probe(given, y):
    probe = make_probe(given)
    np.testing.assert_array_equal(probe.x, X)
    assert probe.size == 3
    assert (probe.y is None) == (y is None)
    if y is not None:
        np.testing.assert_array_equal(probe.y, y)


def test_several_inputs_come_in_a_list_or_dict():
    assert make_probe({"a": X, "b": Y}).size == 3
    assert [leaf.shape for leaf in make_probe([X, Y]).x] == [(3, 2), (3, 1)]


def test_text_may_stand_beside_numbers():
    words = np.array([["a"], ["b"], ["a"]])
    for given in (words, words.astype(object), tf.constant(words)):
        probe = make_probe({"city": given, "x": X})
        assert probe.x["city"].astype(str).tolist() == words.tolist()
        np.testing.assert_array_equal(probe.x["x"], X)


def test_a_probe_does_not_change_with_the_array_it_came_from():
    x = X.copy()
    probe = make_probe(x)
    x[:] = 0
    np.testing.assert_array_equal(probe.x, X)


BAD = {
    "empty": (np.zeros((0, 2)), ValueError, "at least one example"),
    "a number": (np.float64(3), ValueError, "at least one example"),
    "nan": (np.array([[1.0], [np.nan]]), ValueError, r"infinite, the first at index \(1, 0\)"),
    "infinite y": ((X, np.full((3, 1), np.inf)), ValueError, "`probe's y` holds 3 value"),
    "text": (np.array(["a"]), TypeError, "must hold numbers"),
    "lengths": ([X, X[:2]], ValueError, "same number of examples"),
    "length of y": ((X, Y[:2]), ValueError, "3 points x, but y of shape"),
    "three of them": ((X, X, X), ValueError, r"must be \(x, y\)"),
    "endless": (tf.data.Dataset.from_tensors(X).repeat(), ValueError, "without end"),
    "empty dataset": (tf.data.Dataset.from_tensors(X).take(0), ValueError, "empty dataset"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_probes(case):
    given, error, message = BAD[case]
    with pytest.raises(error, match=message):
        make_probe(given)


def test_names():
    assert feature_names(None, None, ["input"], [(1,)]) == ("x",)
    assert feature_names(None, None, ["input"], [(2,)]) == ("x0", "x1")
    assert feature_names(None, None, ["input"], [(1, 2)]) == ("x[0,0]", "x[0,1]")
    assert feature_names(None, None, ["a", "b"], [(1,), (2,)]) == ("a", "b[0]", "b[1]")
    assert feature_names(None, ["age", "bmi"], ["input"], [(2,)]) == ("age", "bmi")
    assert feature_names(["s", "t"], ["age", "bmi"], ["input"], [(2,)]) == ("s", "t")
    # columns that are not the model's inputs one by one say nothing
    assert feature_names(None, ["age"], ["input"], [(2,)]) == ("x0", "x1")


@pytest.mark.parametrize("names", [["one"], ["same", "same"], "ab"])
def test_bad_names(names):
    with pytest.raises(ValueError, match="2 different names"):
        feature_names(names, None, ["input"], [(2,)])
