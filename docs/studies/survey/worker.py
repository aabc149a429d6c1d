"""Surveys one backend, of KERAS_BACKEND, and writes a line of JSON for each answer.

KERAS_BACKEND=jax python docs/studies/survey/worker.py answers.jsonl [--part 0 3] [--only ID ...]
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "support"))
warnings.filterwarnings("ignore")

import keras
import numpy as np
from answers import FIRST, KERAS, OURS, VALUES
from judging import ROUGH, Truth, Verdict, by_differences, judged, raised
from keras.src.backend.common import dtypes
from points import AtPoints, special_points
from subjects import Subject, Surveyed, subjects
from ways import Asked, gradient, often_called, ways

import keras_curvature as kc
from cases import forget_models

OURS_FIRST = f"{OURS}, {FIRST}"
DTYPES = ("float64", "float32")
SEED = 11
_NARROWED = dict(dtypes.BIT64_TO_BIT32_DTYPE)


def _float64_is_float64(yes: bool) -> None:
    """Keras's type promotion gives float32 for float64 on JAX and PyTorch; undone for the truth."""
    dtypes.BIT64_TO_BIT32_DTYPE.clear()
    if not yes:
        dtypes.BIT64_TO_BIT32_DTYPE.update(_NARROWED)


def _ours(f: Callable[[Any], Any], z: np.ndarray, v: np.ndarray) -> np.ndarray:
    found = kc.directional_curvature(f, z, v, dtype=z.dtype.name)
    return keras.ops.convert_to_numpy(found)


def _values_of(f: Callable[[Any], Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Its values, asked for again and again: traced anew, as types are promoted now."""
    function = often_called(lambda z: f(z))  # noqa: PLW0108, another function for `jax.jit`

    def values(z: np.ndarray) -> np.ndarray:
        found = function(keras.ops.convert_to_tensor(z))
        return keras.ops.convert_to_numpy(found).astype("float64")

    return values


def answers(
    asked: Mapping[str, Asked],
    f: Callable[[Any], Any],
    z: np.ndarray,
    v: np.ndarray,
    truth: Truth,
) -> Iterator[tuple[str, list[Verdict]]]:
    """Each way, and its verdicts for the examples."""
    for way, ask in asked.items():
        yield way, _of_one(ask, f, z, v, truth)


def _of_one(
    ask: Asked, f: Callable[[Any], Any], z: np.ndarray, v: np.ndarray, truth: Truth
) -> list[Verdict]:
    try:
        return judged(ask(f, z, v), truth, z.dtype.name)
    except Exception as error:  # whatever a user would see
        return [raised(error)]


def survey_of(subject: Subject) -> Iterator[dict[str, Any]]:
    """At generic points: the worst example counts."""
    _float64_is_float64(True)
    keras.config.set_floatx("float64")
    try:
        wide = subject.build("float64")
        v = np.random.default_rng(SEED).normal(size=wide.z.shape)
        v = (v / np.linalg.norm(v, axis=1, keepdims=True)).astype("float32").astype("float64")
        truth = _truth(wide, v)
    except Exception as error:  # Keras does not have it on this backend
        yield {"case": subject.id, "dtype": "float64", "way": KERAS, **vars(raised(error))}
        return
    yield _digits(subject.id, wide)
    for dtype in DTYPES:
        keras.config.set_floatx(dtype)
        try:
            one = wide if dtype == "float64" else subject.build(dtype)
        except Exception as error:
            yield {"case": subject.id, "dtype": dtype, "way": KERAS, **vars(raised(error))}
            continue
        asked = {**ways(), OURS: _ours}
        for way, verdicts in answers(asked, one.function, one.z, v.astype(dtype), truth):
            order = ("raises", "wrong", "lost", "unknown", "right")
            worst = min(verdicts, key=lambda verdict: order.index(verdict.kind))
            yield {"case": subject.id, "dtype": dtype, "way": way, **vars(worst)}
    forget_models()


def _truth(surveyed: Surveyed, v: np.ndarray) -> Truth:
    values = _values_of(surveyed.function)
    found = by_differences(values, surveyed.z, v, surveyed.step, surveyed.order)
    if surveyed.rounded:
        found = replace(found, doubt=np.maximum(found.doubt, ROUGH / 10 * found.size))
    if surveyed.exact is None:
        return found
    exact = surveyed.exact(v)
    return Truth(exact, np.maximum(np.abs(exact), 1e-3), 0 * exact)


def _digits(id: str, wide: Surveyed) -> dict[str, Any]:
    """What Keras gives for float64 as it is: float64, or float32 under its name."""
    true = _values_of(wide.function)(wide.z)
    _float64_is_float64(False)
    try:
        error = np.max(np.abs(_values_of(wide.function)(wide.z) - true) / (np.abs(true) + 1e-30))
    except Exception as failed:  # two dtypes meet in a loop, say
        verdict = raised(failed)
    else:
        off = Verdict("wrong", f"values off by {error:.0e}")
        verdict = Verdict("right") if error < 1e-12 else off
    finally:
        _float64_is_float64(True)
    return {"case": id, "dtype": "float64", "way": VALUES, **vars(verdict)}


def survey_at(with_truth: Callable[[], AtPoints]) -> Iterator[dict[str, Any]]:
    """At special points, each a row of its own; first derivatives too."""
    one = with_truth()
    for dtype in DTYPES:
        keras.config.set_floatx(dtype)
        z, v = one.z.astype(dtype), one.v.astype(dtype)
        for order, asked in ((1, first_derivatives()), (2, {**ways(), OURS: _ours})):
            true = one.first if order == 1 else one.second
            truth = Truth(true, np.abs(true), 0 * true)
            for way, verdicts in answers(asked, one.function, z, v, truth):
                places = one.z if len(verdicts) == len(z) else [None]
                for place, verdict in zip(places, verdicts, strict=True):
                    at = "" if place is None else f" at {', '.join(f'{p:g}' for p in place)}"
                    case = f"points/{one.id}{at}"
                    yield {"case": case, "dtype": dtype, "way": way, **vars(verdict)}


def first_derivatives() -> dict[str, Asked]:
    """The backend's own and ours, `g v`."""

    def own(f: Callable[[Any], Any], z: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.sum(gradient(f, z) * v, axis=1)

    def ours(f: Callable[[Any], Any], z: np.ndarray, v: np.ndarray) -> np.ndarray:
        jacobian = kc.jacobian(f, z, dtype=z.dtype.name)
        return np.sum(keras.ops.convert_to_numpy(jacobian) * v, axis=1)

    return {FIRST: own, OURS_FIRST: ours}


def _set_up() -> None:
    gc.freeze()  # what was imported stays; looked through again and again it takes a twentieth
    gc.set_threshold(100_000, 50, 1000)
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # each way is traced once, and it warns of many traces


def main() -> None:
    """Surveys what was named, or all, or its part of that."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("--part", nargs=2, type=int, default=(0, 1), help="which, of how many")
    parser.add_argument("--only", nargs="+", default=[], help="ids, or how they start")
    arguments = parser.parse_args()
    _set_up()
    asked = tuple(arguments.only)
    surveys = [(one.id, functools.partial(survey_of, one)) for one in subjects()]
    for id, with_truth in special_points().items():
        surveys.append((f"points/{id}", functools.partial(survey_at, with_truth)))
    part, parts = arguments.part
    begin, end = (len(surveys) * k // parts for k in (part, part + 1))
    with arguments.path.open("w") as file:
        for index, (id, survey) in enumerate(surveys[begin:end], start=begin):
            if not asked or id.startswith(asked):
                print(id, flush=True)
                for row in survey():
                    file.write(json.dumps({"index": index, **row}) + "\n")


if __name__ == "__main__":
    main()
