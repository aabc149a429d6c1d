from __future__ import annotations

import random
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_curvature.engines.columns import Subset
from keras_curvature.engines.layout import side_by_side
from keras_curvature.measurement.probe import feature_names, fitted, make_probe

pd = pytest.importorskip("pandas")

X = np.arange(6.0).reshape(3, 2)
Y = np.ones((3, 1))


class Frame:
    """What a probe uses of a data frame."""

    columns = ["age", "bmi"]

    def __init__(self, values=X):
        self.values = values

    def __getitem__(self, name):
        return self.values[:, self.columns.index(name)]


class Batches(keras.utils.PyDataset):
    """Two batches, each made by `make(x, y)`."""

    def __init__(self, make, count=2):
        super().__init__()
        self.make, self.count = make, count

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, i):
        random.random(), np.random.rand()  # noqa: NPY002
        return self.make(X[2 * i : 2 * i + 2], Y[2 * i : 2 * i + 2])


class Loader:
    """Stands in for PyTorch's, which makes lists of batches."""

    def __iter__(self):
        return iter([[X[:2], Y[:2]], [X[2:], Y[2:]]])


Loader.__name__, Loader.__module__ = "DataLoader", "torch.utils.data.dataloader"
WEIGHT = np.arange(3.0)

FORMS = {
    "array": (X, None),
    "list": (X.tolist(), None),
    "tensor": (tf.constant(X), None),
    "x y": ((X, Y), Y),
    "x only": ((X,), None),
    "dataset": (tf.data.Dataset.from_tensor_slices(X).batch(2), None),
    "dataset of x y": (tf.data.Dataset.from_tensor_slices((X, Y)).batch(2), Y),
    "frame": (Frame(), None),
    "x y weight": ((X, Y, WEIGHT), Y),
    "x y no weight": ((X, Y, None), Y),
    "x no y": ((X, None), None),
    "dataset of x y weight": (
        tf.data.Dataset.from_tensor_slices((X, Y, WEIGHT)).batch(2), Y
    ),
    "one batch": (tf.data.Dataset.from_tensors(X), None),
    "PyDataset of x": (Batches(lambda x, y: x), None),
    "PyDataset of x y": (Batches(lambda x, y: (x, y)), Y),
    "PyDataset of a list": (Batches(lambda x, y: [x, y]), Y),
    "PyDataset of x y weight": (Batches(lambda x, y: (tf.constant(x), y, y[:, 0])), Y),
    "PyDataset without y": (Batches(lambda x, y: (x, None)), None),
    "loader": (Loader(), Y),
}  # fmt: skip


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
    "four of them": ((X, X, X, X), ValueError, r"must be \(x,\), \(x, y\) or"),
    "length of weights": ((X, Y, WEIGHT[:2]), ValueError, "weights of shape"),
    "endless": (tf.data.Dataset.from_tensors(X).repeat(), ValueError, "without end"),
    "endless PyDataset": (Batches(lambda x, y: x, None), ValueError, "PyDataset without end"),
    "generator": ((batch for batch in [(X, Y)]), TypeError, r"`next\(generator\)`"),
    "examples": (
        tf.data.Dataset.from_tensor_slices((X, Y)), ValueError, r"\(2,\), \(1,\).*Batch it first",
    ),
    "scalars": (tf.data.Dataset.from_tensor_slices(X[:, 0]), ValueError, "Batch it first"),
    "batches that do not fit": (
        Batches(lambda x, y: x[:, : len(x)]), ValueError, "cannot be joined",
    ),
    "batches of two kinds": (
        Batches(lambda x, y: x if len(x) > 1 else (x, y)), ValueError, "same structure",
    ),
    "ragged": (
        tf.data.Dataset.from_tensors(tf.ragged.constant([[1.0], [2.0, 3.0]])), TypeError, "dense",
    ),
    "empty dataset": (tf.data.Dataset.from_tensors(X).take(0), ValueError, "empty dataset"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_probes(case):
    given, error, message = BAD[case]
    with pytest.raises(error, match=message):
        make_probe(given)


def taking(*names, width=1):
    inputs = [keras.Input((width,), name=name) for name in names]
    return keras.Model(inputs, sum(inputs[1:], inputs[0]))


def test_columns_of_a_frame_are_the_inputs_of_their_names():
    probe = fitted(make_probe((Frame(), Y)), taking("bmi", "age"))
    assert {name: column.tolist() for name, column in probe.x.items()} == {
        "age": X[:, :1].tolist(), "bmi": X[:, 1:].tolist(),
    }  # fmt: skip
    assert probe.columns is None
    assert fitted(make_probe(Frame()), taking("bmi", width=2)).columns == ("age", "bmi")


def test_a_column_that_the_model_has_no_input_for_is_left_out():
    frame = Frame(np.concatenate([X, [[7.0]] * 3], axis=1))
    frame.columns = ["age", "bmi", "other"]
    assert set(fitted(make_probe(frame), taking("bmi", "age")).x) == {"age", "bmi"}


def test_nan_in_a_data_frame_is_refused_at_once_by_its_row_and_column():
    found = r"1 value\(s\).*in row 2, counted from 0, of the column 'bmi'"
    with pytest.raises(ValueError, match=found):
        make_probe(Frame(X * [[1, 1], [1, 1], [1, np.nan]]))
    frame = pd.DataFrame({"city": ["a", "b", "c"], "age": [1, 2, 3], "bmi": [1, 2, np.nan]})
    with pytest.raises(ValueError, match=found):
        make_probe(frame)  # beside text


MARKET = ["spot", "strike", "vol", "maturity"]
TABLE = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=MARKET)
ONE_ARRAY = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])


@pytest.mark.parametrize("names", [MARKET, {"any": MARKET}, None], ids=["list", "dict", "none"])
def test_columns_of_a_frame_are_put_into_the_order_of_the_names(names):
    turned = TABLE[MARKET[::-1]]
    probe = fitted(make_probe(turned), ONE_ARRAY, names)
    expected = turned if names is None else TABLE
    np.testing.assert_array_equal(probe.x, expected.to_numpy())
    assert probe.columns == tuple(expected.columns)


def test_names_of_the_outputs_of_a_layer_are_not_those_of_columns():
    probe = fitted(make_probe(TABLE), ONE_ARRAY, ["a", "b"], wrt=ONE_ARRAY.layers[0].name)
    np.testing.assert_array_equal(probe.x, TABLE.to_numpy())


OTHER_COLUMNS = {
    "one too many": (
        TABLE.assign(price=9.0), MARKET,
        r"the column 'price' is too many. Leave out .*`frame.drop\(columns=\['price'\]\)`",
    ),
    "text too many": (TABLE.assign(id="a"), MARKET, "the column 'id' is too many"),
    "missing": (TABLE[MARKET[:2]], MARKET, r"the columns \['vol', 'maturity'\] are missing"),
    "another": (
        TABLE.rename(columns={"strike": "strik"}), MARKET,
        r"'strik' is too many and the column 'strike' is missing \(is 'strik' meant for 'strike'",
    ),
    "twice": (
        TABLE[[*MARKET, "vol"]], MARKET, "the column 'vol' is there more than once",
    ),
    "known values": (
        (TABLE.assign(price=9.0), np.full(3, 9.0)), None,
        r"must have 4 columns.*\['price'\] hold the known values y.*drop\(columns=\['price'\]\)",
    ),
    "too few": (TABLE[MARKET[:2]], None, r"4 columns.*a data frame of 2, \['spot', 'strike'\]\.$"),
    "nobody knows": (TABLE.assign(price=9.0), None, r"a data frame of 5, \['spot',.*'price'\]\."),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHER_COLUMNS)
def test_columns_of_a_frame_that_are_not_those_of_the_model_are_named(case):
    given, names, message = OTHER_COLUMNS[case]
    with pytest.raises(ValueError, match=message):
        fitted(make_probe(given), ONE_ARRAY, names)


UNFIT = {
    "a tuple of inputs": (
        (Y, Y),
        ["t", "x"],
        r"as a tuple must be \(x, y\).*\{'t': ..., 'x': ...\}",
    ),
    "a list of x and y": ([Y, Y], ["x"], r"list of two.*go in a tuple: \(x, y\)"),
    "other columns": (Frame(), ["age", "bp"], r"columns \['age', 'bmi'\], without \['bp'\]"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_probe_that_does_not_fit_the_model(case):
    given, names, message = UNFIT[case]
    with pytest.raises(ValueError, match=message):
        fitted(make_probe(given), taking(*names))


def test_reading_leaves_the_order_of_a_training_and_random_numbers_as_they_were():
    """A dataset counts how often it has been read, and shuffles by that."""

    def trained(look):
        tf.random.set_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        data = tf.data.Dataset.range(64).shuffle(64).batch(8)
        if look:
            for probe in (data, data.take(2), Batches(lambda x, y: x)):
                make_probe(probe)
        drawn = (random.random(), np.random.rand(), tf.random.uniform([]).numpy())  # noqa: NPY002
        return [np.concatenate(list(data)).tolist() for _ in range(2)], drawn

    assert trained(True) == trained(False)


def layout(names, shapes, structure=None):
    places = list(range(len(names)))
    return side_by_side(shapes, structure or (places[0] if len(names) == 1 else places), names)


ONE, TWO = layout(["input"], [(1,)]), layout(["input"], [(2,)])
LISTED = layout(["a", "b"], [(1,), (2,)])
UNORDERED = layout(["a", "b"], [(1,), (2,)], {"b": 1, "a": 0})
OWN = ("a", "b[0]", "b[1]")
SOME = replace(layout(["input"], [(2,)]), subset=Subset((3, 1), 4))
CHOSEN, PICKED = (replace(layout(["b"], [shape]), beside=True) for shape in ((1,), (2,)))

NAMES = {
    "one": ((None, None, ONE), ("x",)),
    "two": ((None, None, TWO), ("x0", "x1")),
    "deep": ((None, None, layout(["input"], [(1, 2)])), ("x[0,0]", "x[0,1]")),
    "several": ((None, None, LISTED), OWN),
    "columns": ((None, ["age", "bmi"], TWO), ("age", "bmi")),
    "given": ((["s", "t"], ["age", "bmi"], TWO), ("s", "t")),
    # columns that are not the model's inputs one by one say nothing
    "other columns": ((None, ["age"], TWO), ("x0", "x1")),
    "list": ((["s", "t", "u"], None, LISTED), ("s", "t", "u")),
    "dict": (({"b": ["t", "u"], "a": "s"}, None, UNORDERED), ("s", "t", "u")),
    "dict of a list": (({"b": ["t", "u"], "a": "s"}, None, LISTED), ("s", "t", "u")),
    "some": (({"b": ["t", "u"]}, None, UNORDERED), ("a", "t", "u")),
    "some columns": ((None, None, SOME), ("x3", "x1")),
    "some columns by name": ((MARKET, None, SOME), ("maturity", "strike")),
    "some columns of a frame": ((None, MARKET, SOME), ("maturity", "strike")),
    "some columns of a dict": (({"input": MARKET}, None, SOME), ("maturity", "strike")),
    "one of several": ((None, None, CHOSEN), ("b",)),
    "one of several, wide": ((None, None, PICKED), ("b[0]", "b[1]")),
    "by name": ((["b[1]", "a", "b[0]"], None, UNORDERED), OWN),
}


@pytest.mark.parametrize("case", NAMES)
def test_names(case):
    given, names = NAMES[case]
    assert feature_names(*given) == names


BAD_NAMES = {
    "number": ((["one"], TWO), "2 different names"),
    "same": ((["same", "same"], TWO), "2 different names"),
    "of some columns alone": ((["maturity", "strike"], SOME), "4 different names"),
    "string": (("ab", TWO), "2 different names"),
    "list for a dict": ((["s", "t", "u"], UNORDERED), r"Write \{'a': \.\.\., 'b': \.\.\.\}"),
    "lists for a dict": (([["s"], ["t", "u"]], UNORDERED), "must be a dict by the names"),
    "no such input": (({"c": "s"}, UNORDERED), r"names of the inputs \['a', 'b'\].*\['c'\]"),
    "number in a dict": (({"b": "t"}, UNORDERED), "hold 2 names for the input 'b'"),
    "same in a dict": (({"b": ["a", "t"]}, UNORDERED), "3 different names"),
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_bad_names(case):
    (given, inputs), message = BAD_NAMES[case]
    with pytest.raises(ValueError, match=message):
        feature_names(given, None, inputs)
