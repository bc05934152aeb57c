#!/usr/bin/env python3
"""make_batch_symbolic.py IN.onnx OUT.onnx [--name N]: gives a model whose batch is fixed at 1 a symbolic batch.

The outermost extent of every graph input and output becomes the symbol N, every Reshape whose constant target begins
with 1 gets 0 there (ONNX: "copy this extent from the input"); stale intermediate shapes are dropped. Weights are
"""
import argparse
import sys

import numpy as np
import onnx
from onnx import numpy_helper


def reshape_targets(graph):
    """(initializer or Constant tensor, setter) of every constant Reshape target, once each."""
    wanted = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for tensor in graph.initializer:
        if tensor.name in wanted:
            yield tensor
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in wanted:
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield attribute.t


def make_symbolic(model, symbol):
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    for value in list(graph.input) + list(graph.output):
        if value.name in constants:
            continue
        dims = value.type.tensor_type.shape.dim
        if not dims or (dims[0].HasField("dim_value") and dims[0].dim_value != 1):
            raise SystemExit(f"{value.name}: its outermost extent is {dims[0].dim_value if dims else 'absent'}, not 1")
        dims[0].Clear()
        dims[0].dim_param = symbol
    changed = 0
    for tensor in reshape_targets(graph):
        target = numpy_helper.to_array(tensor).copy()
        if target.size and target[0] == 1:
            target[0] = 0
            tensor.CopyFrom(numpy_helper.from_array(target.astype(np.int64), tensor.name))
            changed += 1
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return changed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--name", default="N", help="the symbol (default N)")
    arguments = parser.parse_args()
    model = onnx.load(arguments.source)
    changed = make_symbolic(model, arguments.name)
    onnx.save(model, arguments.target)
    print(f"{arguments.target}: batch is now '{arguments.name}', {changed} Reshape targets changed", file=sys.stderr)


if __name__ == "__main__":
    main()
