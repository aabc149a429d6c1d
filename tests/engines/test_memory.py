"""Memory stays bounded whatever the number of examples."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_curvature as kc
from keras_curvature.engines import bound_model, chunking
from keras_curvature.engines.tensorflow import shared_functions

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cost" / "memory.py"


def peak(*work):
    command = [sys.executable, SCRIPT, "--one", *map(str, work)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "work", [("laplacian", 100_000, 16), ("hessian", 256, 256)], ids=["many points", "wide"]
)
def test_peak_memory_is_what_the_docs_say(work):
    found = peak(*work)
    # The budget is an estimate of what is alive at once: twice it is the promise.
    assert found["peak"] < 2 * chunking.MEMORY_BUDGET + 3 * found["result"]


def test_a_plan_never_exceeds_the_rows_that_fit():
    for rows in (1, 7, 1000):
        for per_example in (1, 3, 2000):
            for directions in (1, 5, 5000):
                examples, at_once = chunking.plan(rows, per_example, directions)
                assert min(examples, at_once) >= 1
                assert at_once <= directions
                # One example with one direction is the least there is.
                assert examples * at_once * per_example <= max(rows, per_example)


def test_rows_shrink_with_what_each_of_them_holds():
    import tensorflow as tf

    assert chunking.rows_at_once(10**12, tf.float32) == 1
    assert chunking.rows_at_once(1024, tf.float32) == 2 * chunking.rows_at_once(1024, tf.float64)


@pytest.mark.slow  # in a process with many graphs collecting garbage takes seconds
@pytest.mark.parametrize("activation", ["tanh", "silu"])
def test_the_graphs_of_a_model_that_is_gone_go_too(activation, monkeypatch):
    """Both have gradients that TensorFlow's registry would keep, and their graphs with them."""
    # What serves other models too is kept for them: here it is not.
    monkeypatch.setattr(shared_functions, "KEPT", 0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation)])
    kc.laplacian(model, np.ones((2, 3), "float32"))
    (evaluator,) = bound_model._evaluators[model].values()
    (whole,) = evaluator.compiled.values()
    graphs = [weakref.ref(graph) for graph in (evaluator.f.traced.graph, whole.function.graph)]
    del model, evaluator, whole
    keras.backend.clear_session()
    for _ in range(2):  # Keras lets go in steps
        gc.collect()
    assert [graph() for graph in graphs] == [None, None]
