"""What TensorFlow's own second derivatives are worth, case by case of tests/support/cases.

Second derivatives along one direction by two nested tapes, in float64, as anyone would write
them, against differences of values; see tests/support/cases/tensorflow_own.py. A line that starts
with "*" is news: not what was found with TensorFlow 2.21.

    python docs/studies/tensorflow_survey.py                 # all cases but the slow ones, graph
    python docs/studies/tensorflow_survey.py --mode xla ops/ # families or ids that start so
    python docs/studies/tensorflow_survey.py --slow applications/
"""

from __future__ import annotations

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from cases import CASES
from cases.tensorflow_own import MODES, known_verdict, survey


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", help="ids, or how they start")
    parser.add_argument("--mode", choices=MODES, default="graph")
    parser.add_argument("--slow", action="store_true", help="include whole applications")
    parser.add_argument("--all", action="store_true", help="print what is right, too")
    arguments = parser.parse_args()
    tally: Counter[str] = Counter()
    for case in CASES:
        if arguments.cases and not case.id.startswith(tuple(arguments.cases)):
            continue
        if "slow" in case.tags and not arguments.slow:
            continue
        finding = survey(case, arguments.mode)
        tally[finding.verdict] += 1
        news = "*" if finding.verdict != known_verdict(case) else " "
        if arguments.all or news == "*" or finding.verdict != "right":
            print(f"{news} {finding.verdict:7s} {case.id:52s} {finding.detail}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(tally.items())))


if __name__ == "__main__":
    main()
