#!/usr/bin/env python3
"""A peer behind bench/common/turns.py's lines: `peers.py ENGINE MODEL INPUTS THREADS`. Engines: onnxruntime as its defaults
are; openvino-f32, openvino-bf16 and openvino-int8 for latency, compiled for the inputs' own extents.
"""
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "common"))
from turns import serve  # noqa: E402


def onnxruntime_query(path, feed, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


def openvino_query(path, feed, threads, precision):
    import openvino as ov

    core = ov.Core()
    model = core.read_model(path)
    model.reshape({name: list(x.shape) for name, x in feed.items()})
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": precision})
    request = compiled.create_infer_request()
    # What the query's tensors cost to hand over is part of a query, as with the others.
    tensors = {name: ov.Tensor(x, shared_memory=True) for name, x in feed.items()}
    return lambda: request.infer(tensors, share_outputs=True)


def main():
    engine, path, inputs, threads = sys.argv[1:]
    feed = dict(np.load(inputs))
    if engine == "onnxruntime":
        query = onnxruntime_query(path, feed, int(threads))
    else:
        query = openvino_query(path, feed, int(threads), {"openvino-f32": "f32", "openvino-bf16": "bf16", "openvino-int8": "f32"}[engine])
    for _ in range(2):
        query()
    serve(query)


if __name__ == "__main__":
    main()
