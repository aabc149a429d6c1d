"""What is said on TensorBoard, as Markdown in which names and sentences are shown as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keras_curvature.diagnosis.results import Diagnosis, Finding
from keras_curvature.measurement.change import Change
from keras_curvature.report.data import PROOF, Report, ScaleProfile
from keras_curvature.report.features import FeatureProfile, by_impact, of_ranks
from keras_curvature.report.metrics import CHANGE, FEATURE, MOST_PAIRS, Meaning, largest
from keras_curvature.report.pairs import measured_as
from keras_curvature.report.scale_profile import read
from keras_curvature.report.terminal import COLUMNS, PROFILES_TITLE
from keras_curvature.report.text import formatted, moment, plain


def of_report(report: Report) -> str:
    """A report as Markdown: the verdict, what was measured and how, the headline numbers.

    Names and sentences are escaped: what they hold is shown, not obeyed.
    """
    title = moment(report.step).capitalize()
    output = f", output {escaped(report.output)}" if report.output else ""
    blocks = [
        f"### {escaped(report.verdict.sentence)}",
        f"**{title}{output}**",
        "\n".join(f"- {escaped(sentence)}" for sentence in report.method),
        _number_table(report, {**report.first, **report.reference}),
        "\n".join(f"- {escaped(str(entry))}" for entry in report.shape),
        _proof(report.proof),
        _feature_sentence(report.curved),
        _profile_table(report.profiles),
        _change_sentence(report.changes),
        _pair_sentence(report.pairs, report.changes),
        _scale_profile_table(report.scale_profile),
    ]
    return "\n\n".join(block for block in blocks if block)


def of_diagnosis(step: int, diagnosis: Diagnosis) -> str:
    """A diagnosis as Markdown: a heading and three sentences for each finding."""
    blocks = [
        f"### {escaped(diagnosis.headline)}, {moment(step)}",
        escaped(diagnosis.opening),
        *(_finding(finding) for finding in diagnosis.findings),
        "#### How it was looked at",
        "\n".join(f"- {escaped(check)}" for check in diagnosis.checks),
    ]
    return "\n\n".join(blocks)


def of_faults(step: int, sentences: Iterable[str]) -> str:
    """What went wrong, as Markdown: a line for each kind."""
    lines = "\n".join(f"- {escaped(said)}" for said in sentences)
    return f"### What went wrong up to {moment(step)}\n\n{lines}"


def of_decision(step: int, sentence: str) -> str:
    """What a callback did by the verdict or a finding, and why, as Markdown."""
    return f"### Decided at {moment(step)}\n\n{escaped(sentence)}"


def _finding(finding: Finding) -> str:
    said = (("found", finding.found), ("means", finding.meaning), ("do", finding.advice))
    sentences = [f"- **{name}:** {escaped(text)}" for name, text in said]
    return "\n".join([f"#### {escaped(finding.title)}", "", *sentences])


def _proof(sentences: Iterable[str]) -> str:
    lines = "\n".join(f"- {escaped(said)}" for said in sentences)
    return f"**{PROOF}**\n\n{lines}" if lines else ""


def _number_table(report: Report, numbers: Mapping[str, float]) -> str:
    rows = ["| number | value | unit | what it tells |", "|---|---|---|---|"]
    for name, value in numbers.items():
        meaning = report.meaning(name) or Meaning("", "", "")
        cells = (name, formatted(value), meaning.unit_in(report.units), meaning.sentence)
        rows.append(f"| {' | '.join(escaped(cell) for cell in cells)} |")
    return "\n".join(rows)


def _feature_sentence(features: Mapping[str, float]) -> str:
    if len(features) < 2:
        return ""
    most = ", ".join(
        f"{escaped(plain(name, 40))} {formatted(value)}" for name, value in largest(features, 10)
    )
    which = "" if len(features) <= 10 else f" (10 of {len(features)})"
    return f"Bends most along{which}: {most}; mean &#124;∂²y/∂x²&#124; in {FEATURE.unit}."


def _profile_table(profiles: Mapping[str, FeatureProfile]) -> str:
    if not profiles:
        return ""
    rows = [f"| {' | '.join(COLUMNS)} | what that says |", "|---|---|---|---|---|---|---|"]
    for name, one in by_impact(profiles, 10):
        cells = (plain(name, 40), *map(formatted, one.numbers), one.archetype, one.meaning)
        rows.append(f"| {' | '.join(escaped(cell) for cell in cells)} |")
    ranks = of_ranks(profiles)
    return "\n".join([f"{PROFILES_TITLE}:", "", *rows, *(["", ranks] if ranks else [])])


def _change_sentence(changes: Mapping[str, Change]) -> str:
    sizes = largest({name: change.size for name, change in changes.items()}, 10)
    most = ", ".join(
        f"{escaped(plain(name, 40))} {changes[name].way} {formatted(size)}"
        f"{f' ({changes[name].counts})' if changes[name].counts else ''}"
        for name, size in sizes
    )
    which = "" if len(changes) <= 10 else f" (10 of {len(changes)})"
    return f"Inputs of two values change the output most{which}: {most}; in {CHANGE.unit}." * bool(
        most
    )


def _pair_sentence(pairs: Mapping[tuple[str, str], float], changes: Mapping[str, Change]) -> str:
    named = {f"{plain(a, 40)} × {plain(b, 40)}": size for (a, b), size in pairs.items()}
    most = ", ".join(f"{escaped(k)} {formatted(v)}" for k, v in largest(named, MOST_PAIRS))
    measure = measured_as(pairs, changes, "&#124;{}&#124;")
    return f"Interact most: {most}; {measure}." if most else ""


def _scale_profile_table(scale_profile: ScaleProfile | None) -> str:
    """Every second distance: enough to see where the curvature settles."""
    if scale_profile is None:
        return ""
    columns = (
        scale_profile.distances,
        scale_profile.mean,
        scale_profile.rms,
        scale_profile.single_rounding,
    )
    rows = [
        escaped(read(scale_profile).sentence),
        "",
        "| distance in σx | mean in σy/σx² | root mean square | rounding would add |",
        "|---|---|---|---|",
    ]
    rows += [
        f"| {' | '.join(escaped(formatted(number)) for number in numbers)} |"
        for numbers in zip(*(column[::2] for column in columns), strict=True)
    ]
    return "\n".join(rows)


def escaped(text: str) -> str:
    r"""Text that Markdown shows as it is, on one line.

    Example:
        >>> escaped("a_b <script> | *c*")
        'a\\_b &#60;script&#62; &#124; \\*c\\*'
    """
    return plain(text).translate(_ESCAPES)


_ESCAPES = str.maketrans(
    {c: f"\\{c}" for c in "\\`*_{}[]#!"} | {c: f"&#{ord(c)};" for c in "&<>|~"}
)
"""What Markdown lets a backslash quote, and the rest as character references."""
