#!/usr/bin/env python3
"""Lists the ONNX ops that torch's two exporters name, one a line, for tests/onnx/torch_ops.txt.

    tools/torch_ops.py > tests/onnx/torch_ops.txt     (with a Python that has torch and onnxscript)

Read from the sources of the installed packages: the calls op.NAME(...), op18.NAME(...) of onnxscript's torchlib and of
torch's own additions to it (the dynamo exporter), and g.op("NAME", ...) of the symbolic functions (the TorchScript
exporter). Kept are ops of the standard domain, less losses, random ops and ops on sequences and optionals; If and Loop
are added, for both exporters make them from the model's own control flow.
"""
import importlib.util
import pathlib
import re

import onnx.defs

EXCLUDED = {
    "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss",
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
    "ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert",
    "SequenceLength", "SequenceMap", "SplitToSequence",
    "Optional", "OptionalGetElement", "OptionalHasElement",
}
ADDED = {"If", "Loop"}


def folder(package):
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise SystemExit(f"{package} is not installed in this Python")
    return pathlib.Path(spec.origin).parent


def named(pattern, files):
    return {name for file in files for name in re.findall(pattern, file.read_text())}


def main():
    torchlib = folder("onnxscript") / "function_libs" / "torch_lib"
    onnx_of_torch = folder("torch") / "onnx"
    dynamo = list(torchlib.rglob("*.py")) + list((onnx_of_torch / "_internal" / "exporter").rglob("*.py"))
    symbolic = list((onnx_of_torch / "_internal" / "torchscript_exporter").rglob("*.py"))
    if not dynamo or not symbolic:
        raise SystemExit(f"no exporter sources under {torchlib} and {onnx_of_torch}")
    ops = named(r"\bop\d*\.([A-Z]\w*)\(", dynamo) | named(r"\bg\.op\(\s*\"([A-Z]\w*)\"", symbolic)
    # The symbolic functions hand some names to a helper that makes the node.
    standard = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    ops |= named(r"\"([A-Z]\w*)\"", symbolic)
    for name in sorted((ops & standard | ADDED) - EXCLUDED):
        print(name)


if __name__ == "__main__":
    main()
