#!/usr/bin/env python3
"""What bf16 and int8 do to answers: the ten labelled photos, ResNet-20 on 1,000 CIFAR-10 images, and NCF's HR@10 over 6,040 users.

int8 models are QDQ, made here by onnxruntime.quantization (int8 weights per channel, uint8 activations); the ranges come from other
data where there is any (COCO-like scenes for the photos), for ResNet-20 from ten images a class, for NCF from seeded pairs of ids. "own-int8" is NCF of fp32
in Motet's own int8; how fast that is, over fp32, is shown for GPT-2's decoding step and BERT-base (from `make zoo`).
Images come through `motet infer` and a model that returns its input, so they are prepared as a client's would be. What needs ../shared
is skipped, with a line, where it is not there.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
from onnx import TensorProto, helper

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "zoo"))
import cells  # noqa: E402
from bars import Bars, print_machine  # noqa: E402
from motet_server import MOTET, ROOT, Server  # noqa: E402

SHARED = os.environ.get("MOTET_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
CIFAR = os.path.join(SHARED, "data", "media", "cifar10-test1000")
NCF = os.path.join(SHARED, "data", "embeddings", "ncf-ml1m")
SCENES = os.path.join(SHARED, "data", "media", "images")
POINTS = 0.5  # percentage points that a precision may lose


def model_file(name):
    return f"{ROOT}/models/{name}/1/model.onnx"


def run(path, feed, precision):
    """The first output of the model on `feed`; the bench ends with motet's message if it does not run."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/in.npz", **feed)
        done = subprocess.run([MOTET, "run", path, "--inputs", f"{folder}/in.npz", "--outputs", f"{folder}/out.npz",
                               "--precision", precision], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{path} in {precision}: {done.stderr.strip()}")
        out = np.load(f"{folder}/out.npz")
        return out[out.files[0]]


def quantized(path, feeds, target, first=0, **method):
    """The model as QDQ at `target`, its ranges from `feeds`. The `first` convolutions stay as they are, and so does the last
    product, so that scores have no ties."""
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self.feeds = iter(feeds)

        def get_next(self):
            return next(self.feeds, None)

    nodes = onnx.load(path).graph.node
    exact = [node.name for node in nodes if node.op_type == "Conv"][:first]
    exact.append([node.name for node in nodes if node.op_type in ("Gemm", "MatMul")][-1])
    q.quantize_static(path, target, Reader(), nodes_to_exclude=exact, quant_format=q.QuantFormat.QDQ, per_channel=True,
                      activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8, **method)
    return target


class Prepared:
    """Pictures as tensors: a server whose models return their input, one for each recipe."""

    def __init__(self, names):
        self.folder = tempfile.mkdtemp()
        for name in names:
            graph = onnx.load(model_file(name)).graph
            port = graph.input[0]
            shape = [d.dim_value or "N" for d in port.type.tensor_type.shape.dim]
            value = lambda label: helper.make_tensor_value_info(label, TensorProto.FLOAT, shape)  # noqa: E731
            body = helper.make_graph([helper.make_node("Identity", [port.name], ["same"])], name, [value(port.name)], [value("same")])
            os.makedirs(f"{self.folder}/{name}/1")
            onnx.save(helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), f"{self.folder}/{name}/1/model.onnx")
            recipe = [line for line in open(f"{ROOT}/models/{name}/config.pbtxt")
                      if "recipe." in line and "recipe.output" not in line and "recipe.labels" not in line]
            with open(f"{self.folder}/{name}/config.pbtxt", "w") as config:
                config.write(f'name: "{name}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 8\n' + "".join(recipe))
        self.server = Server([self.folder])

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *exception):
        self.server.__exit__(*exception)
        shutil.rmtree(self.folder)

    def pictures(self, name, files):
        def one(numbered):
            number, file = numbered
            out = f"{self.folder}/{name}-{number}.npz"
            done = subprocess.run([MOTET, "infer", "--url", f"http://{self.server.http}", name, file, "--out", out],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                raise SystemExit(f"{file}: {done.stderr.strip()}")
            arrays = np.load(out)
            tensor = arrays[arrays.files[0]]
            os.remove(out)
            return tensor.reshape((1, *tensor.shape[-3:]))

        with ThreadPoolExecutor(2) as pool:
            return np.concatenate(list(pool.map(one, enumerate(files))))


def precisions():
    """Those of fp32 models that this CPU has; why not is printed."""
    path = model_file("resnet20_cifar10")
    done = subprocess.run([MOTET, "inspect", path, "--precision", "bf16", "--no-times"], capture_output=True, text=True)
    if done.returncode == 0:
        return ["bf16"]
    print(f"bf16 is left out: {done.stderr.strip()}")
    return []


def check_photos(bars, prepared, folder, reduced):
    labelled = [line.split() for line in open(f"{ROOT}/demo/media/photos/imagenet_labels.txt")]
    images = prepared.pictures("mobilenet_v2", [f"{ROOT}/demo/media/photos/{photo}" for photo, _ in labelled])
    others = [f for f in sorted(glob.glob(f"{SCENES}/**/*.jp*g", recursive=True)) if os.path.basename(f) not in {p for p, _ in labelled}]
    scenes = prepared.pictures("mobilenet_v2", others) if len(others) >= 8 else images
    print(f"photos: int8 ranges from {len(scenes)} {'other pictures' if scenes is not images else 'of the same photos: ../shared is not there'}")
    path = model_file("mobilenet_v2")
    name = inputs_of(path)[0]
    exact = run(path, {name: images}, "exact")
    answers = {p: run(path, {name: images}, p) for p in reduced}
    # One photo's best two classes are 0.86 apart. With ranges from least to most the root of the scores' mean square error is
    # 0.9; with this percentile, the best of four, 0.6; with the first block exact besides, 7 % of the multiplications, 0.5: so
    # with the photos' own ranges, with their mirror images' and with those of other pictures.
    from onnxruntime.quantization import CalibrationMethod
    qdq = quantized(path, [{name: scenes[i:i + 1]} for i in range(len(scenes))], f"{folder}/mobilenet_v2.onnx", first=3,
                    calibrate_method=CalibrationMethod.Percentile, extra_options={"CalibPercentile": 99.95})
    print("photos: the int8 model keeps its first block (3 convolutions) and its last product in fp32")
    answers["int8"] = run(qdq, {name: images}, "exact")
    for precision, answer in answers.items():
        same = answer.argmax(1) == exact.argmax(1)
        error = np.abs(answer - exact).max() / np.abs(exact).max()
        changed = [labelled[i][0] for i in np.flatnonzero(~same)]
        print(f"photos {precision:5s} {same.sum()} of {len(same)} unchanged, error {error:.4f}" + (f", changed: {', '.join(changed)}" if changed else ""))
        bars.data.setdefault("photos", {})[precision] = {"unchanged": int(same.sum()), "error": float(error)}
        bars.at_least(f"photos-unchanged-{precision}", int(same.sum()), len(labelled))


def inputs_of(path):
    graph = onnx.load(path).graph
    constants = {c.name for c in graph.initializer}
    return [i.name for i in graph.input if i.name not in constants]


def check_share(bars, name, what, shares):
    """`shares` in percent by precision; each may lose POINTS against exact."""
    for precision, share in shares.items():
        print(f"{what} {precision:8s} {share:.2f} %")
        if precision != "exact":
            bars.at_most(f"{name}-lost-{precision}", float(shares["exact"] - share), POINTS)
    bars.data[name] = shares


def check_cifar(bars, prepared, folder, reduced):
    if not os.path.isdir(CIFAR):
        print(f"ResNet-20 is left out: {CIFAR} is not there")
        return
    labels = open(f"{ROOT}/models/resnet20_cifar10/labels.txt").read().split()
    files = [(f, i) for i, label in enumerate(labels) for f in sorted(glob.glob(f"{CIFAR}/{label}/*.jpg"))]
    images = prepared.pictures("resnet20_cifar10", [f for f, _ in files])
    truth = np.array([i for _, i in files])
    path = model_file("resnet20_cifar10")
    name = inputs_of(path)[0]
    few = np.concatenate([np.flatnonzero(truth == i)[:10] for i in range(len(labels))])
    qdq = quantized(path, [{name: images[few]}], f"{folder}/resnet20.onnx")

    def right(model, precision):
        answers = np.concatenate([run(model, {name: images[i:i + 250]}, precision) for i in range(0, len(images), 250)])
        return 100.0 * float((answers.argmax(1) == truth).mean())

    shares = {p: right(path, p) for p in ("exact", *reduced)}
    shares["int8"] = right(qdq, "exact")
    check_share(bars, "cifar", f"ResNet-20, {len(images)} images", shares)


def check_ncf(bars, folder, reduced):
    if not os.path.isdir(NCF):
        print(f"NCF is left out: {NCF} is not there")
        return
    users, items = [], []
    for line in open(f"{NCF}/ml-1m.test.negative"):
        pair, *negatives = line.split()
        user, item = (int(x) for x in pair.strip("()").split(","))
        items.append([item, *(int(n) for n in negatives)])
        users.append(user)
    items = np.array(items, np.int64)
    users = np.repeat(np.array(users, np.int64), items.shape[1])
    path = model_file("ncf_mlp_ml1m")
    user, item = inputs_of(path)
    seeded = np.random.default_rng(7)
    pairs = [{user: seeded.integers(0, 6040, 2000), item: seeded.integers(0, 3706, 2000)}]
    qdq = quantized(path, pairs, f"{folder}/ncf.onnx")

    def hits(model, precision):
        flat = items.reshape(-1)
        step = len(flat) // 4
        scores = np.concatenate([run(model, {user: users[i:i + step], item: flat[i:i + step]}, precision).reshape(-1)
                                 for i in range(0, len(flat), step)]).reshape(items.shape)
        # The held-out item is first; among equals it counts as last.
        better = (scores[:, 1:] >= scores[:, :1]).sum(1)
        return 100.0 * float((better < 10).mean())

    shares = {p: hits(path, p) for p in ("exact", *reduced)}
    shares["int8"] = hits(qdq, "exact")
    shares["own-int8"] = hits(path, "int8")  # of the model of fp32: weights per column, activations in the call
    check_share(bars, "ncf", f"NCF HR@10, {len(items)} users", shares)


def show_speed(bars):
    """int8 of models of fp32 against fp32 on one core: medians of turns, forwards and backwards."""
    models = {m.name: m for m in cells.catalogue().values()} if os.path.exists(os.path.join(cells.ZOO, "zoo.tsv")) else {}
    os.makedirs(cells.RESULTS, exist_ok=True)
    sides = {p: lambda *given, p=p: [*cells.ours(*given, "f32"), "--precision", p] for p in ("exact", "int8")}
    for name, batch in (("gpt2_decode", 1), ("gpt2_decode", 8), ("bert_base_128", 1)):
        if name not in models:
            print(f"speed of {name} is left out: `make zoo` exports it")
            continue
        times = cells.measure(models[name], batch, 1, sides, 9, sorted(os.sched_getaffinity(0))[:1])["times_ms"]
        exact, int8 = (float(np.median(times[side])) for side in ("exact", "int8"))
        print(f"speed {name} batch {batch}: exact {exact:.2f} ms, int8 {int8:.2f} ms, ratio {int8 / exact:.3f}")
        bars.data.setdefault("speed", {})[f"{name}-b{batch}"] = {"exact_ms": exact, "int8_ms": int8}


def main():
    bars = Bars("precision")
    print_machine(bars.data["machine"])
    reduced = precisions()
    with tempfile.TemporaryDirectory() as folder, Prepared(["mobilenet_v2", "resnet20_cifar10"]) as prepared:
        check_photos(bars, prepared, folder, reduced)
        check_ncf(bars, folder, reduced)
        check_cifar(bars, prepared, folder, reduced)
    show_speed(bars)
    return bars.finish()


if __name__ == "__main__":
    sys.exit(main())
