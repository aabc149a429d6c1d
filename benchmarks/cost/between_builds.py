"""What this build takes beside another one, on TensorFlow: after a change that should cost nothing.

    git worktree add ../before COMMIT
    python -m benchmarks.cost.between_builds ../before

The race's networks, called plainly and compiled by XLA. Each build in processes of its own, in
turns; the best call of all. A ratio above 1 says how many times as long this build takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

TURNS, SECONDS, FEWEST = 5, 0.3, 5
HERE = Path(__file__).parents[2]


def measure() -> dict[str, float]:
    """Milliseconds by work, of the build that is imported."""
    import keras
    import tensorflow as tf

    import keras_curvature as kc
    from benchmarks.race import work as works
    from benchmarks.race.peers import keras_networks

    functions = {
        works.LAPLACIAN: kc.laplacian,
        works.DIAGONAL: kc.hessian_diagonal,
        works.HESSIAN: kc.hessian,
        works.TRACE: lambda model, x: kc.laplacian(model, x, directions=works.DIRECTIONS),
    }

    def step(model: keras.Model, work: works.Work, xla: bool):
        source, target = map(tf.constant, work.source_and_target())

        @tf.function(jit_compile=xla)
        def call(x: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                found = kc.derivatives(model, x, ["value", "laplacian"])
                loss = tf.reduce_mean((found["laplacian"][:, 0] - source) ** 2)
                loss += tf.reduce_mean((found["value"][:, 0] - target) ** 2)
            gradients = tape.gradient(loss, model.trainable_variables)
            for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
                variable.assign_sub(1e-6 * gradient)
            return loss

        return call

    found = {}
    for work in [*works.EXACT, *works.TRACES, *works.STEPS]:
        model, x = keras_networks.build(work.network), tf.constant(work.x())
        for xla in (False, True):
            if work.quantity == works.STEP:
                call = step(model, work, xla)
            else:
                function = functions[work.quantity]

                def plain(x: tf.Tensor, model=model, function=function) -> tf.Tensor:
                    return function(model, x)

                call = tf.function(plain, jit_compile=True) if xla else plain
            call(x).numpy()
            call(x).numpy()
            times, end = [], time.perf_counter() + SECONDS
            while time.perf_counter() < end or len(times) < FEWEST:
                begin = time.perf_counter()
                call(x).numpy()
                times.append(time.perf_counter() - begin)
            found[f"{work.title}{', XLA' if xla else ''}"] = 1e3 * min(times)
    return found


def of(build: Path) -> dict[str, float]:
    """What a process with this build measures."""
    paths = [str(build / "src"), str(HERE)]
    environment = os.environ | {
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": os.pathsep.join(paths),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    code = (
        "import json, keras_curvature\n"
        f"assert keras_curvature.__file__.startswith({str(build)!r}), keras_curvature.__file__\n"
        "from benchmarks.cost.between_builds import measure\n"
        "print(json.dumps(measure()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints a table."""
    builds = {"before": Path(sys.argv[1]).resolve(), "now": HERE}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
    for _ in range(TURNS):
        for name, build in builds.items():
            found[name].append(of(build))
    print("| work | before, ms | now, ms | ratio |\n|---|---:|---:|---:|")
    for work in found["now"][0]:
        before, now = (min(turn[work] for turn in found[name]) for name in ("before", "now"))
        print(f"| {work} | {before:.2f} | {now:.2f} | {now / before:.2f} |")


if __name__ == "__main__":
    main()
