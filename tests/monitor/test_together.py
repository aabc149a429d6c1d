"""The monitor beside other callbacks, loggers, tuners and threads."""

from __future__ import annotations

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

import keras_curvature as kc
from watched import PROBE, X, Y, assert_same, left_behind, network, steps, train


def test_several_monitors_in_one_fit_keep_apart(tmp_path):
    board = keras.callbacks.TensorBoard(tmp_path)
    near, far = (
        kc.CurvatureMonitor(PROBE, tmp_path),
        kc.CurvatureMonitor(3 * PROBE, tmp_path, name="far", freq=2),
    )
    _, fit = train(near, far, board)
    assert {path.name for path in tmp_path.iterdir()} == {"curvature", "far", "train"}
    assert fit.history["curvature_mean"] == near.history["mean"][1:]
    assert fit.history["far_mean"] == [far.history["mean"][i] for i in (1, 2, 2, 3)]
    assert near.history["mean"] != far.history["mean"]
    assert steps(tmp_path) == [0, 1, 2, 3, 4]
    assert steps(tmp_path, "far/mean", "far") == [0, 1, 2, 4]


def test_two_monitors_of_one_name_are_told_so_once():
    first, second = kc.CurvatureMonitor(PROBE), kc.CurvatureMonitor(3 * PROBE)
    with pytest.warns(UserWarning, match="its own `name`.*name='curvature'") as told:
        train(first, second)
    assert len([one for one in told if "its own `name`" in str(one.message)]) == 1


def test_a_loop_may_hand_the_same_logs_to_every_epoch():
    monitor, logs = kc.CurvatureMonitor(PROBE), {}
    monitor.set_model(network())
    monitor.on_train_begin()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in range(2):
            monitor.on_epoch_begin(epoch)
            monitor.on_epoch_end(epoch, logs)
    assert logs["curvature_mean"] == monitor.history["mean"][-1]


def plateau():
    return keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10)


OTHERS = {
    "schedule": lambda: keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    "plateau": plateau,
    "averages": lambda: keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
    "nan": keras.callbacks.TerminateOnNaN,
}


@pytest.mark.every(2)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[pytest.mark.slow] if name in ("schedule", "nan") else [])
        for name, make in OTHERS.items()
    ],
)
def test_what_others_do_stays_what_it_is(make):
    def trained(*callbacks):
        model = network()
        averages = make is OTHERS["averages"]
        model.compile(keras.optimizers.Adam(0.01, use_ema=averages, ema_momentum=0.5), "mse")
        return train(make(), *callbacks, model=model)

    monitor = kc.CurvatureMonitor(PROBE, units="raw")
    model, fit = trained(monitor)
    assert_same(left_behind(model, fit), left_behind(*trained()))
    # After `SwapEMAWeights` in the list it sees the averaged weights, which the model ends with.
    found = kc.laplacian(model, PROBE).numpy().mean()
    assert monitor.history["mean"][-1] == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_copy_is_a_monitor_of_its_own(when):
    monitor = kc.CurvatureMonitor((PROBE, Y[:8]), freq=lambda epoch: True)
    if when == "after":
        train(monitor, epochs=1)
    known = list(monitor.history["step"])
    another = copy.deepcopy(monitor)
    train(another, epochs=2)
    assert monitor.history["step"] == known
    assert another.history["step"][-2:] == ([1, 2] if when == "before" else [2, 3])


@pytest.mark.slow
def test_keras_tuner(tmp_path):
    keras_tuner = pytest.importorskip("keras_tuner")
    monitor = kc.CurvatureMonitor(PROBE)

    def build(parameters):
        units = parameters.Int("units", 2, 4)
        model = keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(units, "tanh"), keras.layers.Dense(1)]
        )
        model.compile("adam", "mse")
        return model

    tuner = keras_tuner.GridSearch(
        build,
        objective=keras_tuner.Objective("curvature_rms", "min"),
        directory=tmp_path,
        max_trials=3,
    )
    tuner.search(X, Y, epochs=2, verbose=0, callbacks=[monitor])
    scores = [trial.score for trial in tuner.oracle.trials.values()]
    assert len(scores) == 3
    assert np.isfinite(scores).all()
    assert len(set(scores)) == 3
    assert monitor.history["step"] == []  # each trial had a copy


@pytest.mark.slow
@pytest.mark.parametrize("flavor", ["keras", "tensorflow"])
def test_mlflow_logs_it_by_itself(flavor, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("pandas")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    autolog = getattr(mlflow, flavor).autolog
    monitor = kc.CurvatureMonitor(PROBE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        autolog(log_models=False, log_datasets=False)
        try:
            with mlflow.start_run() as run:
                train(monitor)
        finally:
            autolog(disable=True)
        client = mlflow.MlflowClient()
        logged = client.get_metric_history(run.info.run_id, "curvature_mean")
    assert [metric.step for metric in logged] == [0, 1, 2, 3]  # Keras's epochs
    assert [metric.value for metric in logged] == monitor.history["mean"][1:]


@pytest.mark.slow
def test_two_trainings_in_two_threads(tmp_path):
    models = [network(seed) for seed in range(2)]
    monitors = [kc.CurvatureMonitor(PROBE, tmp_path / str(i), units="raw") for i in range(2)]

    def run(i):
        train(monitors[i], model=models[i])

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run, range(2)))
    for i in range(2):
        assert steps(tmp_path / str(i)) == [0, 1, 2, 3, 4]
        found = kc.laplacian(models[i], PROBE).numpy().mean()
        assert monitors[i].history["mean"][-1] == pytest.approx(found, rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_many_threads_that_ask_for_the_same_model():
    model = network()
    known = kc.laplacian(network(), PROBE).numpy()

    def ask(i):
        # Of each kind one, so that all are traced at the same time.
        return kc.laplacian(
            model, PROBE, output=i % 2 - 1, dtype=("float32", "float64")[i // 2 % 2]
        )

    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(ask, range(32)):
            np.testing.assert_allclose(found, known, rtol=1e-4, atol=1e-6)
