"""How the pages become a site: `make docs`."""

from __future__ import annotations

import inspect
import os
import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

import keras_curvature as kc

project = "keras-curvature"
author = copyright = "The keras-curvature authors"
version = release = version_of("keras-curvature")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
nitpicky = True
nitpick_ignore_regex = [
    # Types of libraries whose pages are not linked, so that nothing is fetched.
    (r"py:.*", r"(api|tf|keras|np|numpy|collections|tensorflow|typing|os|pathlib|matplotlib)\..*"),
    (r"py:.*", r"summary_v2\..*"),
    (
        r"py:.*",
        r"(Any|Path|Sequence|Mapping|Callable|Structure|Model|Output|Wrt|Columns|Shape|Array)",
    ),
    (
        r"py:.*",
        r"(NDArray|Literal|Units|ScaleProfile|ShapeEntry|FeatureProfile|Place|Derivative|Formula|Propagate)",
    ),
    (
        r"py:.*",
        r"(Input|Keeps|Maps|optional|Names|Solution|Traits|Switches|Weights|Claims|ShapeClaims|BoxMap|Unproved)",
    ),
    (r"py:.*", r"keras_curvature\.(measurement|report|typing|engines|layers|proofs)\..*"),
]

# Links to headings of pages, as on the repository's own pages.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# In docstrings `one` backtick means code, as in Markdown.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Source", ("Call arguments", "params_style")]
maximum_signature_line_length = 80

html_theme = "furo"
html_title = "keras-curvature"
pygments_dark_style = "github-dark"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
copybutton_exclude = ".linenos, .gp, .go"
copybutton_only_copy_prompt_lines = True
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True


class LinksToTheReference(SphinxTransform):
    """Code that is the name of something public becomes a link to its description."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        """Replaces `kc.laplacian` everywhere, and `laplacian` in docstrings."""
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext().removeprefix("kc.").removeprefix("keras_curvature.")
            bare = name == literal.astext()
            inside = isinstance(literal.parent, (nodes.reference, pending_xref))
            if inside or name not in PUBLIC or (bare and name in COMMON_WORDS):
                continue
            link = pending_xref(
                "",
                literal.deepcopy(),
                refdomain="py",
                reftype="obj",
                reftarget=f"keras_curvature.{name}",
                refexplicit=True,
                refwarn=True,
            )
            literal.replace_self(link)


PUBLIC = {name for name in kc.__all__ if name != "taylor"} | {
    f"taylor.{name}" for name in kc.taylor.__all__
}
COMMON_WORDS = {"smooth", "kinks"}


class DarkPictures(SphinxTransform):
    """A picture `x.png` beside which lies `x-dark.png` is shown in the theme of the page."""

    default_priority = 200

    def apply(self, **kwargs: Any) -> None:
        """Adds the dark one, and lets the theme's style sheet choose."""
        here = Path(self.document["source"]).parent
        for image in list(self.document.findall(nodes.image)):
            light = image["uri"]
            dark = re.sub(r"\.(png|svg)$", r"-dark.\1", light)
            if dark != light and (here / dark).exists():
                other = image.deepcopy()
                other["uri"] = dark
                image["classes"].append("only-light")
                other["classes"].append("only-dark")
                image.parent.insert(image.parent.index(image) + 1, other)


def from_markdown(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turns tables and bars in docstrings, which are Markdown, into reStructuredText."""
    done: list[str] = []
    for line in lines:
        if re.fullmatch(r"\|[-:|]+\|", line):
            continue
        if not line.startswith("|"):
            # |x| is a magnitude, not a substitution; code in backticks stays as it is.
            parts = line.split("`")
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            done.append("`".join(parts))
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not (done and done[-1].startswith("     - ")):
            done += [".. list-table::", "   :header-rows: 1", ""]
        done += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(cells)]
    lines[:] = done


class AsWritten(str):
    """An annotation that is shown as it stands in the source."""

    __repr__ = str.__str__


def as_written(
    app: Sphinx, what: str, name: str, obj: Any, options: object, arguments: Any, returned: Any
) -> tuple[str, str | None] | None:
    """Shows `x: Structure`, where Sphinx would show the two lines that it is short for."""
    if what not in ("class", "function", "method"):
        return None
    signature = inspect.signature(obj)
    parameters = [
        parameter.replace(annotation=AsWritten(parameter.annotation))
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    shown = inspect.Signature(parameters)
    result = signature.return_annotation if what != "class" else signature.empty
    return str(shown), None if result is signature.empty else str(result)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", from_markdown)
    app.connect("autodoc-process-signature", as_written)
    app.add_transform(LinksToTheReference)
    app.add_transform(DarkPictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
