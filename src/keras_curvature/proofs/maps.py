"""What a picture of a proof shows: the boxes along one input or over two."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from keras_curvature.proofs.claims import Claim
from keras_curvature.proofs.results import ClaimProof
from keras_curvature.proofs.search import Found, Search
from keras_curvature.report.box_map import BoxMap
from keras_curvature.report.text import listed, plain
from keras_curvature.typing import Array

SECONDS = 1.5
"""That a slice may take at most: enough for a picture."""

MOST = 30_000
"""Boxes that are drawn of each kind, the largest."""


def map_of(
    claim: Claim,
    found: Found,
    ends: tuple[Array, Array],
    names: tuple[str, ...],
    search: Callable[[Array, Array], Search],
    proof: ClaimProof,
    seconds: float = SECONDS,
) -> BoxMap:
    """What is drawn of a claim: all of a box of one or two inputs, a slice of one of more.

    Args:
        claim: what is claimed.
        found: in the whole box.
        ends: its corners.
        names: of its inputs.
        search: makes one in a slice of the box.
        proof: what was found in the whole box.
        seconds: that a slice may take.
    """
    low, high = ends
    active = [int(i) for i in np.flatnonzero(high > low)]
    worst = found.violations[0] if found.violations else None
    centre = low + (high - low) / 2
    if worst is not None:
        centre = worst.low / 2 + worst.high / 2
    elif len(found.open_boxes):  # a slice that says why it is open
        centre = found.open_boxes.middle[int(found.open_boxes.lower.argmin())]
    drawn = active
    if len(active) > 2:
        drawn = _two(claim, search(low, high).to_blame(), active)
        beside = np.isin(np.arange(len(low)), drawn, invert=True)
        low, high = np.where(beside, centre, low), np.where(beside, centre, high)
        sliced = search(low, high)
        if worst is not None:
            sliced.know(worst)
        sliced.run(time.monotonic() + seconds)
        found = sliced.found
    held = [f"{plain(names[i], 20)} = {centre[i]:.4g}" for i in active if i not in drawn]
    parts = [(1, found.proved_boxes), (0, found.open_boxes), (-1, found.refuted_boxes)]
    parts = [(state, boxes.of(slice(MOST))) for state, boxes in parts]
    margins = np.concatenate([np.stack([b.lower, b.upper]) for _, b in parts], axis=1)
    first, second = claim.value(margins[0]), claim.value(margins[1])
    return BoxMap(
        claim=claim.sentence,
        verdict=proof.at_a_glance,
        shares=", ".join(proof.shares),
        derivative=claim.derivative,
        names=tuple(names[i] for i in drawn),
        low=low[drawn],
        high=high[drawn],
        held=listed(held, 6),
        corners=(
            np.concatenate([boxes.low[:, drawn] for _, boxes in parts]),
            np.concatenate([boxes.high[:, drawn] for _, boxes in parts]),
        ),
        states=np.concatenate([np.full(len(boxes), s, np.int8) for s, boxes in parts]),
        bounds=np.stack([np.minimum(first, second), np.maximum(first, second)]),
        limit=claim.bound or 0.0,
        worst=None if worst is None else centre[drawn],
    )


def _two(claim: Claim, blame: Array, active: list[int]) -> list[int]:
    """The input that the claim is about and the one that the bounds depend on most."""
    first = [i for i in claim.inputs if i in active][: 2 if claim.joint else 1]
    order = sorted(active, key=lambda i: -blame[i])
    return sorted([*first, *(i for i in order if i not in first)][:2])
