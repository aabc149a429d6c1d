"""`seconds` is kept and counted, and no claim lives off the others: on a clock of its own."""

from __future__ import annotations

import time

import numpy as np
import pytest

from keras_curvature.engines.quantities import partial_name
from keras_curvature.proofs.box import Box
from keras_curvature.proofs.claims import Claim
from keras_curvature.proofs.prove import proof_of

D = 4
SLOPES = ("increasing", "decreasing")
STARTED = 1000.0


class Clock:
    """Time that passes where a box is enclosed, and nowhere else."""

    def __init__(self):
        self.now = STARTED

    def __call__(self):
        return self.now


class Waves:
    """The sum of cos(x_i) and of the last input: slopes -sin(x_i), in intervals that are too wide.

    Each call takes 1 ms, and each box 0.1 ms for each derivative.
    """

    def __init__(self, clock):
        self.clock, self.calls = clock, 0

    def __call__(self, low, high, names):
        self.calls += 1
        self.clock.now += 1e-3 + 1e-4 * len(low) * len(names)
        return {partial_name((i,)): self._slope(low, high, i) for i in range(D)}

    @staticmethod
    def _slope(low, high, i):
        if i == 3:
            return np.ones((len(low), 1)), np.ones((len(low), 1))
        middle, reach = low[:, [i]] / 2 + high[:, [i]] / 2, (high - low).sum(axis=1)[:, None]
        return -np.sin(middle) - reach, -np.sin(middle) + reach


CLAIMS = [Claim((i,), f"x{i}", word) for i in range(3) for word in SLOPES]


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(time, "monotonic", found)
    return found


def proved(clock, seconds, claims=CLAIMS, spent_before=0.0):
    box = Box(None, np.full(D, -1.0), np.full(D, 1.0), tuple(f"x{i}" for i in range(D)))
    begun = clock.now
    clock.now += spent_before
    return proof_of(Waves(clock), box, claims, lambda claim: 0.0, seconds, False, begun)


@pytest.mark.parametrize("seconds", [1.5, 5.0, 20.0])
def test_all_of_it_takes_the_time_that_was_given(clock, seconds):
    proof = proved(clock, seconds, spent_before=0.2)
    took = clock.now - STARTED
    # The last batch of each of six claims and of their slices, of at least 16 boxes, may be late.
    assert 0.9 * seconds <= took <= seconds + 0.3
    assert proof.total_seconds == took
    assert proof.setup_seconds == pytest.approx(0.2)
    assert sum(proof.seconds.values()) + proof.setup_seconds == pytest.approx(took)
    # Pictures had time, too; in 0.05 s each there is but a box.
    assert seconds < 5 or all(len(one.states) > 16 for one in proof.maps)
    assert f"It took {took:.1f} s, 0.2 s of it to trace the model." in " ".join(str(proof).split())


def test_every_claim_has_as_much_wherever_it_stands(clock):
    proof = proved(clock, 5.0)
    assert min(proof.boxes.values()) > 0.5 * max(proof.boxes.values())
    turned = proved(clock, 5.0, claims=CLAIMS[::-1])
    for name, claim in proof.claims.items():
        other = turned.claims[name]
        assert (claim.verdict, claim.boxes) == (other.verdict, pytest.approx(other.boxes, rel=0.3))


def test_what_one_does_not_need_the_others_have(clock):
    easy = Claim((3,), "x3", "increasing")
    alone = proved(clock, 3.0, claims=CLAIMS[:2])
    for claims in ([*CLAIMS[:2], easy], [easy, *CLAIMS[:2]]):
        proof = proved(clock, 3.0, claims=claims)
        for one in CLAIMS[:2]:
            assert proof.boxes[one.name] > 0.7 * alone.boxes[one.name]
