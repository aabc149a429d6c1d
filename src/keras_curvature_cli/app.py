"""The commands and their options."""

from __future__ import annotations

from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from keras_curvature_cli import commands, corners, pages, printing, probes
from keras_curvature_cli.faults import FOUND, STILL_OPEN, UNUSABLE, UnusableError, told

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The true second derivatives of a Keras model with respect to its input.",
    epilog="Exit codes: 0 done; 1 done, and something is wrong with the model (verify, also if not "
    "judged; diagnose --strict, report --strict); 2 arguments or files cannot be used; 3 it could "
    "not be computed. Of prove: 0 proved, 1 refuted, 2 an error of any kind, 3 open.",
)


class Engine(str, Enum):
    """Engines by name."""

    auto = "auto"
    taylor = "taylor"
    nested = "nested"
    finite_difference = "finite_difference"


class Dtype(str, Enum):
    """Dtypes by name."""

    float32 = "float32"
    float64 = "float64"


class Units(str, Enum):
    """Units by name."""

    auto = "auto"
    raw = "raw"
    std = "std"


class Theme(str, Enum):
    """Themes of pictures by name."""

    light = "light"
    dark = "dark"


ModelFile = Annotated[Path, typer.Argument(metavar="MODEL.keras", help="The model, as saved.")]
ProbeFile = Annotated[
    Path,
    typer.Argument(
        metavar="PROBE",
        help="The points: .npy, .npz (arrays named x and y, or like the model's inputs), .csv or "
        ".parquet (a column per input).",
    ),
]
Y = Annotated[
    str | None,
    typer.Option(
        "--y",
        help="Known values at the points, for the fit: columns or an array of the probe by name, "
        "or a file.",
    ),
]
X = Annotated[
    str | None,
    typer.Option(
        "--x",
        help="Which columns or arrays of the probe are the points, by name, with commas between.",
    ),
]
Code = Annotated[
    list[Path] | None,
    typer.Option(
        "--code", help="A Python file with layers of the model's own. It is run. May be repeated."
    ),
]
Output = Annotated[
    str | None,
    typer.Option(help="Which output, an index or a name; for report also loss, as compiled."),
]
Wrt = Annotated[
    str | None,
    typer.Option(
        help="With respect to what: inputs (several with commas between) or a layer, index or name."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="By which columns of the points, index or name, several with commas between."
    ),
]
EngineOption = Annotated[Engine, typer.Option("--engine", help="What computes.")]
DtypeOption = Annotated[
    Dtype | None, typer.Option("--dtype", help="The narrowest dtype to compute in.")
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Examples at a time.")]
Scale = Annotated[
    float | None,
    typer.Option(
        help="Half-width of the window of the curvature over a distance, in units of the inputs. "
        "Default: a quarter of each input's standard deviation."
    ),
]
UnitsOption = Annotated[
    Units,
    typer.Option(
        "--units",
        help="Units of the data, or standard deviations. Default: raw with one input, else std.",
    ),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="INPUT=WORD,…",
        help="What the function must be along an input, by name or index: convex, concave, "
        "increasing, decreasing, linear. May be repeated.",
    ),
]
Ways = Annotated[
    list[str] | None,
    typer.Option(
        "--way",
        help="Check the backend's own second derivatives instead: a way by name, such as 'tape in "
        "tape' or jax.hessian, or all. May be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("keras-curvature"))
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and stop.", is_eager=True, callback=_print_version
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks of errors.")] = False,
) -> None:
    """What goes before a command."""
    context.obj = debug


@app.command()
def report(
    context: typer.Context,
    model: ModelFile,
    probe: ProbeFile,
    y: Y = None,
    x: X = None,
    code: Code = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the function into this PNG.")] = None,
    theme: Annotated[Theme, typer.Option(help="Of the picture.")] = Theme.light,
    log_dir: Annotated[Path | None, typer.Option(help="Write all of it for TensorBoard.")] = None,
    scale: Scale = None,
    units: UnitsOption = Units.auto,
    shape: ShapeOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if --shape does not hold at every point.")
    ] = False,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: EngineOption = Engine.auto,
    dtype: DtypeOption = None,
    batch_size: BatchSize = None,
    json: Json = False,
) -> None:
    """Measure a model: verdict, numbers and diagnosis, a picture, a TensorBoard log."""
    asked = _asked(output, wrt, columns, engine, dtype, batch_size)
    with told(context.obj):
        _require_png(picture)
        points = probes.read(probe, y, x)
        wanted = commands.shape_of(shape, points.names or ())
        net, points = commands.model_for(points, model, asked, code or (), may_be_loss=True)
        asked = asked.of(points)
        distance = "auto" if scale is None else scale
        monitor = commands.measured(
            net, points, asked, scale=distance, units=units.value, shape=wanted, log_dir=log_dir
        )
        diagnosis = commands.diagnosis_of(monitor, net, points.x, asked, distance)
        if picture is not None:
            _draw(monitor, picture, theme.value, model.name)
        if json:
            typer.echo(printing.as_json(printing.report_data(monitor, diagnosis)))
        else:
            typer.echo(printing.report_text(monitor, diagnosis, f"{model.name} at {probe.name}"))
            typer.echo(_places(picture, log_dir), nl=False)
    if strict and not printing.shape_holds(monitor):
        raise typer.Exit(FOUND)


def _places(picture: Path | None, log_dir: Path | None) -> str:
    """Where a picture and a log were written."""
    lines = [f"Picture: {picture}"] if picture is not None else []
    if log_dir is not None:
        lines.append(f"To look at it on TensorBoard: tensorboard --logdir {log_dir}")
    return "".join(f"\n{line}" for line in lines) + "\n" * bool(lines)


@app.command()
def diagnose(
    context: typer.Context,
    model: ModelFile,
    probe: ProbeFile,
    y: Y = None,
    x: X = None,
    code: Code = None,
    scale: Scale = None,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    dtype: DtypeOption = None,
    batch_size: BatchSize = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there are findings.")] = (
        False
    ),
    json: Json = False,
) -> None:
    """Find what stands between a model's second derivatives and their reader."""
    asked = _asked(output, wrt, columns, Engine.auto, dtype, batch_size)
    with told(context.obj):
        points = probes.read(probe, y, x)
        net, points = commands.model_for(points, model, asked, code or ())
        asked = asked.of(points)
        found = commands.diagnosed(net, points.x, asked, "auto" if scale is None else scale)
        typer.echo(printing.as_json(printing.diagnosis_data(found)) if json else str(found))
    if strict and not found.healthy:
        raise typer.Exit(FOUND)


@app.command()
def verify(
    context: typer.Context,
    model: ModelFile,
    probe: ProbeFile,
    y: Y = None,
    x: X = None,
    code: Code = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the examples and directions.")] = 0,
    way: Ways = None,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: EngineOption = Engine.auto,
    dtype: DtypeOption = None,
    batch_size: BatchSize = None,
    json: Json = False,
) -> None:
    """Check a model's derivatives against its values; 1 if any is wrong or cannot be judged."""
    asked = _asked(output, wrt, columns, engine, dtype, batch_size)
    with told(context.obj):
        points = probes.read(probe, y, x)
        net, points = commands.model_for(points, model, asked, code or ())
        asked = asked.of(points)
        found = commands.verified(net, points.x, asked, seed, way or ())
        typer.echo(printing.as_json(printing.verification_data(found)) if json else str(found))
    if not found.ok:
        raise typer.Exit(FOUND)


@app.command()
def prove(
    context: typer.Context,
    model: ModelFile,
    low: Annotated[
        str,
        typer.Option(
            help="Lower corner of the box: a number for each input with commas between, as 0.6,0.1 "
            "or strike=0.6,volatility=0.1 (in the order of the model's columns); or one for all."
        ),
    ],
    high: Annotated[
        str, typer.Option(help="Upper corner, likewise; an input that is the same in both is held.")
    ],
    shape: Annotated[
        list[str],
        typer.Option(
            metavar="INPUT=WORD,…",
            help="What is claimed along an input, by name or index: convex, concave, increasing, "
            "decreasing, linear, or a number that bounds |second derivative|. Of several inputs at "
            "once: spot+strike=convex; of all: convex alone, or '|hessian|=5'. May be repeated.",
        ),
    ],
    names: Annotated[
        str | None, typer.Option(help="Names of the inputs, with commas between.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="How far a derivative may be on the wrong side.")
    ] = 0.0,
    seconds: Annotated[
        float, typer.Option(help="How long all of it may take, but reading the file.")
    ] = 60.0,
    picture: Annotated[
        Path | None, typer.Option(help="Draw what is proved where into this PNG.")
    ] = None,
    theme: Annotated[Theme, typer.Option(help="Of the picture.")] = Theme.light,
    code: Code = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Prove a shape over a whole box; 0 if proved, 1 if refuted, 3 if it stays open."""
    with told(context.obj, failed=UNUSABLE):
        _require_png(picture)
        ends = [corners.corner("--low", low), corners.corner("--high", high)]
        claims = corners.claims(shape)
        net = commands.loaded(model, code or ())
        found = commands.proved(
            net,
            ends,
            claims,
            names=None if names is None else names.split(","),
            tolerance=tolerance,
            seconds=seconds,
            output=_index_or_name(output),
        )
        if picture is not None:
            _save(found.plot(theme=theme.value), picture)
        typer.echo(printing.as_json(printing.proof_data(found)) if json else str(found))
    code_of = {"Proved": 0, "Refuted": FOUND, "Open": STILL_OPEN}
    raise typer.Exit(code_of[found.verdict])


@app.command()
def compare(
    context: typer.Context,
    a: ModelFile,
    b: ModelFile,
    probe: ProbeFile,
    y: Y = None,
    x: X = None,
    code: Code = None,
    scale: Scale = None,
    units: UnitsOption = Units.auto,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: EngineOption = Engine.auto,
    dtype: DtypeOption = None,
    batch_size: BatchSize = None,
    json: Json = False,
) -> None:
    """Measure two models on the same probe, and how far they are apart."""
    asked = _asked(output, wrt, columns, engine, dtype, batch_size)
    names = [a.name, b.name] if a.name != b.name else [str(a), str(b)]
    with told(context.obj):
        points = probes.read(probe, y, x)
        pairs = [commands.model_for(points, path, asked, code or ()) for path in (a, b)]
        asked = asked.of(points)
        distance = "auto" if scale is None else scale
        monitors = [
            commands.measured(net, fitted, asked, scale=distance, units=units.value)
            for net, fitted in pairs
        ]
        apart = commands.apart(pairs[0][0], pairs[1][0], pairs[0][1].x, asked)
        if json:
            typer.echo(printing.as_json(printing.comparison_data(names, monitors, apart)))
            return
        _print_comparison(names, monitors, printing.apart_text(apart))


app.command()(pages.runs)
app.command()(pages.export)
app.command()(pages.view)


def _print_comparison(names: list[str], monitors: list[Any], apart: str) -> None:
    console = Console(highlight=False)
    for name, monitor in zip(names, monitors, strict=True):
        for report in monitor.reports.values():
            console.print(f"{name}: {report.verdict.sentence}", markup=False)
    for table in printing.comparison_tables(names, monitors, console.width):
        console.print(table)
    console.print(apart, markup=False)


def _asked(
    output: str | None,
    wrt: str | None,
    columns: str | None,
    engine: Engine,
    dtype: Dtype | None,
    batch_size: int | None,
) -> commands.Asked:
    return commands.Asked(
        output=_index_or_name(output),
        wrt=_one_or_several(wrt),
        columns=None if columns is None else _several(columns),
        engine=engine.value,
        dtype=None if dtype is None else dtype.value,
        batch_size=batch_size,
    )


def _one_or_several(text: str | None) -> int | str | list[int | str] | None:
    return _index_or_name(text) if text is None or "," not in text else _several(text)


def _several(text: str) -> list[int | str]:
    return [found for part in text.split(",") if (found := _index_or_name(part)) is not None]


def _index_or_name(text: str | None) -> int | str | None:
    if text is None:
        return None
    return int(text) if text.lstrip("-").isdigit() else text


def _require_png(picture: Path | None) -> None:
    """Before anything is computed."""
    if picture is None:
        return
    if picture.suffix.lower() != ".png":
        raise UnusableError(f"--picture must end in .png. Received: {picture}.")
    if not picture.absolute().parent.is_dir():
        raise UnusableError(f"--picture: there is no directory {picture.absolute().parent}.")


def _draw(monitor: Any, path: Path, theme: str, title: str) -> None:
    figure = monitor.plot(theme=theme)
    figure.texts[0].set_text(title)  # in place of the step of a training
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path)
    except OSError as error:
        raise UnusableError(f"--picture {path} cannot be written: {error}") from error
