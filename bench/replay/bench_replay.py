#!/usr/bin/env python3
"""Records a live server for 60 s under mixed load, then replays the recording in another process.

The load: every shipped model over HTTP and gRPC at steady rates, queries whose clients leave (a cancel), queries with deadlines that
cannot be met (a shed), a model that does not load (a failed load), loads and unloads. `motet-replay` feeds the recorded events
to a fresh loop and compares its actions with the recorded ones, byte for byte; then again with one event altered, which must show.
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from bars import Bars  # noqa: E402
from motet_server import BUILD, ROOT, Server  # noqa: E402

LEAST_EVENTS = 10_000
STEADY = {"mnist_8": ("Input3", (1, 1, 28, 28), "FP32", np.float32), "resnet20_cifar10": ("input", (1, 3, 32, 32), "FP32", np.float32),
          "magika": ("bytes", (1, 2048), "INT32", np.int32), "mobilenet_v2": ("input", (1, 3, 224, 224), "FP32", np.float32)}


def request(module, model):
    name, shape, kind, dtype = STEADY[model]
    tensor = module.InferInput(name, list(shape), kind)
    tensor.set_data_from_numpy(np.zeros(shape, dtype=dtype))
    return [tensor]


class Load:
    """Threads that ask until told to stop; counts what came back."""

    def __init__(self, server):
        self.server, self.stop = server, threading.Event()
        self.counts, self.lock = {}, threading.Lock()
        self.threads = [threading.Thread(target=self.guard, args=(job,), daemon=True) for job in
                        [lambda m=m: self.steady(m) for m in STEADY] + [lambda: self.steady("mnist_8"), self.leaving, self.hopeless, self.control]]

    def guard(self, job):
        try:
            job()
        except Exception as error:  # a thread that dies silently would make the load a lie
            self.count(f"broken: {error!r}")

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def steady(self, model):
        module, address = (grpcclient, self.server.grpc) if model == "magika" else (httpclient, self.server.http)
        with contextlib.closing(module.InferenceServerClient(address)) as client:
            self.ask(model, module, client)

    def ask(self, model, module, client):
        inputs = request(module, model)
        pause = {"mnist_8": 0.001, "resnet20_cifar10": 0.004, "magika": 0.03, "mobilenet_v2": 0.05}[model]
        while not self.stop.is_set():
            try:
                client.infer(model, inputs)
                self.count("answered")
            except InferenceServerException as error:
                self.count("refused" if "deadline" in str(error).lower() or "slo" in str(error).lower() else f"error: {error}")
            time.sleep(pause)

    def leaving(self):
        with contextlib.closing(grpcclient.InferenceServerClient(self.server.grpc)) as client:
            inputs = request(grpcclient, "mobilenet_v2")
            while not self.stop.is_set():
                call = client.async_infer("mobilenet_v2", inputs, lambda result, error: None)
                time.sleep(0.002)
                call.cancel()
                self.count("left")
                time.sleep(0.1)

    def hopeless(self):
        with contextlib.closing(httpclient.InferenceServerClient(self.server.http)) as client:
            while not self.stop.is_set():
                try:
                    client.infer("mobilenet_v2", request(httpclient, "mobilenet_v2"), timeout=100)
                    self.count("answered")
                except InferenceServerException:
                    self.count("shed")
                time.sleep(0.2)

    def control(self):
        with contextlib.closing(httpclient.InferenceServerClient(self.server.http, network_timeout=120, connection_timeout=120)) as client:
            while not self.stop.is_set():
                try:
                    client.load_model("broken")
                except InferenceServerException:
                    self.count("failed loads")
                client.load_model("ncf_mlp_ml1m")
                client.unload_model("ncf_mlp_ml1m")
                self.count("loads")
                time.sleep(1)

    def run(self, seconds):
        for thread in self.threads:
            thread.start()
        time.sleep(seconds)
        self.stop.set()
        for thread in self.threads:
            thread.join(30)


def replay(recording, *flags):
    run = subprocess.run([os.path.join(BUILD, "motet-replay"), recording, "--json", *flags], capture_output=True, text=True)
    if run.returncode not in (0, 1):
        raise SystemExit(f"motet-replay ended with {run.returncode}: {run.stderr}")
    return json.loads(run.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--least-events", type=int, default=LEAST_EVENTS)
    arguments = parser.parse_args()
    bars = Bars("replay")
    with tempfile.TemporaryDirectory() as temporary:
        recording = os.path.join(temporary, "recording")
        os.makedirs(f"{temporary}/repository/broken/1")
        open(f"{temporary}/repository/broken/1/model.onnx", "wb").write(b"no model")
        flags = ["--model-control-mode=explicit", f"--record={recording}"] + [f"--load-model={m}" for m in STEADY]
        with Server([f"{ROOT}/models", f"{temporary}/repository"], *flags) as server:
            load = Load(server)
            load.run(arguments.seconds)
            print("load:", ", ".join(f"{n} {what}" for what, n in sorted(load.counts.items())))
            broken = [what for what in load.counts if what.startswith("broken")]
        report = replay(recording)
        kinds = report["events_by_kind"]
        actions = report["actions_by_kind"]
        print(f"recorded {report['events']} events ({', '.join(f'{n} {k}' for k, n in kinds.items())}) in {os.path.getsize(recording)} bytes")
        print(f"actions: {', '.join(f'{n} {k}' for k, n in actions.items())}")
        altered = replay(recording, "--alter", str(report["events"] // 2))
        print(f"with one event altered: {altered['first_difference'] or 'no difference'}")
    bars.data.update(load=load.counts, report=report)
    bars.at_most("replay-broken-load-threads", len(broken), 0)
    bars.at_least("replay-events", report["events"], arguments.least_events)
    bars.at_most("replay-differences", report["differences"], 0)
    bars.at_least("replay-cancels", kinds.get("Cancelled", 0), 1)
    bars.at_least("replay-sheds", actions.get("Shed", 0), 1)
    bars.at_least("replay-failed-loads", report["failed_loads"], 1)
    bars.at_least("replay-altered-event-detected", altered["differences"], 1)
    return bars.finish()


if __name__ == "__main__":
    sys.exit(main())
