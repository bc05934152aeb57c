#!/usr/bin/env python3
"""make bench-zoo: the zoo's models, ours against ONNX Runtime and OpenVINO (f32 and bf16) on the same cores, interleaved.

Cells are model x batch {1, 8} x threads {1, 2}. All engines of a cell are loaded, each in a process of its own bound to the same
cores, and take turns, forwards and backwards, for a number of rounds. A round's ratio is ours over theirs; a cell's is the median
of its rounds, with a 95 % interval by order statistics. Whole queries: inputs in memory to outputs in memory.

Each cell's result is a file under build/bench/zoo/; a cell that this build of motet has measured is not measured again, so a run
that was cut off goes on where it was (--fresh: all again). --check compares every output with ONNX Runtime's instead.
"""
import argparse
import json
import os
import statistics
import sys

import cells
import check
import history
import quantized
from bars import Bars, print_machine
from stats import geomean

LIMITS_OVER_ORT = {"conv": {"amx": 0.90, "other": 0.97}, "mobile": 0.90, "attention": 0.82, "memory": 1.0}
LIMIT_ROW = 1.02
LIMIT_FASTER_PEER = 0.97
LIMIT_BF16_OVER_OPENVINO = 0.90
LIMITS_BF16_OVER_ORT = {"amx": {"conv": 0.20, "attention": 0.20, "mobile": 0.48}, "other": {"conv": 0.60, "attention": 0.60}}
LIMIT_INT8 = 1.0
SIDES = {
    "ours-f32": lambda *given: cells.ours(*given, "f32"),
    "onnxruntime": lambda *given: cells.peer("onnxruntime", *given),
    "openvino-f32": lambda *given: cells.peer("openvino-f32", *given),
}
BF16_SIDES = {
    "ours-bf16": lambda *given: cells.ours(*given, "bf16"),
    "openvino-bf16": lambda *given: cells.peer("openvino-bf16", *given),
}
SHOWN = ("ort", "openvino", "bf16", "int8")
INT8_SIDES = {
    "ours-int8": lambda *given: cells.ours(*given, "int8"),
    "openvino-int8": lambda *given: cells.peer("openvino-int8", *given),
}


def wanted(arguments, models, bf16):
    """(cell's name, model, batch, threads, sides) in the table's order."""
    for model in [*models.values(), *quantized.models(models)]:
        sides = INT8_SIDES if model.family == "int8" else SIDES | (BF16_SIDES if bf16 else {})
        for batch in cells.BATCHES:
            for threads in cells.THREADS:
                name = f"{model.name}-b{batch}-t{threads}"
                if any(part in name for part in arguments.only.split(",")):
                    yield name, model, batch, threads, sides


def cell(name, model, batch, threads, sides, arguments, cores, build):
    """From its file, if this build measured it with these sides and as many rounds; else measured now."""
    path = os.path.join(cells.RESULTS, name + ".json")
    if os.path.exists(path) and not arguments.fresh:
        with open(path) as f:
            kept = json.load(f)
        if kept["build"] == build and list(kept["times_ms"]) == list(sides) and kept["rounds"] >= arguments.rounds:
            return kept
    row = cells.measure(model, batch, threads, sides, arguments.rounds, cores[:threads])
    row |= {"cell": name, "model": model.name, "family": model.family, "batch": batch, "threads": threads, "build": build,
            "rounds": arguments.rounds}
    with open(path + ".part", "w") as f:
        json.dump(row, f)
    os.rename(path + ".part", path)
    return row


def compared(row):
    """The row's ratios by name, ours over theirs."""
    times = row["times_ms"]
    pairs = {"ort": ("ours-f32", "onnxruntime"), "openvino": ("ours-f32", "openvino-f32"), "bf16": ("ours-bf16", "openvino-bf16"),
             "bf16-ort": ("ours-bf16", "onnxruntime"), "int8": ("ours-int8", "openvino-int8")}
    found = {name: cells.compare(times, *pair) for name, pair in pairs.items() if all(side in times for side in pair)}
    if "ort" in found:
        found["faster"] = max((found["ort"], found["openvino"]), key=lambda r: r["ratio"])
    return found


def show(row, roof):
    median = {side: statistics.median(times) for side, times in row["times_ms"].items()}
    best = median.get("ours-f32") or median["ours-int8"]
    peak = roof[str(row["threads"])]
    row["median_ms"] = median
    row["share_fma"] = row["flops"] / (best * 1e6) / peak["fma_gflops"]
    row["share_read"] = row["weight_bytes"] / (best * 1e6) / peak["read_gbps"]
    times = "".join(f"{ms:>10.3f}" for ms in median.values())
    ratios = "  ".join(f"{name} {r['ratio']:.3f} [{r['low']:.3f} {r['high']:.3f}]" for name, r in row["ratios"].items() if name in SHOWN)
    print(f"{row['cell']:<24}{times}   {ratios}   {100 * row['share_fma']:.0f} {100 * row['share_read']:.0f} {100 * row['steal']:.1f}", flush=True)


def judge(bars, rows, kind, bf16):
    def over(name, families=None):
        return [r["ratios"][name]["ratio"] for r in rows if name in r["ratios"] and (families is None or r["family"] in families)]

    def at_most(bar, values, limit):
        if values:
            bars.at_most(f"zoo-{bar}", geomean(values), limit)

    for family, limit in LIMITS_OVER_ORT.items():
        at_most(f"{family}-over-onnxruntime", over("ort", [family]), limit[kind] if isinstance(limit, dict) else limit)
    above = [r["cell"] for r in rows if "ort" in r["ratios"] and r["ratios"]["ort"]["low"] > LIMIT_ROW]
    if above:
        print(f"rows whose interval lies above {LIMIT_ROW}: {', '.join(above)}")
    if over("ort"):
        bars.at_most("zoo-rows-above", len(above), 0)
    at_most("over-faster-peer", over("faster"), LIMIT_FASTER_PEER)
    if bf16:
        at_most("bf16-over-openvino", over("bf16"), LIMIT_BF16_OVER_OPENVINO)
        for family, limit in LIMITS_BF16_OVER_ORT[kind].items():
            at_most(f"bf16-{family}-over-onnxruntime", over("bf16-ort", [family]), limit)
    at_most("int8-over-openvino", over("int8"), LIMIT_INT8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds a cell (default 15, the least for a figure to be told)")
    parser.add_argument("--only", default="", help="cells whose name holds one of these: resnet50-b1-t2, or vgg16,dlrm")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured")
    parser.add_argument("--exact", action="store_true", help="no bf16 rows")
    parser.add_argument("--check", action="store_true", help="compare outputs with ONNX Runtime's, at batch 1, 3, 8 and every length")
    arguments = parser.parse_args()
    models = cells.catalogue()
    bars = Bars("zoo-check" if arguments.check else "zoo")
    print_machine(bars.data["machine"])
    os.makedirs(cells.RESULTS, exist_ok=True)
    if arguments.check:
        return check.run(bars, models, arguments.only.split(","))

    isa = bars.data["machine"]["isa"]
    kind = "amx" if "amx_tile" in isa else "other"
    bf16 = not arguments.exact and ("avx512_bf16" in isa or kind == "amx")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < max(cells.THREADS):
        raise SystemExit(f"bench-zoo runs on 1 and 2 threads; this process may use {len(cores)} core")
    roof, build = history.roofline(), cells.motet_hash()
    print("peak: " + "; ".join(f"{t} threads {r['fma_gflops']:.0f} GFLOP/s, {r['read_gbps']:.1f} GB/s read" for t, r in roof.items()))
    print(f"medians in ms: {', '.join([*SIDES, *(BF16_SIDES if bf16 else {})])}; of _qdq models {', '.join(INT8_SIDES)}. Ratios: ours over theirs, "
          "[95 % interval]. Then % of the FMA peak, % of read bandwidth that the weights take, % steal")
    rows = []
    for name, model, batch, threads, sides in wanted(arguments, models, bf16):
        row = cell(name, model, batch, threads, sides, arguments, cores, build)
        row["ratios"] = compared(row)
        show(row, roof)
        rows.append(row)
    if not rows:
        raise SystemExit(f"no cell's name holds '{arguments.only}'")
    bars.data |= {"rounds": arguments.rounds, "roofline": roof, "versions": history.versions(), "cells": rows}
    judge(bars, rows, kind, bf16)
    if not arguments.only and not arguments.exact:
        history.keep(bars, rows)
    return bars.finish()


if __name__ == "__main__":
    sys.exit(main())
