"""Examples of many inputs, and where in each of them the function bends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from keras_curvature.figures.page import HEADER, foot, page, place
from keras_curvature.figures.style import Picture, Theme
from keras_curvature.figures.view import drawable
from keras_curvature.measurement.example_shape import is_image
from keras_curvature.measurement.examples import Example
from keras_curvature.report.data import Report
from keras_curvature.report.metrics import CURVATURE, MOST_FEATURES, SLOPE
from keras_curvature.report.text import plain
from keras_curvature.typing import Array

MOST_TOKENS = 60
TEXT_WIDTH, LINE = 8.8, 0.4
"""Of words, in inches: how far a line goes, and how far the next one is below it."""


UNITS = "in the units of x and y"
"""Those of an example, whatever those of the headline: no deviations are taken of one."""


def examples(
    examples_of: Sequence[Example],
    report: Report,
    names: Sequence[Sequence[str]] | None,
    theme: Theme,
) -> Picture:
    """Each example, its second derivative along each input, and its strongest direction.

    Args:
        examples_of: of the examples, at least one.
        report: what was found in the probe.
        names: of the tokens of each example, where it is made of tokens; or of the inputs.
        theme: of the page.
    """
    shape = examples_of[0].shape
    if examples_of[0].tokens is not None:
        return _tokens(examples_of, report, names, theme)
    if is_image(shape):
        return _images(examples_of, report, theme)
    if len(shape) == 2:
        return _series(examples_of, report, names, theme)
    return _features(examples_of, report, names, theme)


def _images(examples_of: Sequence[Example], report: Report, theme: Theme) -> Picture:
    rows = len(examples_of)
    figure = page(report, _which(examples_of), (9.2, HEADER + 2.5 * rows + 0.9), theme)
    axes = figure.subplots(rows, 3, squeeze=False)
    place(figure, left=1.65, right=0.2, bottom=0.95, wspace=0.04, hspace=0.1)
    for row, seen in zip(axes, examples_of, strict=True):
        image = seen.point.reshape(seen.shape)
        row[0].imshow(_shown(image), cmap="gray")
        diagonal = _over_channels(seen.diagonal.reshape(seen.shape), np.sum)
        direction = _strongest_channel(seen.direction.reshape(seen.shape))
        for axis, values in ((row[1], diagonal), (row[2], direction)):
            height = _limit(values)
            axis.imshow(drawable(values), cmap=theme.diverging, norm=Normalize(-height, height))
            unit = f" {CURVATURE}" if axis is row[1] else ""
            axis.set_xlabel(f"± {height:.2g}{unit}", fontsize=8, color=theme.faint, labelpad=2)
        for axis in row:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(_label(seen), rotation=0, ha="right", va="center", color=theme.ink,
                          linespacing=1.4)  # fmt: skip
    coloured = len(examples_of[0].shape) == 3 and examples_of[0].shape[-1] > 1
    titles = (
        "Example",
        "Second derivative by pixel",
        "Strongest direction",
    )
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
    _colour_key(figure, axes[-1, 1], theme, ("bends down", "bends up"), below=0.3)
    _colour_key(figure, axes[-1, 2], theme, ("darker", "brighter"), below=0.3)
    notes = [_scatter(examples_of, "second derivatives are estimates")]
    foot(figure, [*notes, *(["sum over the channels"] if coloured else []), UNITS], theme)
    return figure


def _series(
    examples_of: Sequence[Example],
    report: Report,
    names: Sequence[Sequence[str]] | None,
    theme: Theme,
) -> Picture:
    rows, channels = len(examples_of), examples_of[0].shape[1]
    figure = page(report, _which(examples_of), (9.2, HEADER + 2.1 * rows + 1.2), theme)
    axes = figure.subplots(rows, 2, squeeze=False, sharex=True)
    place(figure, left=1.95, right=0.2, bottom=1.2, wspace=0.16, hspace=0.16)
    steps = np.arange(examples_of[0].shape[0])
    named = names[0] if names else [f"channel {c}" for c in range(channels)]
    for (left, right), seen in zip(axes, examples_of, strict=True):
        series, diagonal, error, direction = (
            part.reshape(seen.shape)
            for part in (seen.point, seen.diagonal, seen.error, seen.direction)
        )
        painted = _bent_line(left, steps, series, diagonal, theme, named)
        right.axhline(0, color=theme.grid, lw=1)
        for c in range(min(channels, 4)):
            colour = _colour(theme, c)
            right.fill_between(
                steps, (diagonal - error)[:, c], (diagonal + error)[:, c], color=colour, alpha=0.25,
                lw=0,
            )  # fmt: skip
            right.plot(steps, diagonal[:, c], color=colour, lw=1.6, label="along each step")
        twin = right.twinx()
        twin.set_yticks([])
        twin.spines[:].set_visible(False)
        for c in range(min(channels, 4)):
            twin.plot(steps, direction[:, c], "--", color=theme.scale, lw=1.2,
                      label="strongest direction")  # fmt: skip
        largest = 1.08 * float(np.abs(direction).max() or 1.0)
        twin.set_ylim(-largest, largest)
        height = 1.08 * max(_limit(diagonal + error), _limit(diagonal - error))
        right.set_ylim(-height, height)
        left.text(-0.13, 0.5, _label(seen), ha="right", va="center", transform=left.transAxes,
                  linespacing=1.4)  # fmt: skip
    axes[0, 0].set_title("Example, coloured by its second derivative")
    axes[0, 1].set_title(f"Second derivative along each step [{CURVATURE}]")
    for axis in axes[-1]:
        axis.set_xlabel("step")
    handles = [right.get_lines()[1], twin.get_lines()[0]]
    axes[-1, 1].legend(handles=handles, loc="upper left", bbox_to_anchor=(-0.02, -0.26), ncols=2)
    if painted is not None:
        _colour_key(figure, axes[-1, 0], theme, ("bends down", "bends up"), below=0.52)
    notes = [_scatter(examples_of, "estimates with a band of one standard error"), UNITS]
    foot(figure, notes, theme)
    return figure


def _bent_line(
    axes: Axes,
    steps: NDArray[np.integer],
    series: Array,
    diagonal: Array,
    theme: Theme,
    names: Sequence[str],
) -> Any:
    """The series, with its steps coloured by how it bends there."""
    height = _limit(diagonal)
    painted = None
    for c in range(min(series.shape[1], 4)):
        axes.plot(steps, series[:, c], color=theme.target, lw=1.0, zorder=1)
        painted = axes.scatter(
            steps, series[:, c], c=diagonal[:, c], cmap=theme.diverging,
            norm=Normalize(-height, height), s=16, lw=0.3, edgecolors=theme.faint, zorder=2,
        )  # fmt: skip
        if series.shape[1] > 1:
            axes.text(steps[-1], series[-1, c], f" {plain(names[c], 16)}", va="center", fontsize=8)
    return painted


def _tokens(
    examples_of: Sequence[Example],
    report: Report,
    names: Sequence[Sequence[str]] | None,
    theme: Theme,
) -> Picture:
    """Words on coloured ground, as they stand in the text."""
    steps = examples_of[0].shape[0]
    bends = [seen.diagonal.reshape(steps, -1).sum(axis=1) for seen in examples_of]
    leans = [np.linalg.norm(seen.direction.reshape(steps, -1), axis=1) for seen in examples_of]
    texts = [
        _unpadded(names[i] if names else [str(token) for token in seen.tokens])
        for i, seen in enumerate(examples_of)
        if seen.tokens is not None
    ]
    heights = [0.3 + LINE * (1 + max(line for line, _, _ in _lines(words))) for words in texts]
    figure = page(report, _which(examples_of), (9.2, HEADER + sum(heights) + 1.0), theme)
    axes = figure.subplots(len(examples_of), 1, squeeze=False, height_ratios=heights)[:, 0]
    place(figure, left=0.15, right=0.15, bottom=0.8, hspace=0.45)
    for axis, seen, words, bend, lean in zip(axes, examples_of, texts, bends, leans, strict=True):
        axis.set_axis_off()
        axis.set_title(" · ".join(_facts(seen)), weight="normal", fontsize=9, color=theme.faint)
        _flow(figure, axis, words, bend, lean, theme)
    _colour_key(figure, axes[-1], theme, ("bends down", "bends up"))
    notes = [
        f"colour: sum of the second derivatives along the token’s embedding [{CURVATURE}]",
        "line: its share in the strongest direction",
    ]
    foot(figure, [*notes, _scatter(examples_of, "estimates")], theme)
    return figure


def _unpadded(words: Sequence[str]) -> list[str]:
    """Without the empty words at the end, which fill a text up to its length."""
    end = max((i + 1 for i, word in enumerate(words) if word.strip()), default=1)
    return list(words[: min(end, MOST_TOKENS)])


def _lines(words: Sequence[str]) -> list[tuple[int, float, str]]:
    """Line, place from the left in inches, and text of each word."""
    places, line, x = [], 0, 0.0
    for word in words:
        text = plain(word, 18) or "·"
        if x + _width(text) > TEXT_WIDTH:
            line, x = line + 1, 0.0
        places.append((line, x, text))
        x += _width(text) + 0.03
    return places


def _width(text: str) -> float:
    return 0.088 * len(text) + 0.07


def _flow(
    figure: Figure, axes: Axes, words: Sequence[str], bend: Array, lean: Array, theme: Theme
) -> None:
    """Sets words on lines, each on the colour of its number."""
    box = axes.get_position()
    axes.set(
        xlim=(0, box.width * figure.get_figwidth()), ylim=(box.height * figure.get_figheight(), 0)
    )
    norm = Normalize(-_limit(bend), _limit(bend))
    for i, (line, x, text) in enumerate(_lines(words)):
        y, long, colour = LINE * line, _width(text), theme.diverging(norm(bend[i]))
        axes.add_patch(_rectangle(x, y, long, 0.27, colour))
        ink = "#1f2328" if np.mean(colour[:3]) > 0.45 else "#ffffff"
        axes.text(x + long / 2, y + 0.135, text, ha="center", va="center", color=ink, fontsize=9,
                  family="monospace")  # fmt: skip
        axes.plot([x, x + float(lean[i]) * long], [y + 0.3] * 2, color=theme.scale, lw=2.2,
                  solid_capstyle="butt")  # fmt: skip


def _rectangle(x: float, y: float, width: float, height: float, colour: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, color=colour, lw=0)


def _features(
    examples_of: Sequence[Example],
    report: Report,
    names: Sequence[Sequence[str]] | None,
    theme: Theme,
) -> Picture:
    """Bars of the inputs that bend most, mean over the examples."""
    diagonal = np.mean([seen.diagonal for seen in examples_of], axis=0)
    error = np.sqrt(np.sum([seen.error**2 for seen in examples_of], axis=0)) / len(examples_of)
    order = np.argsort(-np.abs(np.nan_to_num(diagonal)))[:MOST_FEATURES]
    labels = [plain(names[0][i] if names else f"x{i}", 20) for i in order]
    figure = page(report, _which(examples_of), (9.2, HEADER + 0.27 * len(order) + 1.2), theme)
    axes = figure.subplots()
    place(figure, left=0.4 + 0.075 * max(len(label) for label in labels), right=0.4, bottom=0.9)
    rows = np.arange(len(order))
    axes.barh(rows, np.nan_to_num(diagonal[order]), xerr=np.nan_to_num(error[order]),
              color=theme.exact, ecolor=theme.faint, height=0.6)  # fmt: skip
    axes.set_yticks(rows, labels, color=theme.ink)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.axvline(0, color=theme.faint, lw=0.8)
    axes.set_xlabel(f"∂²y/∂xᵢ²  [{CURVATURE}]")
    omitted = len(diagonal) - len(order)
    axes.set_title(f"Second derivative along each input ({omitted} of {len(diagonal)} omitted)")
    foot(
        figure,
        [f"mean over {len(examples_of)} examples", _scatter(examples_of, "estimates"), UNITS],
        theme,
    )
    return figure


def _shown(image: Array) -> Array:
    """An image as its own darkest and brightest, whatever its units."""
    image = image[..., :3] if image.ndim == 3 and image.shape[-1] > 1 else image.reshape(
        image.shape[:2]
    )  # fmt: skip
    low, high = np.nanmin(image), np.nanmax(image)
    return (image - low) / (high - low) if high > low else np.zeros_like(image)


def _over_channels(image: Array, reduce: Any) -> Array:
    return image if image.ndim == 2 else reduce(image, axis=-1)


def _strongest_channel(image: Array) -> Array:
    """Of each pixel the channel that moves most."""
    if image.ndim == 2:
        return image
    place = np.abs(image).argmax(axis=-1)[..., None]
    return np.take_along_axis(image, place, axis=-1)[..., 0]


def _facts(seen: Example) -> list[str]:
    """What one example has to say, in pieces."""
    facts = [
        f"output {seen.component}: {seen.value:.3g}",
        f"slope {seen.slope:.3g} {SLOPE}",
        f"strongest bend {seen.eigenvalue:.3g} ± {seen.residual:.1g} {CURVATURE}",
    ]
    return [fact.replace("-", "−") for fact in facts]


def _label(seen: Example) -> str:
    """The same beside a picture."""
    return "\n".join(_facts(seen)).replace("bend ", "bend\n")


def _which(examples_of: Sequence[Example]) -> str:
    count = len(examples_of)
    return f" · the first {count} examples of the probe" if count > 1 else " · an example"


def _scatter(examples_of: Sequence[Example], what: str) -> str:
    """How large the standard errors are beside what they are the errors of."""
    error = np.sqrt(np.mean([np.mean(seen.error**2) for seen in examples_of]))
    size = np.sqrt(np.mean([np.mean(seen.diagonal**2) for seen in examples_of]))
    if not error > 0:
        return "second derivatives are exact"
    return f"{what}, standard error {error / size:.0%} of the whole"


def _limit(values: Array) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(np.percentile(finite, 99.5)) if finite.size and finite.max() > 0 else 1.0


def _colour(theme: Theme, i: int) -> str:
    return (theme.exact, theme.ink, theme.target, theme.faint)[i]


def _colour_key(
    figure: Figure, axes: Axes, theme: Theme, ends: tuple[str, str], below: float = 0.16
) -> None:
    """What the colours mean; each row has a scale of its own."""
    box = axes.get_position()
    inch = 1 / figure.get_figheight()
    width = min(box.width, 2.4 / figure.get_figwidth())
    left = box.x0 + (box.width - width) / 2
    bar = figure.colorbar(
        ScalarMappable(Normalize(-1, 1), theme.diverging),
        cax=figure.add_axes((left, box.y0 - (below + 0.08) * inch, width, 0.08 * inch)),
        orientation="horizontal",
    )
    bar.set_ticks([-1, 0, 1], labels=[ends[0], "0", ends[1]])
    first, _, last = bar.ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    bar.outline.set_visible(False)
