"""What is proved holds, what is refuted does not, and nothing of the box is lost in between."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_curvature as kc
from dense_enclosures import DenseEncloser, softplus, tanh
from keras_curvature.enclosures.encloser import encloser
from keras_curvature.engines.api import Options
from keras_curvature.engines.quantities import HESSIAN, partial_name
from keras_curvature.proofs.boxes import Waiting, undivided
from keras_curvature.proofs.claims import Claim
from keras_curvature.proofs.margins import Margins
from keras_curvature.proofs.search import ENOUGH, Search
from keras_curvature.proofs.unproved import unproved

RNG = np.random.default_rng(0)
CLAIMS = {
    "convex": Claim((0,), "a", "convex"),
    "concave": Claim((1,), "b", "concave"),
    "increasing": Claim((0,), "a", "increasing"),
    "decreasing": Claim((1,), "b", "decreasing"),
    "linear": Claim((0,), "a", "linear", 0.0),
    "bounded": Claim((0,), "a", "", 0.8),
    "jointly convex": Claim((0, 1), "", "convex", None, True),
    "jointly concave": Claim((0, 1), "", "concave", None, True),
    "hessian bounded": Claim((0, 1), "", "", 1.2, True),
}


def network(activation, inputs=2, widths=(6,)):
    sizes = [inputs, *widths, 1]
    return DenseEncloser(
        [
            (1.2 * RNG.normal(size=pair) / np.sqrt(pair[0]), 0.3 * RNG.normal(size=pair[1]))
            for pair in itertools.pairwise(sizes)
        ],
        activation,
    )


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as found:
        yield found


@pytest.fixture(scope="module", params=[softplus, tanh], ids=["softplus", "tanh"])
def enclose(request):
    return network(request.param)


def searched(enclose, claim, pool, tolerance=0.0, seconds=1.0, low=(-1, -1), high=(1, 2)):
    ends = (np.array(end, float) for end in (low, high))
    search = Search(Margins(claim, enclose), *ends, tolerance, pool, keeps=True)
    search.sample()
    search.run(time.monotonic() + seconds)
    return search


def true_margin(enclose, claim, x):
    """By the derivatives at points, which the encloser gives of boxes without a width."""
    if claim.joint:
        eigenvalues = np.linalg.eigvalsh(enclose(x, x, [HESSIAN])[HESSIAN][0][:, 0])
        if claim.bound is not None:
            return claim.bound - np.abs(eigenvalues).max(axis=1)
        return eigenvalues[:, 0] if claim.sign > 0 else -eigenvalues[:, -1]
    name = partial_name(claim.inputs * claim.order)
    derivative = enclose(x, x, [name])[name][0][:, 0]
    if claim.bound is not None:
        return claim.bound - np.abs(derivative)
    return claim.sign * derivative


def inside(boxes, count=4):
    share = RNG.random((count, *boxes.low.shape))
    return (boxes.low + share * (boxes.high - boxes.low)).reshape(-1, boxes.low.shape[1])


@pytest.mark.every(3)
@pytest.mark.parametrize("tolerance", [0.0, 0.05])
@pytest.mark.parametrize("name", CLAIMS)
def test_no_point_contradicts_what_was_found(enclose, name, tolerance, pool):
    claim = CLAIMS[name]
    found = searched(enclose, claim, pool, tolerance, seconds=0.3).found
    slack = 1e-9  # the encloser of these tests does not round outwards
    for boxes, holds in ((found.proved_boxes, True), (found.refuted_boxes, False)):
        if len(boxes):
            margin = true_margin(enclose, claim, inside(boxes)) + tolerance
            assert ((margin >= -slack) if holds else (margin < slack)).all()
            assert (margin - tolerance >= found.least - slack).all()
    volumes = [
        boxes.volume.sum() for boxes in (found.proved_boxes, found.refuted_boxes, found.open_boxes)
    ]
    assert sum(volumes) == 1  # powers of a half add up exactly
    assert volumes == pytest.approx([found.proved, found.refuted, found.open], abs=1e-12)
    for violation in found.violations:
        assert violation.upper < -tolerance
        margin = true_margin(enclose, claim, violation.low[None])[0]
        assert violation.lower - slack <= margin <= violation.upper + slack
    if found.refuted:
        assert found.violations


def test_most_of_a_box_of_two_inputs_is_decided(enclose, pool):
    search = searched(enclose, CLAIMS["convex"], pool, seconds=20)
    assert search.done
    assert search.found.open <= ENOUGH


def test_along_an_input_that_is_held_nothing_is_cut(enclose, pool):
    found = searched(enclose, CLAIMS["convex"], pool, low=(-1, 0.5), high=(1, 0.5)).found
    for boxes in (found.proved_boxes, found.refuted_boxes, found.open_boxes):
        assert (boxes.low[:, 1] == 0.5).all()
        assert (boxes.high[:, 1] == 0.5).all()


def test_a_search_goes_on_where_it_was_broken_off(enclose, pool):
    whole = searched(enclose, CLAIMS["increasing"], pool, seconds=20).found

    class Broken:
        calls = 0

        def __call__(self, low, high, names):
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return enclose(low, high, names)

    ends = np.array([-1.0, -1]), np.array([1.0, 2])
    broken = Broken()
    broken.calls = -1000  # not while it samples
    search = Search(Margins(CLAIMS["increasing"], broken), *ends, 0.0, pool, keeps=True)
    search.sample()
    broken.calls = 0
    with pytest.raises(KeyboardInterrupt):
        search.run(time.monotonic() + 20)
    part = search.found
    assert part.open > whole.open
    assert part.proved + part.refuted + part.open == 1
    search.run(time.monotonic() + 20)
    again = search.found
    assert (again.proved, again.refuted) == (whole.proved, whole.refuted)


def boxes_of(cuts):
    n = len(cuts)
    nothing = np.zeros((n, 2))
    return undivided(nothing, nothing + 1, np.zeros(n), np.zeros(n), nothing, np.array(cuts))


def test_the_largest_come_first_until_memory_is_short():
    waiting = Waiting(boxes_of([3, 1, 2, 1]), most_bytes=5 * 8 * 14)
    assert waiting.take(10).cuts.tolist() == [1, 1]
    waiting.add(boxes_of([4, 4, 4]))
    assert waiting.full
    assert waiting.take(2).cuts.tolist() == [4, 4]
    assert len(waiting) == 3
    assert waiting.take(10).cuts.tolist() == [2]


def test_what_is_decided_in_part_comes_after_what_is_open():
    waiting = Waiting(boxes_of([1, 1, 3]))
    first = waiting.take(1)
    waiting.add(replace(first, proved=np.array([0.5]), refuted=np.array([0.45])))
    assert (waiting.proved, waiting.refuted) == (0.25, 0.225)
    assert [waiting.take(1).cuts.tolist() for _ in range(3)] == [[1], [3], [1]]
    assert (waiting.proved, waiting.refuted) == (0, 0)


def of_three_inputs(claim, pool, *, keeps=False, tolerance=0.0, boxes=5000):
    keras.utils.set_random_seed(2)
    hidden = [keras.layers.Dense(8, "tanh") for _ in range(2)]
    model = keras.Sequential([keras.Input((3,)), *hidden, keras.layers.Dense(1)])
    low, high = -np.ones(3), np.array([1.0, 2.0, 1.0])
    enclose = encloser(model, low[None].astype("float32"), Options(dtype="float64"))
    search = Search(Margins(CLAIMS[claim], enclose), low, high, tolerance, pool, keeps=keeps)
    search.sample()
    while not search.done and search.found.boxes < boxes:
        search.run(time.monotonic() + 0.2)  # as long as a batch of many boxes takes
    return model, search.found, (low, high)


@pytest.mark.every(3)
@pytest.mark.parametrize("claim", ["convex", "concave", "increasing"])
@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_parts_of_boxes_hold_what_is_said_of_them(claim, tolerance, pool):
    """Of points drawn evenly, as many violate the claim as the shares say."""
    model, found, (low, high) = of_three_inputs(claim, pool, tolerance=tolerance)
    one = CLAIMS[claim]
    x = np.random.default_rng(1).uniform(low, high, size=(20_000, 3))
    by = one.inputs * one.order
    true = keras.ops.convert_to_numpy(
        kc.derivatives(model, x, {"d": by}, dtype="float64")["d"]
    ).ravel()
    violated = float(np.mean(one.sign * true < -tolerance))
    chance = 4 * np.sqrt(0.25 / len(x))  # four standard deviations at most
    assert found.refuted - chance <= violated <= found.refuted + found.open + chance
    assert found.proved - chance <= 1 - violated <= found.proved + found.open + chance
    assert found.proved + found.refuted + found.open == pytest.approx(1, abs=1e-12)
    assert found.violations
    assert found.open_boxes.proved.any()
    assert 0 < found.open < 0.06  # as tight as that: the shares are of what is known


@pytest.mark.slow
def test_parts_leave_less_open(pool):
    _, divided, _ = of_three_inputs("convex", pool, boxes=3000)
    _, whole, _ = of_three_inputs("convex", pool, keeps=True, boxes=3000)
    assert divided.open_boxes.refuted.any()
    assert divided.open < 0.2 * whole.open
    assert not whole.open_boxes.proved.any()
    assert not whole.open_boxes.refuted.any()


@pytest.mark.slow
def test_points_of_what_is_open_are_not_of_what_is_proved(pool):
    model, found, _ = of_three_inputs("convex", pool)
    assert found.open_boxes.proved.max() > 0.5
    x = unproved(found, 0.0).drawn(2000, np.random.default_rng(0))
    true = keras.ops.convert_to_numpy(
        kc.derivatives(model, x, {"d": (0, 0)}, dtype="float64")["d"]
    ).ravel()
    holds = float(np.mean(true > 0))
    open_of_all = found.open / (found.open + found.refuted)
    assert holds <= open_of_all + 0.05  # 4 standard deviations
