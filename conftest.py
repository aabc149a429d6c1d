"""What the tests of tests/ and the doctests of src/ share: TensorFlow set up, rules put back."""

import collections
import copy
import os

import pytest

# Read by the libraries once, when they are imported.
os.environ["KERAS_BACKEND"] = os.environ.get("TEST_BACKEND", "tensorflow")
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's would wait for each other in turns
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


# What is one backend's own asks for more of it: it is imported where that backend runs.
_APART = {"jax", "programs", "tensorflow", "torch"} - {os.environ["KERAS_BACKEND"]}
if os.environ["KERAS_BACKEND"] != "tensorflow":
    _APART.discard("programs")
collect_ignore = [f"src/keras_curvature/engines/{name}" for name in _APART]


def pytest_collection_modifyitems(items):
    place = collections.Counter()
    for item in items:
        if every := item.get_closest_marker("every"):
            table = item.nodeid.partition("[")[0]
            # Steps of the golden ratio: those of a round number would meet the same values of a
            # parameter again and again.
            if place[table] * 0.618034 % 1 >= 1 / every.args[0]:
                item.add_marker(pytest.mark.slow)
            place[table] += 1
    if os.environ["KERAS_BACKEND"] != "tensorflow":
        for item in items:
            if item.get_closest_marker("tensorflow"):
                item.add_marker(pytest.mark.skip(reason="of TensorFlow alone"))


@pytest.fixture(autouse=True)
def numbers_drawn_as_if_alone(request):
    """What a test draws from the `RNG` of its file does not hang on the tests before it."""
    drawn = getattr(request.node, "module", None)
    # Not with `monkeypatch`: asked for here it would be undone after every other fixture, and put
    # back what these had put away.
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(drawn, "RNG"):
            patch.setattr(drawn, "RNG", copy.deepcopy(drawn.RNG))
        yield


@pytest.fixture(autouse=True, scope="session")
def names_in_doctests(doctest_namespace):
    # Imported here and not above: a conftest that imports TensorFlow delays pytest-xdist
    # by seconds and has TensorFlow's start-up messages printed below pytest's summary.
    import keras
    import numpy as np
    import tensorflow as tf

    import keras_curvature as kc

    doctest_namespace.update(kc=kc, keras=keras, np=np, tf=tf)


@pytest.fixture
def rules_as_before():
    """What a test does to the rules of the Taylor engine is undone after it."""
    from keras_curvature.engines.op_types import GIVEN
    from keras_curvature.engines.taylor import registry

    tables = (registry._rules, GIVEN)
    before = [dict(table) for table in tables]
    yield
    for table, rows in zip(tables, before, strict=True):
        table.clear()
        table.update(rows)
