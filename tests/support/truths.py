"""Writes the truth about cases into a file, for backends that cannot compute it themselves.

    KERAS_BACKEND=tensorflow python tests/support/truths.py truths.pickle layers/Dense ops/exp

Keras's float64 is float32 on JAX and PyTorch. TensorFlow gives float64 values, of which `truth`
takes differences; the weights go with them, so that the same model can be asked elsewhere.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

from cases import CASES, Case, true_gradient, true_hessian, true_value
from cases.flat import built


def truth_of(case: Case) -> dict[str, Any]:
    """The weights of a case, and its values and derivatives in float64."""
    twin = "float32_only" in case.tags
    return {
        "weights": [weight.numpy() for weight in built(case, "float64", twin=twin).weights],
        "value": true_value(case),
        "jacobian": true_gradient(case),
        "hessian": true_hessian(case),
    }


def main() -> None:
    """Writes them."""
    path, *ids = sys.argv[1:]
    found = {case.id: truth_of(case) for case in CASES if case.id in ids}
    Path(path).write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
