"""How long the tab takes for long trainings: `pytest -s` prints it, and no time fails a test."""

import dataclasses
import time

import numpy as np
import pytest

from closed_forms import parabola, report
from keras_curvature.summaries.run_writer import RunWriter
from tensorboard_process import tensorboard

EPOCHS, RUNS, POINTS = 1000, 5, 1000
MOVES = np.random.default_rng(0).integers(0, EPOCHS, 40).tolist()

SPENT = """from => performance.getEntriesByName("curvature move").slice(from)
    .map(({ duration }) => duration)"""


@pytest.fixture(scope="module")
def long_runs(tmp_path_factory):
    """Five trainings of a thousand epochs, each epoch of its own."""
    folder = tmp_path_factory.mktemp("long")
    at = parabola(POINTS)
    for run in range(RUNS):
        writer = RunWriter(folder / f"run{run}")
        for step in range(EPOCHS):
            grown = 1 - np.exp(-(step + 1) * (run + 1) / EPOCHS)
            now = dataclasses.replace(
                at,
                value=at.value * grown,
                jacobian=at.jacobian * grown,
                diagonal=at.diagonal * grown + 0.1 * np.sin(20 * at.x[..., None] + step),
                scale_diagonal=at.scale_diagonal * grown,
            )
            writer.write_tab(report({"x": 1.0}, step=step), now)
        writer.close()
    return folder


def test_long_trainings_open_and_move(long_runs, open_tab):
    with tensorboard(long_runs, runs=RUNS) as address:
        begin = time.perf_counter()
        tab = open_tab(address)
        shown = time.perf_counter() - begin
        own = tab.frame.evaluate('performance.getEntriesByName("curvature move")[0]')
        tab.choose(*(f"run{run}" for run in range(RUNS)))
        assert tab.epoch == f"epoch {EPOCHS - 1} of {EPOCHS - 1}"
        assert len(tab.labels) == RUNS
        spent = {"first": _moved(tab), "again": _moved(tab)}
        tab.move(500)
        table = tab.table("run1", "Function")
        grown = 1 - np.exp(-501 * 2 / EPOCHS)
        np.testing.assert_allclose(table["model [y]"][-1], grown, rtol=1e-3)
    print(f"\n{EPOCHS} epochs, {RUNS} runs, {POINTS} points of one input")
    print(f"opened in {shown:.1f} s with TensorBoard itself, of which the tab's page ", end="")
    print(f"{(own['startTime'] + own['duration']) / 1e3:.1f} s")
    for which, times in spent.items():
        print(f"a move, {which}: median {np.median(times):.0f} ms, longest {max(times):.0f} ms")


def _moved(tab):
    """Milliseconds of each of some moves of the slider, far from each other."""
    before = tab.frame.evaluate('performance.getEntriesByName("curvature move").length')
    for place in MOVES:
        tab.move(place)
    return tab.frame.evaluate(SPENT, before)
