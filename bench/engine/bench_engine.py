#!/usr/bin/env python3
"""make bench-engine: our latency over ONNX Runtime's on the same files, at 1 and 2 threads.

MobileNetV2 (the shipped file) at batch 1, and ResNet-50 (light_resnet50.onnx with weights by formula and a symbolic batch) at
batches 1 and 8. Both engines are loaded and idle, each in a process of its own bound to the same cores, and take turns,
A B B A, for a number of rounds; a round's ratio is the ratio of its two medians, a cell's the median of its rounds. Whole queries
are timed: inputs in memory to outputs in memory. ONNX Runtime runs as its defaults are, spinning included.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "bench", "common"))
from bars import Bars, print_machine  # noqa: E402
from motet_server import BUILD  # noqa: E402

LIMIT = 1.05
TOLERANCE = 1e-4
# model, batch, milliseconds of one turn: enough for several queries
CELLS = [("mobilenet_v2", 1, 400), ("resnet50", 1, 800), ("resnet50", 8, 2400)]


def resnet50():
    """The file with weights and a symbolic batch, made once."""
    target = os.path.join(BUILD, "bench", "resnet50.onnx")
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        weighted = target + ".fixed"
        for command in (["materialize_light.py", os.path.join(HERE, "light_resnet50.onnx"), weighted],
                        ["make_batch_symbolic.py", weighted, target + ".part"]):
            subprocess.run([sys.executable, os.path.join(ROOT, "tools", command[0]), *command[1:]], check=True)
        os.remove(weighted)
        os.rename(target + ".part", target)
    return target


def model_files():
    return {"mobilenet_v2": os.path.join(ROOT, "models", "mobilenet_v2", "1", "model.onnx"), "resnet50": resnet50()}


class Turns:
    """A process that times on demand: `r MILLISECONDS` in, a JSON array of latencies in ms out."""

    def __init__(self, cores, command):
        self.process = subprocess.Popen(["taskset", "-c", ",".join(map(str, cores)), *command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().strip()
        if line != "ready":
            raise SystemExit(f"{' '.join(command)} answered '{line}' instead of 'ready'")

    def median(self, milliseconds):
        self.process.stdin.write(f"r {milliseconds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended with status {self.process.wait()}")
        return statistics.median(json.loads(line))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ort_worker(path, batch, threads):
    """The other side: ONNX Runtime behind the same lines."""
    import time

    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    shape = [batch] + [int(extent) for extent in given.shape[1:]]
    feed = {given.name: np.random.default_rng(1).random(shape, dtype=np.float32)}
    for _ in range(2):
        session.run(None, feed)
    print("ready", flush=True)
    for line in sys.stdin:
        seconds = float(line.split()[1]) / 1e3
        times, begin = [], time.perf_counter()
        last = begin
        while last - begin < seconds or not times:
            session.run(None, feed)
            now = time.perf_counter()
            times.append((now - last) * 1e3)
            last = now
        print(json.dumps(times), flush=True)


def with_logits(name, path):
    """The model with what enters its last Softmax as a further output: a softmax hides differences."""
    import onnx

    model = onnx.load(path)
    last = model.graph.node[-1]
    if last.op_type != "Softmax":
        return path
    logits = onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, None)
    model.graph.output.append(logits)
    target = os.path.join(BUILD, "bench", f"{name}.logits.onnx")
    onnx.save(model, target)
    return target


def check_answers(name, path):
    """Largest difference to ONNX Runtime on one random batch, over the largest answer of the same output."""
    import numpy as np
    import onnxruntime as ort

    path = with_logits(name, path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    x = np.random.default_rng(2).random([2] + [int(e) for e in given.shape[1:]], dtype=np.float32)
    source, result = (os.path.join(BUILD, "bench", f"{name}.{end}.npz") for end in ("in", "out"))
    np.savez(source, **{given.name: x})
    subprocess.run([os.path.join(BUILD, "motet"), "run", path, "--inputs", source, "--outputs", result], check=True)
    worst = 0.0
    ours = np.load(result)
    for output, want in zip(session.get_outputs(), session.run(None, {given.name: x})):
        worst = max(worst, float(np.abs(ours[output.name] - want).max() / np.abs(want).max()))
    return worst


def time_cell(path, batch, threads, cores, milliseconds, rounds):
    ours = Turns(cores, [os.path.join(BUILD, "motet"), "perf", path, "--batch", str(batch), "--threads", str(threads),
                         "--seconds", "1", "--control"])
    theirs = Turns(cores, [sys.executable, os.path.abspath(__file__), "--ort-worker", path, str(batch), str(threads)])
    pairs = []
    for turn in range(rounds):
        sides = [ours, theirs] if turn % 2 == 0 else [theirs, ours]
        first, second = (side.median(milliseconds) for side in sides)
        pairs.append((first, second) if turn % 2 == 0 else (second, first))
    ours.close()
    theirs.close()
    return pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="rounds a cell (default 11; at least 9 for a figure to be told)")
    parser.add_argument("--only", default="", help="cells whose name holds this, such as resnet50-b1-t2")
    parser.add_argument("--ort-worker", nargs=3, metavar=("FILE", "BATCH", "THREADS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ort_worker:
        path, batch, threads = arguments.ort_worker
        return ort_worker(path, int(batch), int(threads))

    import onnxruntime

    bars = Bars("engine")
    print_machine(bars.data["machine"])
    print(f"ONNX Runtime {onnxruntime.__version__}, {arguments.rounds} rounds a cell; ratio = ours / theirs, below 1 is faster")
    files = model_files()
    differences = {name: check_answers(name, path) for name, path in files.items()}
    cores = sorted(os.sched_getaffinity(0))
    cells = []
    print(f"{'cell':<22}{'ours ms':>10}{'theirs ms':>11}{'ratio':>8}   lowest and highest round")
    for name, batch, milliseconds in CELLS:
        for threads in (1, 2):
            cell = f"{name}-b{batch}-t{threads}"
            if arguments.only not in cell:
                continue
            if threads > len(cores):
                print(f"{cell:<22} left out: this process may use {len(cores)} core")
                continue
            pairs = time_cell(files[name], batch, threads, cores[:threads], milliseconds, arguments.rounds)
            ratios = sorted(a / b for a, b in pairs)
            row = {"cell": cell, "ours_ms": statistics.median(a for a, _ in pairs),
                   "theirs_ms": statistics.median(b for _, b in pairs), "ratio": statistics.median(ratios), "ratios": ratios}
            cells.append(row)
            print(f"{cell:<22}{row['ours_ms']:>10.3f}{row['theirs_ms']:>11.3f}{row['ratio']:>8.3f}   "
                  f"{ratios[0]:.3f} {ratios[-1]:.3f}", flush=True)
    if not cells:
        raise SystemExit(f"no cell's name holds '{arguments.only}'")
    geomean = math.exp(statistics.fmean(math.log(row["ratio"]) for row in cells))
    bars.data.update({"onnxruntime": onnxruntime.__version__, "rounds": arguments.rounds, "cells": cells,
                      "differences": differences})
    for name, worst in differences.items():
        bars.at_most(f"engine-{name}-difference", worst, TOLERANCE)
    bars.at_most("engine-geomean", geomean, LIMIT)
    return bars.finish()


if __name__ == "__main__":
    sys.exit(main())
