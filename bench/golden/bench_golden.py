#!/usr/bin/env python3
"""Every shipped model against its golden outputs (`motet run`), and the ten labelled photos over HTTP and gRPC.

Golden means max|y - golden| <= 1e-4 x max|golden|, per output tensor.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from bars import Bars, print_machine  # noqa: E402
from motet_server import MOTET, ROOT, Server  # noqa: E402

TOLERANCE = 1e-4


def golden_sets():
    for folder in sorted(glob.glob(os.path.join(ROOT, "models", "*", "golden", "*"))):
        yield folder.split(os.sep)[-3], os.path.basename(folder), folder


def check_golden(bars):
    good = total = 0
    for model, number, folder in golden_sets():
        total += 1
        with tempfile.TemporaryDirectory() as temporary:
            out = os.path.join(temporary, "out.npz")
            run = subprocess.run([MOTET, "run", f"{ROOT}/models/{model}/1/model.onnx", "--inputs", f"{folder}/inputs.npz",
                                  "--outputs", out], capture_output=True, text=True)
            if run.returncode != 0:
                print(f"{model:20s} {number}  does not run: {run.stderr.strip()}")
                continue
            ours, golden = np.load(out), np.load(f"{folder}/outputs.npz")
            worst = 0.0
            for name in golden.files:
                want = golden[name].astype(np.float64)
                if name not in ours.files or ours[name].shape != golden[name].shape:
                    worst = float("inf")
                    continue
                error = np.abs(ours[name].astype(np.float64) - want).max() / max(np.abs(want).max(), 1e-30)
                worst = max(worst, float(error) if np.isfinite(error) else float("inf"))
        good += worst <= TOLERANCE
        print(f"{model:20s} {number}  {len(golden.files)} outputs, worst {worst:.1e} of the greatest value  {'ok' if worst <= TOLERANCE else 'WRONG'}")
        bars.data.setdefault("golden", []).append({"model": model, "set": number, "worst": worst})
    bars.at_least("golden-sets", good, total)
    models = {m for m, _, _ in golden_sets()}
    bars.at_least("golden-models", len(models), 9)


def infer(url, model, file):
    """The best label that `motet infer` gives, or None with its message printed."""
    run = subprocess.run([MOTET, "infer", "--url", url, model, file, "--json"], capture_output=True, text=True)
    if run.returncode != 0:
        print(f"{url} {model} {file}: {run.stderr.strip()}")
        return None
    return json.loads(run.stdout)["findings"]["labels"][0]


def check_photos(bars, server):
    labelled = [line.split() for line in open(f"{ROOT}/demo/media/photos/imagenet_labels.txt")]
    for protocol, url in (("http", f"http://{server.http}"), ("grpc", f"grpc://{server.grpc}")):
        right = 0
        for photo, label in labelled:
            best = infer(url, "mobilenet_v2", f"{ROOT}/demo/media/photos/{photo}")
            if best is None:
                continue
            right += best["index"] == int(label)
            print(f"{protocol} {photo:24s} {best['label']:40s} {best['score']:.3f}  {'ok' if best['index'] == int(label) else 'WRONG'}")
        bars.at_least(f"photos-top1-{protocol}", right, len(labelled))


CIFAR = {"car.jpg": "automobile", "cat.jpg": "cat", "kitten.jpg": "cat", "dog.jpg": "dog", "golden_retriever.jpeg": "dog",
         "peacock.jpeg": "bird", "pelican.jpeg": "bird"}


def check_cifar(bars, server):
    """ResNet-20 sees each photo at 32x32; served by both protocols in turn."""
    right = 0
    for number, (photo, label) in enumerate(CIFAR.items()):
        url = f"http://{server.http}" if number % 2 else f"grpc://{server.grpc}"
        best = infer(url, "resnet20_cifar10", f"{ROOT}/demo/media/photos/{photo}")
        right += best is not None and best["label"] == label
        print(f"resnet20 {photo:24s} {best and best['label']}  {'ok' if best and best['label'] == label else 'WRONG'}")
    bars.at_least("photos-resnet20", right, len(CIFAR))


def main():
    bars = Bars("golden")
    print_machine(bars.data["machine"])
    check_golden(bars)
    with Server([f"{ROOT}/models"], "--model-control-mode=explicit", "--load-model=mobilenet_v2", "--load-model=resnet20_cifar10") as server:
        check_photos(bars, server)
        check_cifar(bars, server)
    return bars.finish()


if __name__ == "__main__":
    sys.exit(main())
