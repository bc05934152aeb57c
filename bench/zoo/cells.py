"""The cells of bench-zoo: models and their inputs, workers that take turns, and one file of results per cell."""
import functools
import hashlib
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tools", "zoo"), os.path.join(ROOT, "bench", "common")]
import spec  # noqa: E402
import stats  # noqa: E402
from motet_server import BUILD  # noqa: E402
from turns import Turns  # noqa: E402

ZOO = os.path.join(BUILD, "zoo")
RESULTS = os.path.join(BUILD, "bench", "zoo")
MOTET = os.path.join(BUILD, "motet")
BATCHES, THREADS = (1, 8), (1, 2)
INPUT_SEED = 31


class Model:
    def __init__(self, name, family, lengths, inputs):
        self.name, self.family, self.lengths, self.inputs = name, family, lengths, inputs
        self.path = os.path.join(ZOO, name + ".onnx")

    def feed(self, seed, batch, length=spec.USUAL_LENGTH):
        return spec.feed(self.inputs, seed, batch, length)


def catalogue():
    """What zoo.tsv tells (tools/zoo/export.py)."""
    path = os.path.join(ZOO, "zoo.tsv")
    if not os.path.exists(path):
        raise SystemExit(f"{path} is missing: `make zoo` exports the models")
    models = {}
    with open(path) as f:
        for row in f.read().splitlines()[1:]:
            name, family, lengths, given, dtype, dims, kind, low, high = row.split("\t")
            lengths = [] if lengths == "-" else [int(n) for n in lengths.split(",")]
            model = models.setdefault(name, Model(name, family, lengths, []))
            dims = [int(d) if d.isdigit() else d for d in dims.split(",")]
            model.inputs.append(spec.Input(given, dtype, dims, kind, float(low), float(high)))
    return models


def motet_hash():
    with open(MOTET, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[:16]


def steal_ticks(cores):
    """(stolen, all) over these cores since boot."""
    stolen = total = 0
    for line in open("/proc/stat"):
        name, *ticks = line.split()
        if name in {f"cpu{core}" for core in cores}:
            stolen += int(ticks[7])
            total += sum(map(int, ticks[:8]))
    return stolen, total


def ours(model, inputs, threads, precision):
    return [MOTET, "perf", model.path, "--inputs", inputs, "--threads", str(threads), "--seconds", "0.2", "--control",
            *(["--precision", "bf16"] if precision == "bf16" else [])]


def peer(engine, model, inputs, threads):
    return [sys.executable, os.path.join(HERE, "peers.py"), engine, model.path, inputs, str(threads)]


@functools.cache
def weight_bytes(path):
    """What a query must read of the weights: all but tables of which it takes rows, and those it also multiplies with."""
    import onnx

    graph = onnx.load(path).graph
    read = {name for node in graph.node for i, name in enumerate(node.input) if node.op_type != "Gather" or i != 0}
    return sum(len(t.raw_data) for t in graph.initializer if t.name in read)


def work(model, inputs):
    """Floating-point operations of one query, by the program's own count, and the weights that it reads."""
    shapes = [f"{name}={'x'.join(map(str, x.shape))}" for name, x in inputs.items()]
    command = [MOTET, "inspect", model.path, "--json", "--no-times", *(word for s in shapes for word in ("--shape", s))]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"flops": told["flops"], "weight_bytes": weight_bytes(model.path)}


def measure(model, batch, threads, sides, rounds, cores):
    """`sides` maps a name to a command for (model, inputs file, threads). All are loaded first, then take turns, forwards and
    backwards. A turn lasts some queries of a fast cell and one of a slow one.
    """
    import numpy as np

    inputs = os.path.join(RESULTS, f"{model.name}-b{batch}.npz")
    feed = model.feed(INPUT_SEED, batch)
    np.savez(inputs, **feed)
    workers = {}
    for name, command in sides.items():  # one after another: compiling measures
        workers[name] = Turns(cores, command(model, inputs, threads))
        workers[name].wait_ready()
    os.remove(inputs)
    first = {name: worker.median(1) for name, worker in workers.items()}
    turn = max(20, min(200, 4 * max(first.values())))  # ms
    if max(first.values()) > turn:
        turn = 1  # one query
    times = {name: [] for name in workers}
    before, begin = steal_ticks(cores), time.time()
    for number in range(rounds):
        order = list(workers) if number % 2 == 0 else list(reversed(workers))
        for name in order:
            times[name].append(workers[name].median(turn))
    after = steal_ticks(cores)
    for worker in workers.values():
        worker.close()
    stolen = (after[0] - before[0]) / max(1, after[1] - before[1])
    return {"times_ms": times, "turn_ms": turn, "seconds": time.time() - begin, "steal": stolen, **work(model, feed)}


def compare(times, ours_name, theirs_name):
    return stats.ratio(times[ours_name], times[theirs_name])
