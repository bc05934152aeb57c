#!/usr/bin/env python3
"""make bench-steps: what cutting long ops into slices costs, how soon a program yields, and that interruption changes no bit.

Over the models of build/zoo (`make zoo`), each in two processes, one a batch size:
 - losses, at batch 8 on one core: every kind of sliced op against the same op planned whole, in turn, in the same memory and with
   nothing of it in a cache; each the shortest of 30 runs;
 - yields, at batch 8 on one core and on two: from asking for a yield to having the cores, over 1,000 asks at random moments.
   Samples during which the hypervisor took time from the machine (steal in /proc/stat) are counted and left out. Those longer
   than 1,200 us are shown with the time for which another process or thread had one of the cores, by the scheduler's statistics;
 - schedules, at batch 1: 200 runs under drawn schedules of pauses, leaders and widths, some killed on the way.
A model takes 15 to 100 s on two cores of a server, most of it to compile it; all take about 20 minutes. --only, and 0 for
what is not wanted, make it shorter.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "bench", "common"))
from bars import Bars, print_machine  # noqa: E402
from motet_server import BUILD  # noqa: E402

MEDIAN_LOSS, WORST_LOSS = 0.03, 0.08
YIELD_P99_US = 1200
MOST_LEFT_OUT = 0.02
LENGTH = 128


def shapes_of(zoo):
    """For each model of zoo.tsv the shapes of its inputs, with `batch` where the batch goes."""
    models = {}
    with open(os.path.join(zoo, "zoo.tsv")) as table:
        header = next(table).rstrip("\n").split("\t")
        for line in table:
            row = dict(zip(header, line.rstrip("\n").split("\t")))
            dims = [str(LENGTH) if d == "length" else d for d in row["dims"].split(",")]
            models.setdefault(row["model"], {})[row["input"]] = dims
    return {name: shapes for name, shapes in models.items() if os.path.exists(os.path.join(zoo, name + ".onnx"))}


def measure(zoo, name, shapes, batch, *flags):
    command = [os.path.join(BUILD, "motet-steps"), os.path.join(zoo, name + ".onnx"), "--batch", str(batch)]
    for tensor, dims in shapes.items():
        command += ["--shape", f"{tensor}={'x'.join(str(batch) if d == 'batch' else d for d in dims)}"]
    done = subprocess.run(command + [str(flag) for flag in flags], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"motet-steps on {name} ended with status {done.returncode}")
    return json.loads(done.stdout)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", default=os.path.join(BUILD, "zoo"), help="folder of the exported models (default build/zoo)")
    parser.add_argument("--only", default="", help="models whose name holds one of these, by commas")
    parser.add_argument("--runs", type=int, default=30, help="runs of every sliced op (default 30)")
    parser.add_argument("--asks", type=int, default=1000, help="asks a model and width (default 1000)")
    parser.add_argument("--schedules", type=int, default=200, help="schedules a model (default 200)")
    arguments = parser.parse_args()
    if not os.path.exists(os.path.join(arguments.zoo, "zoo.tsv")):
        raise SystemExit(f"{arguments.zoo} holds no zoo.tsv; `make zoo` exports the models there")
    bars = Bars("steps")
    print_machine(bars.data["machine"])
    models = {name: shapes for name, shapes in shapes_of(arguments.zoo).items() if any(part in name for part in arguments.only.split(","))}
    if not models:
        raise SystemExit(f"no model's name holds '{arguments.only}'")
    widths = [w for w in (1, 2) if w <= len(os.sched_getaffinity(0))]
    rows, losses, yields, left_out, different = {}, [], {w: [] for w in widths}, 0, 0
    print(f"{'model':<18}{'kinds':>6}{'median':>8}{'worst':>8}" + "".join(f"{f'p99 us at {w}':>13}{'max':>8}" for w in widths) +
          f"{'left out':>10}{'other bits':>12}")
    for name, shapes in models.items():
        row = {"left_out": 0, "yields": {}}
        shown = f"{name:<18}"
        answer = {"losses": [], "yields": []}
        if arguments.runs + arguments.asks > 0:
            answer.update(measure(arguments.zoo, name, shapes, 8, "--width", max(widths), "--losses", arguments.runs, "--asks", arguments.asks))
        row["losses"] = [dict(loss, loss=loss["sliced_us"] / loss["whole_us"] - 1) for loss in answer["losses"]]
        ratios = [loss["loss"] for loss in row["losses"]]
        losses += ratios
        shown += f"{len(ratios):>6}" + (f"{statistics.median(ratios):>8.3f}{max(ratios):>8.3f}" if ratios else f"{'-':>8}{'-':>8}")
        for one in answer["yields"]:
            samples = one["us"]
            row["yields"][one["width"]] = {"p50": percentile(samples, 0.5), "p99": percentile(samples, 0.99), "max": max(samples),
                                           "longest_step_us": one["longest_step_us"], "stolen": one["stolen_samples"], "long_steps": one["long_steps"], "late": one["late"]}
            row["left_out"] += one["stolen_samples"]
            yields[one["width"]] += samples
            shown += f"{percentile(samples, 0.99):>13.0f}{max(samples):>8.0f}"
        left_out += row["left_out"]
        row["schedules"] = {"different": 0}
        if arguments.schedules > 0:
            row["schedules"] = measure(arguments.zoo, name, shapes, 1, "--width", max(widths), "--schedules", arguments.schedules)["schedules"]
        different += row["schedules"]["different"]
        print(shown + f"{row['left_out']:>10}{row['schedules']['different']:>12}", flush=True)
        for loss in sorted(row["losses"], key=lambda loss: -loss["loss"])[:3]:
            if loss["loss"] > WORST_LOSS:
                print(f"  {loss['loss']:.3f} {loss['op']}: {loss['whole_us']:.0f} us by {loss['whole']}, in {loss['slices']} slices by {loss['sliced']}, predicted {loss['predicted_loss']:.3f}")
        for width, one in row["yields"].items():
            for late in sorted(one["late"], key=lambda late: -late["us"])[:3]:
                print(f"  width {width}: {late['us']:.0f} us to yield, for {late['delayed_us']:.0f} us of which something else had a core; {late['faults']} faults; {late['at']}")
            for step in one["long_steps"][:3]:
                print(f"  width {width}: {step['us']:.0f} us, the longest of {step['steps']} steps of {step['op']}, {step['total_us']:.0f} us in all, predicted {step['predicted_us']:.0f} at width 1")
        rows[name] = row
    bars.data["models"] = rows
    bars.at_most("steps-loss-median", statistics.median(losses) if losses else 0.0, MEDIAN_LOSS)
    bars.at_most("steps-loss-worst", max(losses, default=0.0), WORST_LOSS)
    for width in widths:
        if arguments.asks > 0:
            bars.at_most(f"steps-yield-p99-us-width-{width}", percentile(yields[width], 0.99), YIELD_P99_US)
    bars.at_most("steps-samples-left-out", left_out / max(1, len(models) * len(widths) * arguments.asks), MOST_LEFT_OUT)
    bars.at_most("steps-other-bits", different, 0)
    return bars.finish()


if __name__ == "__main__":
    sys.exit(main())
