"""A page in a notebook that follows a training: every step arrives, once, and all are left."""

import json
import re
import time

import keras
import numpy as np
import pytest

import keras_curvature as kc
from keras_curvature.summaries import notebook

X = np.linspace(-1, 1, 24)[:, None]


class Outputs:
    """A front end that keeps what it is told to show, in order."""

    def __init__(self):
        self.shown = []

    def display(self, bundle, *, raw, display_id):
        assert raw
        place = Place(self, len({place for place, _ in self.shown}))
        place.update(bundle, raw=True)
        return place


class Place:
    def __init__(self, outputs, number):
        self.outputs, self.number = outputs, number

    def update(self, bundle, *, raw):
        assert raw
        assert set(bundle) == {"text/html", "text/plain"}
        self.outputs.shown.append((self.number, bundle["text/html"]))


@pytest.fixture
def outputs(monkeypatch):
    found = Outputs()
    monkeypatch.setattr(notebook, "_display", lambda: found.display)
    return found


def train(monitor, epochs=3):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X**2, epochs=epochs, verbose=0, callbacks=[monitor])


def news(text):
    return json.loads(re.search(r", told = (.*);$", text, re.MULTILINE)[1])


def steps(told):
    return [s for c in told["chunks"] if c["tag"].endswith("/steps") for s in c["steps"]]


@pytest.mark.parametrize("logged", [True, False], ids=["with a log", "without one"])
def test_every_measured_step_is_told_once(tmp_path, outputs, monkeypatch, logged):
    monkeypatch.setattr(notebook, "PAUSE", 0.0)
    monitor = kc.CurvatureMonitor((X, X**2), tmp_path / "run</script>" if logged else None)
    monitor.show()
    train(monitor)
    (frame, first), (told, nothing), *between, (_, cleared), (_, last) = outputs.shown
    assert [place for place, _ in between] == [told] * 4
    assert (nothing, cleared) == ("", "")
    assert [steps(news(text)) for _, text in between] == [[0], [1], [2], [3]]
    assert all(text.count("</script>") == 1 for _, text in between)
    name = re.search(r'name="(keras-curvature-\w+)"', first)[1]
    assert all(f'name = "{name}"' in text for _, text in between)
    assert outputs.shown[-1][0] == frame
    assert "&quot;steps&quot;:[0,1,2,3]" in last
    assert "allow-same-origin" not in first + last


def test_a_second_training_is_followed_too(outputs, monkeypatch):
    monkeypatch.setattr(notebook, "PAUSE", 0.0)
    monitor = kc.CurvatureMonitor((X, X**2))
    monitor.show()
    train(monitor, 2)
    (name,) = re.findall(r'iframe name="(.*?)"', outputs.shown[-1][1])
    count = len(outputs.shown)
    train(monitor, 1)
    told = [text for _, text in outputs.shown[count:] if text.startswith("<script>")]
    assert [steps(news(text)) for text in told] == [[3]]
    assert f'name = "{name}"' in told[0]
    live = monitor._page._live
    live.forget_after(1)  # as where a backup is taken up
    live.update(monitor._page._source(monitor._found))
    assert steps(news(outputs.shown[-1][1])) == [2, 3]


def test_quick_epochs_are_told_together(outputs, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monitor = kc.CurvatureMonitor((X, X**2))
    monitor.show()

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            now[0] += 0.09

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X**2, epochs=7, verbose=0, callbacks=[Clock(), monitor])
    told = [steps(news(text)) for _, text in outputs.shown if text.startswith("<script>")]
    assert told == [[0], [1, 2, 3], [4, 5, 6]]  # the last one is in what is left
    assert "&quot;steps&quot;:[0,1,2,3,4,5,6,7]" in outputs.shown[-1][1]


def test_slices_are_measured_for_those_who_look(outputs):
    x = np.random.default_rng(0).normal(size=(16, 3))
    for looks in (False, True):
        monitor = kc.CurvatureMonitor(x)
        if looks:
            monitor.show()
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(x, x[:, :1], epochs=1, verbose=0, callbacks=[monitor])
        assert ("&quot;slice_value&quot;,[" in monitor._repr_html_()) == looks


def test_a_fault_of_the_notebook_does_not_end_a_training(outputs, monkeypatch):
    monitor = kc.CurvatureMonitor(X, on_error="warn")
    monitor.show()

    def gone(*_, **__):
        raise RuntimeError("the front end is gone")

    monkeypatch.setattr(Place, "update", gone)
    with pytest.warns(UserWarning, match="the front end is gone"):
        train(monitor)
    assert monitor.history["step"] == [0, 1, 2, 3]


def test_elsewhere_it_says_what_to_do():
    with pytest.raises(RuntimeError, match="needs a notebook"):
        kc.CurvatureMonitor(X).show()
