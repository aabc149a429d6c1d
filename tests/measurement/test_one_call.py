import dataclasses

import keras
import numpy as np
import pytest

from keras_curvature.engines.options import Options
from keras_curvature.measurement import one_call
from keras_curvature.measurement.exact_or_estimated import measurer_for
from keras_curvature.measurement.probe import make_probe

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
TWO = np.where(np.arange(40) % 3 == 0, 1.0, 0.0).astype("float32")

CASES = {
    "as they are": {},
    "a wish for few at a time": {"batch_size": 7},
    "float64 for a short scale": {"scale": 1e-3},
    "some columns": {"columns": (0,)},
    "random directions": {"directions": 4},
}


def model_of(d=3):
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(8, "silu")
    return keras.Sequential([keras.Input((d,)), hidden, keras.layers.Dense(2)])


def measurer(model=None, x=X, scale="auto", directions=None, **options):
    return measurer_for(
        model or model_of(), make_probe(x), options=Options(**options), directions=directions,
        units="auto", scale=scale, reference=None, names=None,
    )  # fmt: skip


def each_by_itself(tasks):
    return [[name] for name in tasks]


def arrays_of(measured):
    """All that was measured, those of its parts by the names of both."""
    found = {}
    for name, part in vars(measured).items():
        parts = arrays_of(part) if dataclasses.is_dataclass(part) else {"": part}
        found |= {f"{name} {inner}": array for inner, array in parts.items()}
    return {name: part for name, part in found.items() if isinstance(part, np.ndarray)}


@pytest.mark.slow
@pytest.mark.parametrize("asked", CASES.values(), ids=CASES)
def test_in_one_call_or_each_by_itself_the_numbers_are_the_same(asked, monkeypatch):
    x = np.column_stack([X[:, :2], TWO])
    together = arrays_of(measurer(x=x, **asked).measure(sliced=True)[""])
    monkeypatch.setattr(one_call, "groups", each_by_itself)
    apart = arrays_of(measurer(x=x, **asked).measure(sliced=True)[""])
    assert together.keys() == apart.keys()
    for name, part in together.items():
        # A product of matrices may add up in another order where there are more rows.
        np.testing.assert_allclose(part, apart[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_what_fits_into_memory_is_one_call(monkeypatch):
    calls = []
    run = one_call.run
    monkeypatch.setattr(one_call, "run", lambda task: calls.append(task) or run(task))
    measurer().measure(sliced=True)
    assert not calls
    measurer(batch_size=7).measure(sliced=True)
    assert len(calls) == 6  # points, lines, distances, scale, slices, digits


def test_tasks_go_together_as_far_as_the_memory_goes():
    bound = measurer().bound

    def task(points, size, **about):
        return one_call.Task(bound, lambda x: {"x": x}, [np.zeros((points, 3))], size, **about)

    few = {"a": task(2, 10), "b": task(3, 10)}
    assert one_call.groups(few) == [["a", "b"]]
    assert one_call.groups(few | {"c": task(6, 10)}) == [["a"], ["b"], ["c"]]
    assert one_call.groups(few | {"in parts": task(11, 10)}) == [["in parts"], ["a", "b"]]
    halved = {"in halves": task(2, 10, halved_from=2)}
    assert one_call.groups(few | halved) == [["in halves"], ["a", "b"]]


@pytest.mark.slow
def test_where_one_call_fails_each_is_made_by_itself_from_then_on(monkeypatch):
    tried = []

    def fails(tasks):
        tried.append(len(tasks))
        raise MemoryError("the memory ran out")

    expected = measurer().measure()[""].headline()
    monkeypatch.setattr(one_call, "joined", fails)
    one = measurer()
    for _ in range(2):
        assert one.measure()[""].headline() == pytest.approx(expected, rel=1e-5)
    assert tried == [4]
