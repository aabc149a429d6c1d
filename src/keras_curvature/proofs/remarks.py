"""What follows from a proof, why it is not one, and what would help, in words."""

from __future__ import annotations

import numpy as np

from keras_curvature.proofs.claims import Claim
from keras_curvature.proofs.search import Found
from keras_curvature.report.text import formatted, plain, rounded
from keras_curvature.typing import Array

MANY_INPUTS = 4
"""Inputs from which holding some of them helps most: each that is cut doubles the boxes."""

REACH = 0.1
"""Share of an input's width over which it is said how far a straight line is off."""


def remarks(claim: Claim, found: Found, tolerance: float, width: Array, over: bool) -> list[str]:
    """Sentences about a claim.

    Args:
        claim: what is claimed.
        found: what is known of it.
        tolerance: that was allowed.
        width: of the box, `(d,)`.
        over: whether the time was.
    """
    said = []
    if claim.bound is not None and not found.open and not found.violations and not found.refuted:
        said.append(_straight(claim, claim.bound - found.least, width))
    if not found.open:
        return said
    refuted = bool(found.violations or found.refuted)
    if over:
        said.append("The time was up.")
    if refuted and not over:
        said.append(
            "Where what is violated borders on what holds, boxes stay open however small they are."
        )
    elif np.isneginf(found.least):
        said.append(_without_an_end(claim))
    elif not refuted:
        said.append(
            f"A tolerance of {rounded(-found.least, up=True)} would make a proof of what is known "
            "now."
        )
    helps = ["more `seconds`"] if over else []
    if int(np.sum(width > 0)) >= MANY_INPUTS:
        helps.append("fewer inputs (the same number in `low` and `high` holds one)")
    if over and not refuted:
        helps.append("a smaller box")
    if helps:
        said.append(f"What would help: {', or '.join(helps)}.")
    return said


def _straight(claim: Claim, bound: float, width: Array) -> str:
    """How far a chord is off at most: half the bound times the square of its half length."""
    if claim.joint:
        return (
            f"So a straight line between two points 2h apart misses at most "
            f"{rounded(bound / 2, up=True)}·h² anywhere between them."
        )
    (i,) = claim.inputs
    h = REACH * float(width[i]) or 1.0
    return (
        f"So along {plain(claim.input, 40)} a straight line misses at most "
        f"{rounded(bound / 2, up=True)}·h² over ±h: {rounded(bound / 2 * h * h, up=True)} over "
        f"±{formatted(h)}."
    )


def _without_an_end(claim: Claim) -> str:
    if claim.joint:
        return (
            "The model has kinks (ReLU and its kin), where second derivatives have no bound; a "
            "claim of several inputs at once is not proved across them. A smooth activation would "
            "help (`keras_curvature.smooth`)."
        )
    return (
        "Where it is open, the model may have kinks (ReLU and its kin) that bend the wrong way, or "
        "numbers without a bound; a second derivative has no bound at a kink. A smooth activation "
        "would help (`keras_curvature.smooth`)."
    )
