#!/usr/bin/env python3
"""Exports the zoo's architectures to ONNX: torchvision's, transformers' and our own, seeded weights, no download.

  export.py build/zoo                full width: NAME.onnx, and zoo.tsv, which tells the models' inputs
  export.py --toy tests/zoo          toy width, with ONNX Runtime's answers in NAME.npz: what the repository holds
  export.py build/zoo --only resnet  those whose name holds this
"""
import argparse
import inspect
import os
import re
import sys
import warnings

import numpy as np
import onnx_ir
import onnxruntime
import torch

import catalogue
import spec
import tune

OPSET = 18
WEIGHT_SEED = 7
ANSWER_SEED = 21
BATCHES = (1, 3, 8)
ANSWER_VALUES = 1024  # kept of each output of a toy: all, or these spread over it
TOY_BYTES, TOY_BYTES_ALL = 400_000, 6_000_000


def made(entry, toy):
    """The tuned module and its inputs."""
    torch.manual_seed(WEIGHT_SEED)
    module, inputs = entry.build(toy)
    module.eval()
    tune.calibrate(entry, module, inputs)
    span, apart = tune.check(entry.name, entry.output_names(toy), module, inputs)
    print(f"{entry.name:<16} range {span:.3g}, two inputs {apart:.2f} of it apart", flush=True)
    return module, inputs


def export(entry, module, inputs, toy, path):
    """Batch, and length where it is open, stay symbolic; the example's extents are none of 0 and 1, which torch takes literally."""
    example = tune.feed(inputs, 1, 2, 5)
    shapes = [{axis: torch.export.Dim.DYNAMIC for axis, d in enumerate(i.dims) if d in (spec.BATCH, spec.LENGTH)} for i in inputs]
    program = torch.onnx.export(module, tuple(example), dynamo=True, opset_version=OPSET, input_names=[i.name for i in inputs],
                                output_names=entry.output_names(toy), dynamic_shapes=nest(module, shapes), verbose=False)
    rename_dims(program.model, inputs)
    strip(program.model)
    program.save(path, external_data=False)


def nest(module, shapes):
    """torch wants the shapes of `*rest` as one tuple."""
    code = module.forward.__func__.__code__
    named = code.co_argcount - 1
    if not code.co_flags & inspect.CO_VARARGS or len(shapes) == named:
        return tuple(shapes)
    return (*shapes[:named], tuple(shapes[named:]))


def rename_dims(model, inputs):
    """torch calls symbolic extents s77 and the like, also inside expressions, one name for each input."""
    words = {}
    for value, given in zip(model.graph.inputs, inputs, strict=True):
        words |= {value.shape[axis].value: d for axis, d in enumerate(given.dims) if isinstance(d, str)}
    for value in [*model.graph.inputs, *(v for node in model.graph for v in node.outputs)]:
        for axis, d in enumerate(value.shape or ()):
            if isinstance(d, onnx_ir.SymbolicDim) and d.value:
                value.shape[axis] = re.sub(r"\w+", lambda m: words.get(m.group(), m.group()), d.value)


def strip(model):
    """Python's stack traces, which are most of a toy's bytes, go."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


def answers(entry, inputs, path):
    """ONNX Runtime's outputs by `b3/NAME` or `b3_l17/NAME`."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    kept = {}
    for batch in BATCHES:
        for length in entry.lengths or (None,):
            case = f"b{batch}" + (f"_l{length}" if length else "")
            outputs = session.run(None, spec.feed(inputs, ANSWER_SEED, batch, length))
            for given, output in zip(session.get_outputs(), outputs):
                kept[f"{case}/{given.name}"] = spread(output.ravel())
    return kept


def spread(flat):
    stride = -(-flat.size // ANSWER_VALUES)
    return flat[::stride]


def describe(entry, inputs):
    """Rows of zoo.tsv: the model, its family and lengths, one of its inputs."""
    lengths = ",".join(map(str, entry.lengths)) or "-"
    for i in inputs:
        yield "\t".join([entry.name, entry.family, lengths, i.name, i.dtype, ",".join(map(str, i.dims)), i.kind, f"{i.low:.9g}", f"{i.high:.9g}"])


def write_catalogue(folder, rows):
    """Keeps the rows of models that this run did not make."""
    path = os.path.join(folder, "zoo.tsv")
    header = "model\tfamily\tlengths\tinput\tdtype\tdims\tkind\tlow\thigh"
    fresh = {row.split("\t")[0] for row in rows}
    if os.path.exists(path):
        with open(path) as f:
            rows = [r for r in f.read().splitlines()[1:] if r.split("\t")[0] not in fresh] + rows
    order = {entry.name: place for place, entry in enumerate(catalogue.ENTRIES)}
    rows.sort(key=lambda row: order[row.split("\t")[0]])
    with open(path, "w") as f:
        f.write("\n".join([header, *rows]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--toy", action="store_true", help="toy width, with answers")
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("--missing", action="store_true", help="only those that the folder has not")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    os.makedirs(arguments.folder, exist_ok=True)
    rows, total = [], 0
    for entry in catalogue.ENTRIES:
        path = os.path.join(arguments.folder, entry.name + ".onnx")
        if arguments.only not in entry.name or (arguments.missing and os.path.exists(path)):
            continue
        module, inputs = made(entry, arguments.toy)
        export(entry, module, inputs, arguments.toy, path + ".part")
        os.rename(path + ".part", path)
        if arguments.toy:
            np.savez_compressed(path[:-5] + ".npz", **answers(entry, inputs, path))
            if (size := os.path.getsize(path)) > TOY_BYTES:
                raise SystemExit(f"{path} has {size} bytes; a toy has at most {TOY_BYTES}")
        rows += describe(entry, inputs)
        write_catalogue(arguments.folder, rows)
    if arguments.toy:
        total = sum(os.path.getsize(os.path.join(arguments.folder, f)) for f in os.listdir(arguments.folder) if f.endswith((".onnx", ".npz")))
        if total > TOY_BYTES_ALL:
            raise SystemExit(f"{arguments.folder} has {total} bytes of models and answers; at most {TOY_BYTES_ALL} are wanted")


if __name__ == "__main__":
    sys.exit(main())
