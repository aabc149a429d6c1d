"""Takes the comparison's ratios from benchmarks/RESULTS.md, so that nobody types them.

    python docs/ratios.py    # writes them into README.md and docs/comparison.md

Between two comments of a page stands the table; tests/project/test_ratios.py fails where it is not
what benchmarks/RESULTS.md says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
GROUPS = (
    "Exact second derivatives",
    "Trace estimates",
    "Trace estimates of deep networks",
    "Training steps",
)

BEGIN, END = "<!-- ratios, by docs/ratios.py -->\n", "<!-- end of ratios -->"
MARKED = re.compile(f"(?<={re.escape(BEGIN)}).*?(?={re.escape(END)})", re.DOTALL)

PEERS = {
    "docs/comparison.md": (
        "TensorFlow",
        "DeepXDE",
        "jax.hessian",
        "jax.experimental.jet",
        "folx",
        "torch.func",
        "jet-for-pytorch",
    ),
    "README.md": ("TensorFlow", "jax.hessian", "folx", "torch.func"),
}
"""By page, whose ratios it shows."""


def ratios(results: str) -> Iterator[tuple[str, dict[str, str]]]:
    """By work, each peer's time as a multiple of ours.

    Args:
        results: the text of benchmarks/RESULTS.md.
    """
    for group in GROUPS:
        section = re.search(rf"^## {group}\n(.*?)(?=^## |\Z)", results, re.DOTALL | re.MULTILINE)
        for work in (section[1] if section else "").split("\n### ")[1:]:
            rows = [
                [cell.strip() for cell in line.strip("|").split("|")]
                for line in work.splitlines()
                if line.startswith("|")
            ]
            column = rows[0].index("× ours")
            yield (
                work.partition("\n")[0],
                {row[0].partition(":")[0]: _cell(row, column) for row in rows[2:]},
            )


def _cell(row: list[str], column: int) -> str:
    return f"{row[column]}, wrong" if "**wrong**" in row[-1] else row[column]


def table(results: str, peers: tuple[str, ...]) -> str:
    """As Markdown: a row per work with a peer, a column per peer that took part in any."""
    found = [(work, of) for work, of in ratios(results) if any(peer in of for peer in peers)]
    shown = [peer for peer in peers if any(peer in of for _, of in found)]
    lines = [["", *shown], ["---", *["---:"] * len(shown)]]
    lines += [[work, *(of.get(peer, "") for peer in shown)] for work, of in found]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def filled(page: str, text: str) -> str:
    """The page with the ratios of the last benchmark in it."""
    now = table(RESULTS.read_text(), PEERS[page])
    return MARKED.sub(lambda _: f"\n{now}\n", text)


if __name__ == "__main__":
    for name in PEERS:
        path = ROOT / name
        path.write_text(filled(name, path.read_text()))
