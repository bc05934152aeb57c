#!/usr/bin/env python3
"""Models that the native engine cannot run, served by OpenVINO: every other format, and an op that is not ONNX's own. Skipped where
OpenVINO is not installed; without it they are refused by name, which is tested everywhere."""
import glob
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

import foreign_files
import numpy as np
import onnx
from onnx import TensorProto, helper
from support import MOTET, Server

try:
    import openvino
except ImportError:
    openvino = None
if os.environ.get("MOTET_OPENVINO_DIR") == "none":  # make asan
    openvino = None


def write_config(folder, text):
    os.makedirs(os.path.join(folder, "1"))
    with open(os.path.join(folder, "config.pbtxt"), "w") as config:
        config.write(text)


def bias_gelu(path):
    """y = gelu(x + b), by an op that ONNX Runtime's exporter writes."""
    bias = np.linspace(-1, 1, 8, dtype=np.float32)
    node = helper.make_node("BiasGelu", ["x", "b"], ["y"], domain="com.microsoft")
    graph = helper.make_graph(
        [node], "bias_gelu", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8])], [onnx.numpy_helper.from_array(bias, "b")])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]), path)
    return lambda x: np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))(x + bias)


def relu(path):
    """y = max(x, 0), which native runs too."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "relu", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)


def doubled(path):
    """y = 2 x, as OpenVINO's own format."""
    from openvino import opset13 as ops
    x = ops.parameter([-1, 4], np.float32, name="x")
    y = ops.multiply(x, ops.constant(np.float32(2)))
    y.output(0).set_names({"y"})
    x.output(0).set_names({"x"})
    openvino.save_model(openvino.Model([y], [x], "doubled"), path, compress_to_fp16=False)


def ask(server, path, body=None):
    request = urllib.request.Request(f"http://{server.http}/{path}", json.dumps(body).encode() if body is not None else None)
    return json.load(urllib.request.urlopen(request, timeout=60))


def infer(server, model, x, name="x"):
    body = {"inputs": [{"name": name, "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}]}
    answer = ask(server, f"v2/models/{model}/infer", body)["outputs"][0]
    return np.array(answer["data"], np.float32).reshape(answer["shape"])


class Foreign(unittest.TestCase):
    @unittest.skipIf(openvino is None, "OpenVINO is not installed in the tests' Python")
    def test_serves_what_native_cannot_run(self):
        with tempfile.TemporaryDirectory() as repository:
            write_config(os.path.join(repository, "gelu"), "max_batch_size: 4 dynamic_batching {}")
            gelu = bias_gelu(os.path.join(repository, "gelu", "1", "model.onnx"))
            write_config(os.path.join(repository, "doubled"), 'default_model_filename: "model.xml"')
            doubled(os.path.join(repository, "doubled", "1", "model.xml"))
            for name, executor in (("forced", "openvino"), ("native", "auto")):
                write_config(os.path.join(repository, name),
                             f'parameters {{ key: "executor" value {{ string_value: "{executor}" }} }}')
                relu(os.path.join(repository, name, "1", "model.onnx"))
            flags = [f"--openvino-dir={os.path.dirname(openvino.__file__)}"]
            with Server([repository], *flags) as server:
                x = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)
                for _ in range(5):
                    np.testing.assert_allclose(infer(server, "gelu", x), gelu(x), atol=1e-5)
                x = np.arange(8, dtype=np.float32).reshape(2, 4)
                np.testing.assert_array_equal(infer(server, "doubled", x), 2 * x)
                version = openvino.__version__.split("-")[0]
                for model, executor in (("forced", f"openvino {version}"), ("native", "native")):
                    np.testing.assert_array_equal(infer(server, model, x - 3), np.maximum(x - 3, 0))
                    metadata = ask(server, f"v2/models/{model}")
                    self.assertEqual(metadata["parameters"]["executor"], executor)
                    self.assertGreaterEqual(metadata["parameters"]["longest_step_us"], 0)
                    self.assertIn(f'motet_model_executor{{executor="{executor}",model="{model}",version="1"}} 1', server.metrics_text())
                metadata = ask(server, "v2/models/doubled")
                self.assertEqual(metadata["platform"], "openvino")
                self.assertEqual(metadata["outputs"], [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}])
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    infer(server, "doubled", np.zeros((2, 5), np.float32))
                self.assertEqual(refused.exception.code, 400)
                children = self.children(server.process.pid)
            for child in children:
                self.assertFalse(os.path.exists(f"/proc/{child}/exe"), "a child outlived its server")

    # Format: file without a config that names it, Triton's platform, input, output, how to write it.
    FORMATS = {
        "ir": ("model.xml", "openvino", "x", "y", foreign_files.openvino_ir),
        "saved": ("model.savedmodel", "tensorflow_savedmodel", "features", "scores", foreign_files.saved_model),
        "frozen": ("model.graphdef", "tensorflow_graphdef", "x:0", "y:0", foreign_files.frozen_graph),
        "lite": ("model.tflite", "openvino", "x", "y", foreign_files.tflite),
        "paddle": ("model.pdmodel", "openvino", "x", "y", foreign_files.paddle),
    }

    @unittest.skipIf(openvino is None, "OpenVINO is not installed in the tests' Python")
    def test_every_format_answers_as_openvino_does(self):
        x = np.random.default_rng(2).normal(size=(4, 4)).astype(np.float32)
        with tempfile.TemporaryDirectory() as repository:
            answers = {}
            for model, (file, _, _, _, write) in self.FORMATS.items():
                path = os.path.join(repository, model, "1", file)
                os.makedirs(os.path.dirname(path))
                write(path)
                compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
                answers[model] = compiled(x)[0]
                np.testing.assert_allclose(answers[model], foreign_files.expected(x), atol=1e-6)
            with Server([repository], f"--openvino-dir={os.path.dirname(openvino.__file__)}") as server:
                for model, (file, platform, name, output, _) in self.FORMATS.items():
                    with self.subTest(model):
                        metadata = ask(server, f"v2/models/{model}")
                        self.assertEqual(metadata["platform"], platform)
                        self.assertTrue(metadata["parameters"]["executor"].startswith("openvino"))
                        self.assertEqual([port["name"] for port in metadata["outputs"]], [output])
                        config = ask(server, f"v2/models/{model}/config")
                        self.assertEqual((config["default_model_filename"], config["max_batch_size"]), (file, 4))
                        for rows in (4, 1, 3):
                            np.testing.assert_allclose(infer(server, model, x[:rows], name), answers[model][:rows], atol=1e-6)

    @staticmethod
    def children(parent):
        found = []
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path) as stat:
                    if int(re.search(r"\) \S (\d+)", stat.read()).group(1)) == parent:
                        found.append(int(path.split("/")[2]))
            except OSError:
                continue
        return found

    def test_without_an_executor_the_op_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            bias_gelu(path)
            run = subprocess.run([MOTET, "inspect", path, "--no-times", f"--openvino-dir={folder}"], capture_output=True, text=True,
                                 timeout=60)
            self.assertEqual(run.returncode, 1)
            for part in ["BiasGelu", "com.microsoft", folder]:
                self.assertIn(part, run.stderr)
            run = subprocess.run([MOTET, "inspect", path, "--no-times", "--executor=native"], capture_output=True, text=True, timeout=60)
            self.assertEqual(run.returncode, 1)
            self.assertNotIn("openvino", run.stderr)

    def test_the_hidden_command_explains_itself(self):
        run = subprocess.run([MOTET, "foreign-worker"], capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 2)
        self.assertIn("started by a server", run.stderr)


if __name__ == "__main__":
    sys.exit(unittest.main())
