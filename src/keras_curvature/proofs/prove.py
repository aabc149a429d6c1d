"""Proves or refutes claims about a model's derivatives over a whole box of inputs."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_curvature.enclosures.encloser import encloser_of
from keras_curvature.engines.api import Options, chunking
from keras_curvature.engines.backend import require_eager
from keras_curvature.measurement.probe import Names
from keras_curvature.proofs.box import Box, box_of
from keras_curvature.proofs.claims import Claim, claimed
from keras_curvature.proofs.maps import SECONDS, map_of
from keras_curvature.proofs.margins import Enclose, Margins
from keras_curvature.proofs.remarks import remarks
from keras_curvature.proofs.results import ClaimProof, Counterexample, Proof
from keras_curvature.proofs.sampling import sampled
from keras_curvature.proofs.search import BATCH_SECONDS, Found, Search
from keras_curvature.proofs.unproved import unproved
from keras_curvature.proofs.violations import Violation
from keras_curvature.report.text import formatted
from keras_curvature.typing import Array, Model, Output, ShapeClaims, Structure

Tolerances = Callable[[Claim], float]

FOR_SAMPLE = 0.25
"""Share of the time in which violations are looked for at points, before anything is cut: of that
of all claims for the points of all, and of that of a claim for its own."""

FOR_SLICES = 0.2
"""Share of the time for the pictures of slices, at most."""


def prove(
    model: Model,
    low: Structure,
    high: Structure,
    shape: ShapeClaims,
    *,
    tolerance: float = 0.0,
    seconds: float = 60.0,
    output: Output = None,
    feature_names: Names | None = None,
    verbose: bool | None = None,
) -> Proof:
    """Proves what a model's derivatives are everywhere in a box, or finds where they are not.

    Example:
        >>> import keras_curvature as kc
        >>> proof = kc.prove(lambda x: x**2 - x, [0.0], [2.0], {0: "convex"})
        >>> proof.verdict, proof.proved
        ('Proved', {'x_convex': 1.0})
        >>> proof = kc.prove(lambda x: x**2 - x, [0.0], [2.0], {0: "increasing"})
        >>> proof.verdict, round(proof.refuted["x_increasing"], 2)
        ('Refuted', 0.25)

    No point is sampled for a proof: intervals are carried through the model that hold its value,
    slope and second derivative at all points of a box at once, as `enclose` gives them. Where these
    do not decide, the box is cut in two along the input that is most to blame, and so on, the
    largest boxes first; of a smooth model of three inputs or more the part of a box counts that is
    on one side of where the sign changes. What is proved is proved of the function that the stored
    weights define in real numbers: rounding of the proof itself is accounted for, that of a float32
    model is not.
    Kinks count: the second derivative of a ReLU network is in its changes of slope, and a network
    that is convex by them is proved convex.

    To say that a claim is refuted takes one point where the derivative is proved to be on the wrong
    side; the shares of the volume say more. Once a claim is refuted it is cut until 0.1 % is open.

    Args:
        model: see `derivatives`.
        low: the lower corner of the box: one example as the model takes it, without a batch; a
            number for all of it, or for all of an input; a dict by the names of its entries, or a
            row of a data frame (`frame.min()`), whose names are `feature_names` if none are given.
        high: the upper corner. An input that has the same number in both is held.
        shape: what is claimed, in the words of `CurvatureMonitor`: a dict from names or indexes of
            inputs to `"convex"`, `"concave"`, `"increasing"`, `"decreasing"`, `"linear"`, or
            several of them in a tuple. What follows is for `prove` alone. A number in place of a
            word bounds the magnitude of the second derivative: `{"strike": ("convex", 5.0)}`. Of
            several inputs at once, in a tuple, `{("spot", "vol"): "convex"}` is that the Hessian in
            them has no negative eigenvalue, and a number bounds their magnitudes; `{"|hessian|":
            5.0}` does so for all inputs, and a word in place of the dict, `"convex"`, is claimed
            of all of them.
        tolerance: how far the derivative may be on the wrong side, in units of y and x.
        seconds: that all of it may take, with the tracing of the model, the points that are looked
            at, and the slices that `Proof.plot` shows of more than two inputs, which have up to a
            fifth of it. However few these are, the model is traced once and a few hundred points
            are looked at; a batch of boxes that has begun is ended. `Proof.seconds` and
            `Proof.setup_seconds` say where the time went.
        output: see `derivatives`; a claim is about each entry of the output.
        feature_names: names of the inputs, as in `CurvatureMonitor`.
        verbose: whether to show a progress bar, and what is refuted as soon as it is. Default: on
            a terminal and in a notebook. Ctrl-C ends the search, and what is known is given back.

    Returns:
        A `Proof`; print it.

    Raises:
        ValueError: for a box that is empty, has no end or is the wrong way round, an unknown word
            or input, and for an op without a rule, before anything is computed.
        TypeError: for an argument of a wrong type, and a model of integers.

    Source:
        Moore, Interval Analysis, 1966; the rule by which a box is cut is the one of Csendes and
        Ratz, Subdivision direction selection in interval methods for global optimization, 1997,
        with differences in place of derivatives.
    """
    require_eager("prove")
    _require_amount("tolerance", tolerance, "how far a derivative may be on the wrong side")
    _require_amount("seconds", seconds, "how long the search may take", above=True)
    begun = time.monotonic()
    box = box_of(model, low, high, Options(output, dtype="float64"), feature_names)
    claims = claimed(shape, box.names, box.bound.f.inputs)
    return proof_of(
        encloser_of(model, box.bound),
        box,
        claims,
        lambda claim: tolerance,
        seconds,
        verbose,
        begun,
    )


def proof_of(
    enclose: Enclose,
    box: Box,
    claims: Sequence[Claim],
    tolerance: Tolerances,
    seconds: float,
    verbose: bool | None = False,
    begun: float | None = None,
) -> Proof:
    """A proof of what was checked.

    Args:
        enclose: the model.
        box: where.
        claims: what.
        tolerance: of each claim.
        seconds: for all of them, and for pictures of slices.
        verbose: as in `prove`.
        begun: when the time began, by `time.monotonic`. Default: now.
    """
    begun = time.monotonic() if begun is None else begun
    traced = time.monotonic()
    end = begun + seconds
    corners = box.low, box.high
    sliced = int(np.sum(box.high > box.low)) > 2
    pool = ThreadPoolExecutor(os.cpu_count())

    def search(claim: Claim, low: Array, high: Array) -> Search:
        keeps = int(np.sum(high > low)) <= 2
        return Search(Margins(claim, enclose), low, high, tolerance(claim), pool, keeps=keeps)

    spent = dict.fromkeys(claims, 0.0)
    try:
        searches = {}
        for claim in claims:
            with _timed(spent, claim):
                searches[claim] = search(claim, *corners)
        for_slices = min(SECONDS * len(claims), FOR_SLICES * seconds) if sliced else 0.0
        interrupted = _run(searches, spent, end - for_slices, box, enclose, pool, verbose)
        end = min(end, time.monotonic() + SECONDS) if interrupted else end
        proofs, maps, where = {}, [], []
        for i, (claim, one) in enumerate(searches.items()):
            with _timed(spent, claim):
                found, allowed = one.found, tolerance(claim)
                over = not interrupted and not one.done
                proof = _claim_proof(claim, found, box, allowed, over)
                part = max(0.0, end - time.monotonic()) / (len(claims) - i)
                make = partial(search, claim)
                maps.append(
                    map_of(claim, found, corners, box.names, make, proof, min(part, SECONDS))
                )
                where.append(unproved(found, allowed))
            proofs[claim.name] = replace(proof, seconds=spent[claim])
    finally:
        pool.shutdown(cancel_futures=True)
    low, high = (dict(zip(box.names, corner.tolist(), strict=True)) for corner in corners)
    return Proof(
        proofs, low, high, tuple(maps), interrupted, traced - begun, time.monotonic() - begun,
        tuple(where), box.structured,
    )  # fmt: skip


@contextlib.contextmanager
def _timed(spent: dict[Claim, float], *claims: Claim) -> Iterator[None]:
    """Counts the time as spent on claims, on each as much of it."""
    begin = time.monotonic()
    try:
        yield
    finally:
        for claim in claims:
            spent[claim] += (time.monotonic() - begin) / len(claims)


def _run(
    searches: Mapping[Claim, Search],
    spent: dict[Claim, float],
    end: float,
    box: Box,
    enclose: Enclose,
    pool: ThreadPoolExecutor,
    verbose: bool | None,
) -> bool:
    """Has each search run for its part of the time, until it is up; whether Ctrl-C was pressed.

    What one leaves of its part goes to all the others alike, in the next round: what is known of a
    claim in the end hangs little on its place among them.
    """
    claims, begin = list(searches), time.monotonic()
    until = begin + FOR_SAMPLE * max(0.0, end - begin)
    try:
        with _timed(spent, *claims):
            names = [Margins(claim, enclose).quantity for claim in claims]
            known = sampled(enclose, box.low, box.high, names, pool, until)
        todo, sampling = claims, True
        while todo:
            round_part = max(0.0, end - time.monotonic()) / len(todo)
            for i, claim in enumerate(todo):
                begin = time.monotonic()
                if begin >= end and not sampling:
                    return False
                # What others took too much of is taken from all that come after them alike.
                part = min(max(round_part, BATCH_SECONDS), max(0.0, end - begin) / (len(todo) - i))
                with _timed(spent, claim), _shown(claim, verbose) as (say, watch):
                    if sampling:
                        worst = searches[claim].sample(known, begin + FOR_SAMPLE * part)
                        if worst:
                            say(f"Refuted: {claim.sentence}. {_told(claim, worst[0], box)}")
                    searches[claim].run(begin + part, watch)
            todo, sampling = [claim for claim in claims if not searches[claim].done], False
    except KeyboardInterrupt:
        return True
    return False


def _claim_proof(claim: Claim, found: Found, box: Box, tolerance: float, over: bool) -> ClaimProof:
    magnitude = claim.bound is not None
    return ClaimProof(
        claim=claim.sentence,
        derivative=claim.derivative,
        proved=found.proved,
        refuted=found.refuted,
        open=found.open,
        counterexamples=tuple(_example(claim, one, box) for one in found.violations),
        tolerance=tolerance,
        needed_tolerance=max(0.0, -found.least),
        bound=claim.value(found.least),
        side="at most" if magnitude or claim.sign < 0 else "at least",
        boxes=found.boxes,
        seconds=0.0,
        remarks=tuple(remarks(claim, found, tolerance, box.high - box.low, over)),
    )


def _example(claim: Claim, found: Violation, box: Box) -> Counterexample:
    low, high = (dict(zip(box.names, x.tolist(), strict=True)) for x in (found.low, found.high))
    ends = sorted((claim.value(found.lower), claim.value(found.upper)))
    return Counterexample(low, None if low == high else high, ends[0], ends[1])


def _told(claim: Claim, found: Violation, box: Box) -> str:
    example = _example(claim, found, box)
    value = formatted((example.lower + example.upper) / 2)
    return f"The {claim.derivative} is {value} {example}."


Shown = tuple[Callable[[str], None], Callable[[float, float], None]]


@contextlib.contextmanager
def _shown(claim: Claim, verbose: bool | None) -> Iterator[Shown]:
    """What says something, and what shows how far the search is."""
    if verbose is None:
        verbose = sys.stdout.isatty() or "ipykernel" in sys.modules
    if not verbose:
        yield (
            lambda text: None,
            lambda proved, refuted: chunking.tell(_of_100(proved + refuted), 100),
        )
        return
    print(f"Proving: {claim.sentence}")
    bar = keras.utils.Progbar(100, unit_name="%", stateful_metrics=["proved", "refuted"])

    def watch(proved: float, refuted: float) -> None:
        bar.update(_of_100(proved + refuted), [("proved", proved), ("refuted", refuted)])

    try:
        yield print, watch
    finally:
        print()


def _of_100(share: float) -> int:
    return min(99, int(100 * share))


def _require_amount(what: str, given: Any, meaning: str, *, above: bool = False) -> None:
    number = isinstance(given, (int, float, np.number)) and not isinstance(given, bool)
    if not number or not math.isfinite(given) or given < 0 or (above and not given):
        wanted = "above 0" if above else "at least 0"
        raise ValueError(
            f"`{what}` must be a finite number, {wanted}: {meaning}. Received: {given!r}."
        )
