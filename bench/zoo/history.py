"""bench/history.tsv: one row per kind of CPU, of the last complete run there; and what the machine can do."""
import datetime
import json
import os
import subprocess

import cells

PATH = os.path.join(cells.ROOT, "bench", "history.tsv")
COLUMNS = ("cpu", "isa", "date", "commit", "steal_pct", "bars")


def roofline():
    return {str(t): json.loads(subprocess.run([os.path.join(cells.BUILD, "motet-roofline"), str(t)], check=True, capture_output=True,
                                              text=True).stdout) for t in cells.THREADS}


def versions():
    from importlib.metadata import version
    return {name: version(name) for name in ("onnxruntime", "openvino", "torch", "torchvision", "transformers")}


def commit():
    done = subprocess.run(["git", "-C", cells.ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def keep(bars, rows):
    """Replaces the row of this kind of CPU."""
    machine = bars.data["machine"]
    steal = 100 * sum(r["steal"] for r in rows) / len(rows)
    told = " ".join(f"{b['name']}={b['value']:.4g}" for b in bars.bars)
    fresh = (machine["cpu"], " ".join(machine["isa"]), datetime.date.today().isoformat(), commit(), f"{steal:.1f}", told)
    kept = []
    if os.path.exists(PATH):
        with open(PATH) as f:
            kept = [tuple(line.split("\t")) for line in f.read().splitlines()[1:]]
    kept = sorted([row for row in kept if row[:2] != fresh[:2]] + [fresh])
    with open(PATH, "w") as f:
        f.write("\n".join("\t".join(row) for row in [COLUMNS, *kept]) + "\n")
