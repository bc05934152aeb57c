#!/usr/bin/env python3
"""make bench-many: what 150 models that must be loaded again and again cost 50 that are in use all the time.

200 small networks with seeded weights, served on demand under a memory budget that holds 50 of them. Queries are Poisson,
open loop, their models drawn by Zipf(1.0), in all 60 % of the measured capacity. Pairs of runs, interleaved: all 200 models,
and the 50 most asked for alone at the same total rate, so that the machine is equally loaded and only the loading differs.
Every model is loaded once beforehand, as in a server that has run for a while: its packed weights and what was measured of it are
in the cache on disk.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "bench", "common"))
sys.path.insert(0, HERE)
from bars import Bars, print_machine  # noqa: E402
from make_models import SIDE, make_repository  # noqa: E402
from motet_server import BUILD, MOTET, Server  # noqa: E402

MODELS, HOT = 200, 50
FILL = 0.6
LIMIT = 1.1


def metric(server, name):
    return float(re.search(rf"^{name} ([0-9.e+]+)$", server.metrics_text(), re.M).group(1))


def settled(server):
    """What is charged once the programs that are compiled behind the first answers are there."""
    seen = []
    while len(seen) < 4 or len(set(seen[-4:])) > 1:
        time.sleep(2)
        seen.append(int(metric(server, "motet_charged_bytes")))
    return seen[-1]


def zipf(count):
    weights = [1.0 / rank for rank in range(1, count + 1)]
    return [w / sum(weights) for w in weights]


def bench(server, models, *flags):
    command = [MOTET, "bench", server.http, "--json", "-", "--timeout", "120", *flags]
    for model in models:
        command += ["--model", model]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"motet bench ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def ask_once(server, names):
    """One query of each model, one after another."""
    import numpy as np
    import tritonclient.http as client

    with client.InferenceServerClient(server.http, network_timeout=300) as c:
        tensor = client.InferInput("image", [1, 3, SIDE, SIDE], "FP32")
        tensor.set_data_from_numpy(np.zeros((1, 3, SIDE, SIDE), np.float32))
        for name in names:
            c.infer(name, [tensor])


def warm(server, hot):
    """Asks for each of the hot ones until all are there at once: what was dropped in the run before is no part of the next,
    nor what is still compiled behind its first answer."""
    for _ in range(20):
        before = metric(server, "motet_program_loads_total")
        ask_once(server, hot)
        time.sleep(1)  # for what is compiled behind the answers
        if metric(server, "motet_program_loads_total") == before:
            return
    raise SystemExit("the budget does not hold the hot models: each round loads some of them anew")


def percentile(latencies, q):
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def one_run(server, names, rate, seconds, seed):
    rates = [f"{name}:{rate * share:.6f}" for name, share in zip(names, zipf(len(names)))]
    return bench(server, rates, "--duration", str(seconds), "--seed", str(seed), "--warmup", "0", "--latencies")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=60, help="of one run")
    flags = parser.parse_args()
    bars = Bars("many")
    print_machine(bars.data["machine"])
    repository = os.path.join(BUILD, "bench", "many")
    names = make_repository(repository, MODELS)
    hot = names[:HOT]
    with tempfile.TemporaryDirectory(dir=BUILD) as cache:
        serve = ["--load-on-demand", f"--cache-dir={cache}"]
        with Server([repository], *serve, "--memory-budget=64G") as server:
            ask_once(server, hot)
            budget = settled(server)
            ask_once(server, names[HOT:])
            settled(server)
            alone = bench(server, hot, "--duration", "5", "--concurrency", "1", "--warmup", "1")
            capacity = sum(m["served_per_s"] for m in alone["models"])
        budget += 64 << 20  # what runs beside the weights
        rate = FILL * capacity
        print(f"capacity {capacity:.1f}/s, rate {rate:.1f}/s, budget {budget / 1e6:.0f} MB for {HOT} of {MODELS} models")
        pooled = {"with": [], "without": []}
        cold = {"intended": 0, "served": 0}
        with Server([repository], *serve, f"--memory-budget={budget}") as server:
            for pair in range(flags.pairs):
                order = ["with", "without"] if pair % 2 == 0 else ["without", "with"]
                for kind in order:
                    warm(server, hot)
                    before = metric(server, "motet_program_loads_total")
                    report = one_run(server, names if kind == "with" else hot, rate, flags.seconds, pair + 1)
                    latencies = [x for m in report["models"] if m["model"] in hot for x in m["latencies_ms"]]
                    pooled[kind] += latencies
                    loads = metric(server, "motet_program_loads_total") - before
                    for m in report["models"]:
                        if m["model"] not in hot:
                            cold["intended"] += m["intended"]
                            cold["served"] += m["served"]
                    print(f"pair {pair + 1} {kind:<8} hot p50 {percentile(latencies, 0.5):7.2f} ms, "
                          f"p99 {percentile(latencies, 0.99):7.2f} ms of {len(latencies)}, {loads:.0f} loads", flush=True)
    p99 = {kind: percentile(values, 0.99) for kind, values in pooled.items()}
    bars.data.update({"capacity_per_s": capacity, "rate_per_s": rate, "budget_bytes": budget, "p99_ms": p99, "cold": cold})
    print(f"hot p99 with the cold ones {p99['with']:.2f} ms, without {p99['without']:.2f} ms; "
          f"{cold['served']} of {cold['intended']} cold queries answered")
    bars.at_most("many-hot-p99-ratio", p99["with"] / p99["without"], LIMIT)
    bars.at_most("many-cold-unanswered", cold["intended"] - cold["served"], 0)
    return bars.finish()


if __name__ == "__main__":
    sys.exit(main())
