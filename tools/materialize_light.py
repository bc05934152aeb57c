#!/usr/bin/env python3
"""materialize_light.py LIGHT.onnx OUT.onnx: gives a 'light' model of the ONNX project real weights by a formula.

The light models (onnx/onnx, onnx/backend/test/data/light) are real graphs whose weights are ConstantOfShape nodes. Each becomes
an initializer, deterministic on every machine. With k the node's index among the ConstantOfShape nodes and i the element's
index in row-major order:

    z = splitmix64(k * 2**32 + i),  u = (z >> 40) / 2**24, uniform in [0, 1)

and by what first reads it, looking through Unsqueeze, Reshape and Identity:

    Conv, Gemm weights                   (2u - 1) * sqrt(6 / fan_in)
    BatchNormalization scale, variance   0.8 + 0.4 u;  Mul likewise
    everything else                      0.2 u - 0.1

in float64, then rounded to float32.
"""
import sys

import numpy as np
import onnx
from onnx import numpy_helper

LOOK_THROUGH = ("Unsqueeze", "Reshape", "Identity")


def splitmix64(x):
    with np.errstate(over="ignore"):
        z = x + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(k, count):
    start = np.uint64(k * 2**32)
    return (splitmix64(start + np.arange(count, dtype=np.uint64)) >> np.uint64(40)).astype(np.float64) / 2.0**24


def first_reader(name, readers):
    node, position = readers[name][0]
    while node.op_type in LOOK_THROUGH:
        node, position = readers[node.output[0]][0]
    return node, position


def fan_in(node, shape):
    by_rows = node.op_type == "Conv" or any(a.name == "transB" and a.i for a in node.attribute)
    return int(np.prod(shape[1:])) if by_rows else shape[0]


def weights(k, shape, node, position):
    u = uniform(k, int(np.prod(shape)))
    if node.op_type in ("Conv", "Gemm") and position == 1:
        w = (2 * u - 1) * np.sqrt(6.0 / fan_in(node, shape))
    elif (node.op_type == "BatchNormalization" and position in (1, 4)) or node.op_type == "Mul":
        w = 0.8 + 0.4 * u
    else:
        w = 0.2 * u - 0.1
    return w.astype(np.float32).reshape(shape)


def materialize(model):
    graph = model.graph
    known = {tensor.name: tensor for tensor in graph.initializer}
    readers = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, position))
    kept, made = [], []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = [int(extent) for extent in numpy_helper.to_array(known[node.input[0]])]
        reader, position = first_reader(node.output[0], readers)
        made.append(numpy_helper.from_array(weights(len(made), shape, reader, position), node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in used] + made
    del graph.initializer[:]
    graph.initializer.extend(constants)
    names = {tensor.name for tensor in constants}
    inputs = [value for value in graph.input if value.name in used and value.name not in names]
    # IR version 3: an initializer is also an input.
    inputs += [onnx.helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in constants]
    del graph.input[:]
    graph.input.extend(inputs)
    return model


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    onnx.save(materialize(onnx.load(sys.argv[1])), sys.argv[2])


if __name__ == "__main__":
    main()
