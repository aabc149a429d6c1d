"""Second derivatives at more points than fit into memory, shared out over several processes.

Run it: `python examples/large_probe.py` does the same work with one process and with two, prints
what each took and checks that both find the same. docs/long-runs.md explains it.

A probe that does not fit into memory is a `tf.data` pipeline. Each worker reads its share of it,
takes derivatives batch by batch and keeps sums; only these few numbers travel between the workers,
once, at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time

POINTS, INPUTS, BATCH = 200_000, 10, 2_000


def probe(points, workers, index):
    """A worker's share of the batches, made while they are read; a real one would read files."""

    def batch(i):
        return tf.random.stateless_normal([BATCH, INPUTS], [0, tf.cast(i, tf.int32)])

    mine = tf.data.Dataset.range(points // BATCH).shard(workers, index)
    return mine.map(batch).prefetch(2)


def build():
    """The model whose curvature is asked for; a real one would be loaded."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(128, "tanh") for _ in range(2)]
    return keras.Sequential([keras.Input((INPUTS,)), *hidden, keras.layers.Dense(1)])


def sums(model, x):
    """What adds up over batches and over workers, from which the numbers follow."""
    found = kc.derivatives(model, x, ["laplacian", "hessian_diagonal"])
    laplacian = found["laplacian"]
    return {
        "count": tf.cast(tf.shape(x)[0], tf.float64),
        "laplacian": tf.reduce_sum(tf.cast(laplacian, tf.float64)),
        "squares": tf.reduce_sum(tf.cast(laplacian, tf.float64) ** 2),
        "per_input": tf.reduce_sum(tf.abs(tf.cast(found["hessian_diagonal"], tf.float64)), [0, 1]),
    }


def measure(points):
    """The numbers over all points, and the seconds and this process's CPU seconds they took."""
    several = "TF_CONFIG" in os.environ
    strategy = (
        tf.distribute.MultiWorkerMirroredStrategy() if several else tf.distribute.get_strategy()
    )
    workers = strategy.num_replicas_in_sync
    index = strategy.cluster_resolver.task_id if several else 0
    with strategy.scope():
        model = build()

    @tf.function
    def of_batch(x):
        return sums(model, x)

    @tf.function
    def of_all_workers(mine):
        own = strategy.run(lambda: tf.nest.map_structure(tf.identity, mine))
        return {name: strategy.reduce("SUM", value, axis=None) for name, value in own.items()}

    # An own pipeline and not a distributed one, which asks all workers at each batch whether
    # there is another: nobody waits for anybody until the end.
    share = iter(probe(points, workers, index))
    total = of_batch(next(share))
    of_all_workers(total)  # traces it, and waits until all have begun
    start, cpu = time.perf_counter(), time.process_time()
    for x in share:
        total = add(total, of_batch(x))
    total = of_all_workers(total)
    took = time.perf_counter() - start, time.process_time() - cpu
    return numbers({name: value.numpy() for name, value in total.items()}), took


def add(a, b):
    return tf.nest.map_structure(tf.add, a, b)


def numbers(total):
    n = total["count"]
    return {
        "points": int(n),
        "mean": float(total["laplacian"] / n),
        "rms": float((total["squares"] / n) ** 0.5),
        "per_input": (total["per_input"] / n).tolist(),
    }


def with_processes(count, points):
    """Runs this file in several processes of this machine, as a cluster would on several."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(count)]
    processes = []
    for index in range(count):
        environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
        if count > 1:
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            environment["TF_CONFIG"] = json.dumps(config)
        command = [sys.executable, __file__, "--worker", "--points", str(points)]
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
    results = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit("a worker failed; its message is above")
    return json.loads(results[0].splitlines()[-1])


def free_port():
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return probing.getsockname()[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--worker", action="store_true", help="what each process is started with")
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(measure(given.points)))
        return
    first = None
    for count in given.processes:
        found, (seconds, cpu) = with_processes(count, given.points)
        first = first or (found, seconds)
        print(
            f"{count} process(es): {found['points']} points in {seconds:.1f} s, "
            f"{first[1] / seconds:.2f} times as fast; {cpu:.1f} s of CPU in the first; "
            f"mean Laplacian {found['mean']:.8f}"
        )
        assert found["points"] == first[0]["points"]
        assert abs(found["mean"] - first[0]["mean"]) < 1e-9 * found["rms"]


if __name__ == "__main__":
    if "--worker" in sys.argv:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        import keras
        import tensorflow as tf

        import keras_curvature as kc

        # A process stands for a machine: it must not borrow the other one's core.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    main()
