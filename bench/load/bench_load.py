#!/usr/bin/env python3
"""make bench-load: from the call that loads a model to its first batch-1 answer, and the memory that takes, beside ONNX
Runtime.

Both in a process that runs already (libraries in, threads up), on the same two cores, the file in the page cache. Ours runs
cold (no cache directory) and warm (packed weights and measurements of an earlier process); ONNX Runtime loads the file and
runs once. Rounds are interleaved; medians. Memory is the process's peak resident size less its size before the load. The
models are those of `make zoo` (--zoo DIR says where); without them the bench says so and ends.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "bench", "common"))
from bars import Bars, print_machine  # noqa: E402
from motet_server import BUILD  # noqa: E402

WARM_LIMIT_MS = 150
LENGTH = 128  # of a sequence
MODELS = {"resnet50": "resnet50.onnx", "bert_base": "bert_base.onnx"}


def resident(field):
    for line in open("/proc/self/status"):
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def declared(path):
    """Shape and type of every input, with batch 1 and open lengths set."""
    import onnx

    inputs = []
    for value in onnx.load(path, load_external_data=False).graph.input:
        tensor = value.type.tensor_type
        shape = [d.dim_value if d.HasField("dim_value") else (1 if i == 0 else LENGTH)
                 for i, d in enumerate(tensor.shape.dim)]
        inputs.append((value.name, shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name))
    return inputs


def ort_once(path, inputs):
    """In a process of its own: loads, answers once, prints the same figures as motet-load."""
    import time

    import numpy as np
    import onnxruntime as ort

    feed = {name: np.zeros(shape, dtype) if np.issubdtype(np.dtype(dtype), np.integer)
            else np.random.default_rng(1).random(shape).astype(dtype) for name, shape, dtype in inputs}
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")
    before, begin = resident("VmRSS"), time.perf_counter()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session.run(None, feed)
    ms = (time.perf_counter() - begin) * 1e3
    print(json.dumps({"ms": ms, "peak_mb": (resident("VmHWM") - before) / 1e6}))


def run(command):
    cores = sorted(os.sched_getaffinity(0))[:2]
    done = subprocess.run(["taskset", "-c", ",".join(map(str, cores)), *command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(path, rounds, cache):
    inputs = declared(path)
    ours = [os.path.join(BUILD, "motet-load"), path, "--threads", "2"]
    for name, shape, _ in inputs:
        ours += ["--shape", f"{name}={'x'.join(map(str, shape))}"]
    kinds = {
        "cold": ours,
        "warm": ours + ["--cache-dir", cache],
        "ort": [sys.executable, os.path.abspath(__file__), "--ort", path, json.dumps(inputs)],
    }
    with open(path, "rb") as file:  # into the page cache
        while file.read(1 << 24):
            pass
    run(kinds["warm"])  # fills the cache
    runs = {kind: [] for kind in kinds}
    for r in range(rounds):
        order = list(kinds) if r % 2 == 0 else list(reversed(kinds))
        for kind in order:
            runs[kind].append(run(kinds[kind]))
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", default=os.path.join(BUILD, "zoo"), help="folder with the exported models")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--ort", nargs=2, metavar=("MODEL", "INPUTS"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.ort:
        return ort_once(flags.ort[0], json.loads(flags.ort[1]))
    bars = Bars("load")
    print_machine(bars.data["machine"])
    missing = [file for file in MODELS.values() if not os.path.exists(os.path.join(flags.zoo, file))]
    if missing:
        print(f"skipped: {', '.join(missing)} not in {flags.zoo}; make zoo exports them")
        return 0
    print(f"{'model':<10} {'':<5} {'ms':>8} {'least':>8} {'peak MB':>8}   (medians of {flags.rounds})")
    for name, file in MODELS.items():
        with tempfile.TemporaryDirectory(dir=BUILD) as cache:
            runs = measure(os.path.join(flags.zoo, file), flags.rounds, cache)
        bars.data[name] = runs
        ms = {kind: statistics.median(r["ms"] for r in list_) for kind, list_ in runs.items()}
        mb = {kind: statistics.median(r["peak_mb"] for r in list_) for kind, list_ in runs.items()}
        for kind in runs:
            least = min(r["ms"] for r in runs[kind])
            print(f"{name:<10} {kind:<5} {ms[kind]:>8.1f} {least:>8.1f} {mb[kind]:>8.1f}")
        bars.at_most(f"load-{name}-cold-over-ort", ms["cold"] / ms["ort"], 1.0)
        bars.at_most(f"load-{name}-warm-ms", ms["warm"], WARM_LIMIT_MS)
        bars.at_most(f"load-{name}-memory-over-ort", max(mb["cold"], mb["warm"]) / mb["ort"], 1.0)
    return bars.finish()


if __name__ == "__main__":
    sys.exit(main())
