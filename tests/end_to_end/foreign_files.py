"""Tiny models in the formats that OpenVINO reads beside ONNX, written byte by byte, so that no framework is needed. Each is
y = max(x w + b, 0) for f32 rows x of 4 numbers, y of 3. Formats: tensorflow/core/protobuf/{saved_model,tensor_bundle}.proto and
leveldb's table_format.md; tensorflow/lite/schema/schema.fbs; paddle/fluid/framework/framework.proto."""
import os
import struct

import flatbuffers
import numpy as np

WEIGHT = np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)
BIAS = np.array([0.5, -0.25, 0.125], np.float32)
FLOAT = 1  # DT_FLOAT


def expected(x):
    return np.maximum(x @ WEIGHT + BIAS, 0)


# Protocol buffers: fields as (number, value) pairs; lists repeat, dicts are maps from strings.
def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def field(number, value):
    if isinstance(value, list):
        return b"".join(field(number, v) for v in value)
    if isinstance(value, dict):
        return b"".join(field(number, message((1, k), (2, v))) for k, v in value.items())
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(*fields):
    return b"".join(field(number, value) for number, value in fields)


def openvino_ir(path):
    import openvino
    from openvino import opset13 as ops
    x = ops.parameter([-1, 4], np.float32, name="x")
    y = ops.relu(ops.add(ops.matmul(x, ops.constant(WEIGHT), False, False), ops.constant(BIAS)))
    x.output(0).set_names({"x"})
    y.output(0).set_names({"y"})
    openvino.save_model(openvino.Model([y], [x], "dense"), path, compress_to_fp16=False)


# TensorFlow.
def shape_proto(*extents):
    return message((2, [message((1, extent)) for extent in extents]))


def node(name, op, inputs=(), **attributes):
    return message((1, name), (2, op), (3, list(inputs)), (5, attributes))


FLOAT_TYPE = message((6, FLOAT))


def constant(name, array):
    tensor = message((1, FLOAT), (2, shape_proto(*array.shape)), (4, array.tobytes()))
    return [node(name, "Const", dtype=FLOAT_TYPE, value=message((8, tensor)))]


def variable(name, array):
    """Its value lies in a saved model's variables, under the name of the handle."""
    shape = message((7, shape_proto(*array.shape)))
    return [node(name + "_variable", "VarHandleOp", dtype=FLOAT_TYPE, shape=shape, shared_name=message((2, name + "_variable"))),
            node(name, "ReadVariableOp", [name + "_variable"], dtype=FLOAT_TYPE)]


def graph_def(weights):
    nodes = [node("x", "Placeholder", dtype=FLOAT_TYPE, shape=message((7, shape_proto(-1, 4))))]
    nodes += weights("w", WEIGHT) + weights("b", BIAS)
    nodes += [node("product", "MatMul", ["x", "w"], T=FLOAT_TYPE), node("sum", "AddV2", ["product", "b"], T=FLOAT_TYPE),
              node("y", "Relu", ["sum"], T=FLOAT_TYPE)]
    return message((1, nodes), (4, message((1, 1087))))


def frozen_graph(path):
    with open(path, "wb") as file:
        file.write(graph_def(constant))


def table(entries):
    """A leveldb table of one block, its keys in order."""
    def block(pairs):
        body = b"".join(b"\0" + varint(len(k)) + varint(len(v)) + k + v for k, v in pairs)
        return body + struct.pack("<II", 0, 1)
    trailer = b"\0" + b"\0" * 4  # not compressed; no reader of these tests looks at the checksum
    data, meta = block(entries), block([])
    handles = [varint(0) + varint(len(data)), varint(len(data) + 5) + varint(len(meta))]
    index = block([(entries[-1][0], handles[0])])
    handles.append(varint(len(data) + len(meta) + 10) + varint(len(index)))
    footer = (handles[1] + handles[2]).ljust(40, b"\0") + struct.pack("<Q", 0xdb4775248b80fb57)
    return data + trailer + meta + trailer + index + trailer + footer


def saved_model(path, weights=variable):
    os.makedirs(os.path.join(path, "variables"))
    info = lambda name, *extents: message((1, name), (2, FLOAT), (3, shape_proto(*extents)))
    signature = message((1, {"features": info("x:0", -1, 4)}), (2, {"scores": info("y:0", -1, 3)}), (3, "tensorflow/serving/predict"))
    meta_graph = message((1, message((4, "serve"))), (2, graph_def(weights)), (5, {"serving_default": signature}))
    with open(os.path.join(path, "saved_model.pb"), "wb") as file:
        file.write(message((1, 1), (2, meta_graph)))
    if weights is constant:
        return
    entries, data = [(b"", message((1, 1), (3, message((1, 1)))))], b""
    for name, array in (("b_variable", BIAS), ("w_variable", WEIGHT)):
        entry = message((1, FLOAT), (2, shape_proto(*array.shape)), (4, len(data)), (5, array.nbytes))
        entries.append((name.encode(), entry))
        data += array.tobytes()
    with open(os.path.join(path, "variables", "variables.index"), "wb") as file:
        file.write(table(entries))
    with open(os.path.join(path, "variables", "variables.data-00000-of-00001"), "wb") as file:
        file.write(data)


def tflite(path):
    b = flatbuffers.Builder(1024)

    def make_table(*slots):
        """Slots in order: (kind, value, default); None leaves one out."""
        b.StartObject(len(slots))
        for number, slot in enumerate(slots):
            if slot is not None:
                kind, value = slot
                add = {"i8": b.PrependInt8Slot, "i32": b.PrependInt32Slot, "u8": b.PrependUint8Slot, "u32": b.PrependUint32Slot,
                       "ref": b.PrependUOffsetTRelativeSlot}[kind]
                add(number, value, 0)
        return b.EndObject()

    def vector(values):
        b.StartVector(4, len(values), 4)
        for value in reversed(values):
            b.PrependUOffsetTRelative(value)
        return ("ref", b.EndVector())

    ints = lambda *values: ("ref", b.CreateNumpyVector(np.array(values, np.int32)))
    text = lambda value: ("ref", b.CreateString(value))

    def buffer(array):
        return make_table(None if array is None else ("ref", b.CreateNumpyVector(np.frombuffer(array.tobytes(), np.uint8))))

    def tensor(name, index, extents, signature=None):
        declared = ints(*signature) if signature else None
        return make_table(ints(*extents), ("i8", 0), ("u32", index), text(name), None, None, None, declared)

    buffers = vector([buffer(None), buffer(np.ascontiguousarray(WEIGHT.T)), buffer(BIAS)])
    tensors = vector([tensor("x", 0, [1, 4], [-1, 4]), tensor("w", 1, [3, 4]), tensor("b", 2, [3]),
                      tensor("y", 0, [1, 3], [-1, 3])])
    kFullyConnected, kFullyConnectedOptions, kRelu = 9, 8, 1
    options = make_table(("i8", kRelu))
    operator = make_table(None, ints(0, 1, 2), ints(3), ("u8", kFullyConnectedOptions), ("ref", options))
    code = make_table(("i8", kFullyConnected), None, ("i32", 1), ("i32", kFullyConnected))
    graph = make_table(tensors, ints(0), ints(3), vector([operator]), text("main"))
    b.Finish(make_table(("u32", 3), vector([code]), vector([graph]), text("dense"), buffers), file_identifier=b"TFL3")
    with open(path, "wb") as file:
        file.write(b.Output())


def paddle(path):
    """A .pdmodel, and its .pdiparams beside it."""
    kFp32, kTensor, kFeed, kFetch = 5, 7, 9, 10
    desc = lambda extents: message((1, kFp32), (2, list(extents)))
    dense = lambda name, *extents, kept=0: message(
        (1, name), (2, message((1, kTensor), (3, message((1, desc(extents)), (2, 0))))), (3, kept))
    special = lambda name, kind: message((1, name), (2, message((1, kind))), (3, 1))
    slots = lambda ports: [message((1, name), (2, [value])) for name, value in ports.items()]

    def integer(name, value):
        return message((1, name), (2, 0), (3, value))

    def flag(name, value):
        return message((1, name), (2, 6), (10, value))

    def op(kind, inputs, outputs, *attributes):
        return message((1, slots(inputs)), (2, slots(outputs)), (3, kind), (4, list(attributes)))

    variables = [special("feed", kFeed), special("fetch", kFetch), dense("x", -1, 4), dense("b", 3, kept=1), dense("w", 4, 3, kept=1),
                 dense("product", -1, 3), dense("sum", -1, 3), dense("y", -1, 3)]
    ops = [op("feed", {"X": "feed"}, {"Out": "x"}, integer("col", 0)),
           op("matmul_v2", {"X": "x", "Y": "w"}, {"Out": "product"}, flag("trans_x", 0), flag("trans_y", 0)),
           op("elementwise_add", {"X": "product", "Y": "b"}, {"Out": "sum"}, integer("axis", -1)),
           op("relu", {"X": "sum"}, {"Out": "y"}), op("fetch", {"X": "y"}, {"Out": "fetch"}, integer("col", 0))]
    block = message((1, 0), (2, -1 & 0xffffffff), (3, variables), (4, ops))
    with open(path, "wb") as file:
        file.write(message((1, [block]), (4, message((1, 2006002)))))
    with open(os.path.splitext(path)[0] + ".pdiparams", "wb") as file:  # in the order of their names
        for array in (BIAS, WEIGHT):
            described = desc(array.shape)
            file.write(struct.pack("<IQIi", 0, 0, 0, len(described)) + described + array.tobytes())
