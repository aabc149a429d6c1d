"""What the commands compute: a model at a probe, with the library's public functions."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_curvature_cli import models, probes
from keras_curvature_cli.faults import UnusableError
from keras_curvature_cli.progress import doing
from keras_curvature_cli.starting import start

LOSS = "loss"
"""`--output` for the loss that the model was compiled with."""


@dataclass(frozen=True)
class Asked:
    """What the options of a command say.

    Attributes:
        output: which output, an index or a name.
        wrt: with respect to what, likewise, or a list of inputs.
        columns: by which columns of the points, likewise.
        engine: that computes.
        dtype: the narrowest to compute in.
        batch_size: examples at a time.
    """

    output: int | str | None = None
    wrt: int | str | Sequence[int | str] | None = None
    columns: Sequence[int | str] | None = None
    engine: str = "auto"
    dtype: str | None = None
    batch_size: int | None = None

    @property
    def without_engine(self) -> dict[str, Any]:
        """Keywords of `diagnose`."""
        return {
            "output": self.output,
            "wrt": self.wrt,
            "columns": self.columns,
            "dtype": self.dtype,
            "batch_size": self.batch_size,
        }

    @property
    def keywords(self) -> dict[str, Any]:
        """Keywords of everything else."""
        return {**self.without_engine, "engine": self.engine}

    def of(self, probe: probes.ProbeFile) -> Asked:
        """The same with the columns by their indexes, where the file has names for them."""
        if self.columns is None:
            return self
        inputs = list(probe.x) if isinstance(probe.x, dict) else []
        own = next((c for c in self.columns if c in inputs), None)
        if own is not None and probe.names is None:
            raise UnusableError(
                f"--columns are columns of one array. {own} is an input of the model by itself: "
                f"--wrt {','.join(map(str, self.columns))}."
            )
        if probe.names is None:
            return self
        names = list(probe.names)
        unknown = [c for c in self.columns if isinstance(c, str) and c not in names]
        if unknown:
            raise UnusableError(
                f"--columns must be indexes, or names in the file: {names}. Received: "
                f"{unknown[0]!r}.{_meant(unknown[0], names)}"
            )
        columns = [names.index(c) if isinstance(c, str) else c for c in self.columns]
        return replace(self, columns=columns)


def model_for(
    probe: probes.ProbeFile,
    path: Path,
    asked: Asked,
    code: Sequence[Path] = (),
    *,
    may_be_loss: bool = False,
) -> tuple[Any, probes.ProbeFile]:
    """The model in a file, and the probe as it takes it.

    Args:
        probe: what was read.
        path: of the model.
        asked: what the options say.
        code: Python files that define layers of its own.
        may_be_loss: whether the command can differentiate the loss.

    Raises:
        UnusableError: for a probe that does not fit, and a loss that there is not.
    """
    model = loaded(path, code, compiled=may_be_loss and asked.output == LOSS)
    probe = _fitted(model, probe, path.name)
    if _is_loss(model, asked):
        _require_loss(model, probe, path.name, may_be_loss)
    return model, probe


def loaded(path: Path, code: Sequence[Path] = (), *, compiled: bool = False) -> Any:
    """The model in a file; see `models.load`."""
    models.require_loadable(path)
    if "keras_curvature" not in sys.modules:
        start()
    with doing(f"Loading {path.name}"):
        return models.load(path, code, compiled=compiled)


def _is_loss(model: Any, asked: Asked) -> bool:
    """Whether the loss is asked for, and not an output of that name."""
    return asked.output == LOSS and LOSS not in (getattr(model, "output_names", None) or ())


def _require_loss(model: Any, probe: probes.ProbeFile, name: str, may_be_loss: bool) -> None:
    if not may_be_loss:
        raise UnusableError(
            "--output loss is for `report` alone: the other commands take no labels. Leave it out, "
            f"to look at {name} itself."
        )
    if probe.y is None:
        raise UnusableError("--output loss needs labels: name them with --y.")
    if model.loss is None:
        raise UnusableError(
            f"--output loss is the loss that a model was compiled with, and {name} was saved "
            "without one. Call `model.compile` before `model.save`."
        )


def _fitted(model: Any, probe: probes.ProbeFile, name: str) -> probes.ProbeFile:
    """Says it in the words of the files; what else does not fit the library says itself."""
    inputs: list[Any] = list(getattr(model, "inputs", None) or [])
    if isinstance(probe.x, dict) and probe.names is None and 0 < len(inputs) < len(probe.x):
        own = [tensor.name for tensor in inputs if tensor.name in probe.x]
        points = own if len(own) == len(inputs) else list(probe.x)[: len(inputs)]
        y = next(array for array in probe.x if array not in points)
        raise UnusableError(
            f"{name} takes {_inputs(len(inputs))}, and the probe has the arrays "
            f"{', '.join(probe.x)}. Say which are the points and which the known values, for "
            f"example --x {','.join(points)} --y {y}; arrays called x and y are these."
        )
    if len(inputs) > 1:
        return _by_name(inputs, probe, name)
    if isinstance(probe.x, dict) and probe.names is not None:
        text = [column for column, array in probe.x.items() if array.dtype.kind == "U"]
        raise UnusableError(
            f"{name} takes one input of numbers, and of the columns {', '.join(probe.names)} "
            f"these are text: {', '.join(text)}. Name the columns that it takes, and no others, "
            "with --x."
        )
    if isinstance(probe.x, dict):
        return probe
    if not inputs or _fits(probe.x.shape[1:], inputs[0].shape[1:]):
        return probe
    if probe.names is not None and len(inputs[0].shape) == 2:
        raise UnusableError(
            f"{name} takes {_inputs(inputs[0].shape[1])}, and the probe has "
            f"{len(probe.names)} columns for them: {', '.join(map(_named, probe.names))}. Name "
            "columns of known values with --y, or those that it takes with --x."
        )
    raise UnusableError(
        f"{name} takes points of shape {_shown(inputs[0].shape)}, where n is their number. The "
        f"probe has shape {probe.x.shape}: reshape it first."
    )


def _by_name(inputs: Sequence[Any], probe: probes.ProbeFile, name: str) -> probes.ProbeFile:
    """The columns of a table as the inputs that have their names."""
    if isinstance(probe.x, dict) and probe.names is None:
        return probe
    if probe.by_habit and {tensor.name for tensor in inputs} == {"x", "y"}:
        return probes.ProbeFile({"x": probe.x, "y": probe.y})
    sizes = {tensor.name: tuple(tensor.shape[1:]) for tensor in inputs}
    if set(probe.names or ()) != set(sizes) or not set(sizes.values()) <= {(), (1,)}:
        others = [column for column in probe.names or () if column not in sizes]
        missing = [name for name in sizes if name not in (probe.names or ())]
        if missing and others and set(sizes.values()) <= {(), (1,)}:
            raise UnusableError(
                f"{name} takes {len(inputs)} inputs: {', '.join(sizes)}. The probe has no column "
                f"{', '.join(missing)}, and no input is called {', '.join(map(_named, others))}. "
                "Call the columns as the inputs are called."
            )
        raise UnusableError(
            f"{name} takes {len(inputs)} inputs: {', '.join(sizes)}. Give an .npz file with an "
            "array for each, by these names, or a table with a column for each that is one number; "
            f"name other columns with --y{' ' * bool(others)}{','.join(others)}, or these with "
            f"--x {','.join(sizes)}."
        )
    columns = probe.x
    if not isinstance(columns, dict):
        columns = dict(zip(probe.names or (), columns.T, strict=True))
    return probes.ProbeFile(
        {column: array.reshape(-1, *sizes[column]) for column, array in columns.items()}, probe.y
    )


def _meant(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.8)
    return f" Did you mean {close[0]!r}?" if close else ""


def _inputs(count: int) -> str:
    return "one input" if count == 1 else f"{count} inputs"


def _named(column: str) -> str:
    return column or "one without a name, as pandas writes its index (`index=False` leaves it out)"


def _fits(given: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(given) == len(wanted) and all(
        w is None or g == w for g, w in zip(given, wanted, strict=True)
    )


def _shown(shape: Sequence[int | None]) -> str:
    sizes = ("any" if size is None else str(size) for size in shape[1:])
    return f"(n, {', '.join(sizes)})"


def shape_of(
    given: Sequence[str] | None, columns: Sequence[str]
) -> dict[str | int, list[str]] | None:
    """What `--shape strike=convex,decreasing` says, as `CurvatureMonitor` takes it.

    Args:
        given: the option, as often as it was given.
        columns: names in the file; a number that is none of them is an index.
    """
    found: dict[str | int, list[str]] = {}
    for text in given or ():
        name, mark, words = text.rpartition("=")
        if not mark:
            raise UnusableError(
                f"--shape must be an input and a word, as strike=convex. Received: {text!r}."
            )
        is_index = name not in columns and name.lstrip("-").isdigit()
        found.setdefault(int(name) if is_index else name, []).extend(words.split(","))
    return found or None


def measured(
    model: Any,
    probe: probes.ProbeFile,
    asked: Asked,
    *,
    scale: Any,
    units: str,
    shape: dict[str | int, list[str]] | None = None,
    log_dir: Path | None = None,
) -> Any:
    """A `CurvatureMonitor` that has measured the model once, as before training."""
    import keras_curvature as kc

    monitor = kc.CurvatureMonitor(
        probe.points,
        log_dir,
        scale=scale,
        units=units,
        shape=shape,
        feature_names=probe.names,
        **asked.keywords,
    )
    monitor.set_model(model)
    with doing("Measuring"):
        monitor.on_train_begin()
        monitor.on_epoch_begin(0)
        monitor.on_train_end()
    return monitor


def diagnosis_of(monitor: Any, model: Any, x: Any, asked: Asked, scale: Any) -> Any:
    """The `Diagnosis` of what a monitor has measured; of a loss that of the model inside."""
    if _is_loss(model, asked):
        return diagnosed(model, x, replace(asked, output=None), scale)
    return monitor.diagnosis or diagnosed(model, x, asked, scale)


def diagnosed(model: Any, x: Any, asked: Asked, scale: Any) -> Any:
    """The `Diagnosis` of the model at the probe."""
    import keras_curvature as kc

    with doing("Looking for what stands in the way"):
        return kc.diagnose(model, x, scale=scale, **asked.without_engine)


def verified(model: Any, x: Any, asked: Asked, seed: int, ways: Sequence[str] = ()) -> Any:
    """The `Verification` of the derivatives of the model at the probe, or of a backend's own."""
    import keras_curvature as kc

    claims = list(ways) or None
    with doing("Comparing with differences"):
        return kc.verify(model, x, seed=seed, claims=claims, **asked.keywords)


def proved(
    model: Any,
    ends: Sequence[Any],
    claims: Any,
    *,
    names: Sequence[str] | None,
    tolerance: float,
    seconds: float,
    output: int | str | None,
) -> Any:
    """The `Proof` of what is claimed of a model over a box.

    Args:
        model: that was loaded.
        ends: both corners of the box, as `corners` reads them.
        claims: likewise.
        names: of the inputs; those of the corners, where these have some, are in their order.
        tolerance: see `prove`.
        seconds: likewise.
        output: likewise.
    """
    import keras_curvature as kc

    inputs = getattr(model, "inputs", None) or []
    if names is None and len(inputs) == 1 and isinstance(ends[0], dict):
        names = list(ends[0]) if list(ends[0]) != [inputs[0].name] else None
    with doing("Proving"):
        return kc.prove(
            model,
            low=ends[0],
            high=ends[1],
            shape=claims,
            tolerance=tolerance,
            seconds=seconds,
            output=output,
            feature_names=names,
            verbose=False,
        )


def apart(a: Any, b: Any, x: Any, asked: Asked) -> dict[str, float]:
    """How far two models are apart on a probe, relative to the size of the first.

    Returns:
        By name of the quantity; empty where their outputs have different names or shapes.
    """
    import keras
    import numpy as np

    import keras_curvature as kc

    names = ("value", "jacobian", "laplacian")
    with doing("Comparing"):
        found = [kc.derivatives(model, x, names, **asked.keywords) for model in (a, b)]
    flat = [
        {
            name: [np.asarray(leaf, dtype=float) for leaf in keras.tree.flatten(result[name])]
            for name in names
        }
        for result in found
    ]
    shapes = [
        keras.tree.map_structure(lambda leaf: tuple(leaf.shape), result["jacobian"])
        for result in found
    ]
    called = [getattr(model, "output_names", None) or [] for model in (a, b)]
    turned = called[0] != called[1] and sorted(called[0]) == sorted(called[1])
    if turned or shapes[0] != shapes[1]:  # which may be outputs by other names
        return {}
    first, second = (
        {name: np.concatenate([leaf.ravel() for leaf in leaves]) for name, leaves in result.items()}
        for result in flat
    )
    sizes = {name: np.linalg.norm(first[name]) for name in names}
    return {
        name: float(np.linalg.norm(first[name] - second[name]) / sizes[name])
        if sizes[name]
        else float("nan")
        for name in names
    }
