"""Many small convolutional networks with seeded weights, as a model repository."""
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Channels of the stem and blocks of two 3x3 convolutions at each of three resolutions.
SHAPES = [(64, 1), (64, 2), (80, 1), (96, 1)]
CLASSES = 100
SIDE = 64

CONFIG = """max_batch_size: 0
input [ {{ name: "image" data_type: TYPE_FP32 dims: [1, 3, {side}, {side}] }} ]
output [ {{ name: "scores" data_type: TYPE_FP32 dims: [1, {classes}] }} ]
"""


def network(seed):
    """A residual network of seeded weights; its shape depends on the seed too."""
    random = np.random.default_rng(seed)
    channels, blocks = SHAPES[seed % len(SHAPES)]
    nodes, weights = [], []

    def convolution(value, name, inner, outer, stride=1, size=3):
        scale = (2.0 / (inner * size * size)) ** 0.5
        weights.append(numpy_helper.from_array(
            (random.standard_normal((outer, inner, size, size)) * scale).astype(np.float32), name + ".w"))
        weights.append(numpy_helper.from_array(np.zeros(outer, np.float32), name + ".b"))
        nodes.append(helper.make_node("Conv", [value, name + ".w", name + ".b"], [name], strides=[stride] * 2,
                                      pads=[size // 2] * 4, kernel_shape=[size] * 2))
        return name

    def relu(value):
        nodes.append(helper.make_node("Relu", [value], [value + ".relu"]))
        return value + ".relu"

    value = relu(convolution("image", "stem", 3, channels, stride=2))
    inner = channels
    for level in range(3):
        for block in range(blocks):
            outer, stride = channels << level, 2 if level > 0 and block == 0 else 1
            name = f"l{level}b{block}"
            skip = value if inner == outer else convolution(value, name + ".skip", inner, outer, stride, 1)
            first = relu(convolution(value, name + ".a", inner, outer, stride))
            second = convolution(first, name + ".c", outer, outer)
            nodes.append(helper.make_node("Add", [second, skip], [name]))
            value, inner = relu(name), outer
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    weights.append(numpy_helper.from_array((random.standard_normal((inner, CLASSES)) * 0.1).astype(np.float32), "head.w"))
    nodes.append(helper.make_node("MatMul", ["flat", "head.w"], ["scores"]))
    graph = helper.make_graph(nodes, f"net{seed}",
                              [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
                              [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def make_repository(folder, count):
    """`count` models below `folder`, made once; their names, in order."""
    names = [f"net{i:03d}" for i in range(count)]
    for seed, name in enumerate(names):
        target = os.path.join(folder, name, "1", "model.onnx")
        if os.path.exists(target):
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        onnx.save(network(seed), target + ".part")
        os.rename(target + ".part", target)
        with open(os.path.join(folder, name, "config.pbtxt"), "w") as config:
            config.write(CONFIG.format(side=SIDE, classes=CLASSES))
    return names
