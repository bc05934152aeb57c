#!/usr/bin/env python3
"""Bad input: each gets its own clear error naming the value, with the right status on both protocols, and the server serves on."""
import http.client
import json
import os
import socket
import sys
import tempfile
import unittest

import grpc
import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from support import MODELS, WIRE_REPOSITORY, Server, ServedTest
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

GOOD = {"inputs": [{"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": list(range(16))},
                   {"name": "INPUT1", "shape": [1, 16], "datatype": "INT32", "data": [1] * 16}]}


class BadRequests(ServedTest):
    FLAGS = ["--model-control-mode=explicit", "--load-model=*", "--http-max-input-size=1000000"]

    def post(self, path, body, headers=None):
        connection = http.client.HTTPConnection(self.server.http, timeout=20)
        connection.request("POST", path, body if isinstance(body, (bytes, str)) else json.dumps(body), headers or {})
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        return reply.status, json.loads(text)["error"] if reply.status >= 400 else json.loads(text)

    def refused(self, change, *words, status=400):
        body = json.loads(json.dumps(GOOD))
        change(body)
        code, error = self.post("/v2/models/simple/infer", body)
        self.assertEqual(code, status, error)
        for word in words:
            self.assertIn(word, error)
        self.assertEqual(self.post("/v2/models/simple/infer", GOOD)[0], 200)

    def test_names_shapes_types(self):
        self.refused(lambda b: b["inputs"][0].update(name="INPUT7"), "INPUT7")
        self.refused(lambda b: b["inputs"][0].update(shape=[1, 15]), "INPUT0")
        self.refused(lambda b: b["inputs"][0].update(datatype="FP32"), "INPUT0")
        self.refused(lambda b: b["inputs"][0].update(datatype="INT33"), "INPUT0")
        self.refused(lambda b: b["inputs"].pop(), "INPUT1")
        self.refused(lambda b: b.update(outputs=[{"name": "OUTPUT9"}]), "OUTPUT9")
        self.refused(lambda b: b["inputs"][0].update(shape=[1 << 40, 1 << 40]))

    def test_batch_over_the_limit(self):
        def change(b):
            for tensor in b["inputs"]:
                tensor.update(shape=[9, 16], data=[0] * 144)
        self.refused(change, "8", "simple")

    def test_not_json(self):
        for body in ("", "{", "[]", "null", "{\"inputs\": 3}", "[" * 100000, "\xff\xfe"):
            code, error = self.post("/v2/models/simple/infer", body.encode("latin-1"))
            self.assertTrue(400 <= code < 500, (code, error))

    def test_header_length(self):
        for value in ("99999", "-1", "x"):
            code, error = self.post("/v2/models/simple/infer", json.dumps(GOOD), {"Inference-Header-Content-Length": value})
            self.assertEqual(code, 400)
            self.assertIn(value, error)

    def test_body_over_the_limit(self):
        code, error = self.post("/v2/models/simple/infer", b"x" * 1000001)
        self.assertEqual(code, 413)
        self.assertIn("1000000", error)

    def test_unknown(self):
        self.assertEqual(self.post("/v2/models/nobody/infer", GOOD)[0], 404)
        self.assertEqual(self.post("/v2/models/simple/versions/7/infer", GOOD)[0], 404)
        self.assertEqual(self.post("/v2/nothing", GOOD)[0], 404)

    def test_half_a_request(self):
        with socket.create_connection(self.server.http.split(":"), timeout=5) as half:
            half.sendall(b"POST /v2/models/simple/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"in")
        with socket.create_connection(self.server.http.split(":"), timeout=5) as junk:
            junk.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
            junk.recv(1000)
        self.assertEqual(self.post("/v2/models/simple/infer", GOOD)[0], 200)

    def test_grpc_statuses(self):
        client = grpcclient.InferenceServerClient(self.server.grpc)
        self.addCleanup(client.close)

        def inputs(shape=(1, 16), kind="INT32", name="INPUT1"):
            made = []
            for n in ("INPUT0", name):
                tensor = grpcclient.InferInput(n, list(shape), kind)
                tensor.set_data_from_numpy(np.zeros(shape, dtype=np.int32 if kind == "INT32" else np.float32))
                made.append(tensor)
            return made

        def status(*arguments, **keywords):
            with self.assertRaises(InferenceServerException) as caught:
                client.infer(*arguments, **keywords)
            return caught.exception.status(), caught.exception.message()
        for call, word in ((inputs(name="INPUT7"), "INPUT7"), (inputs(shape=(1, 15)), "INPUT0"), (inputs(kind="FP32"), "INPUT0")):
            code, message = status("simple", call)
            self.assertEqual(code, "StatusCode.INVALID_ARGUMENT", message)
            self.assertIn(word, message)
        self.assertEqual(status("nobody", inputs())[0], "StatusCode.NOT_FOUND")
        client.infer("simple", inputs())

    def test_grpc_raw_bytes_lie(self):
        channel = grpc.insecure_channel(self.server.grpc)
        self.addCleanup(channel.close)
        from tritonclient.grpc import service_pb2_grpc
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.ModelInferRequest(model_name="simple")
        for name in ("INPUT0", "INPUT1"):
            tensor = request.inputs.add()
            tensor.name, tensor.datatype = name, "INT32"
            tensor.shape.extend([1, 16])
            request.raw_input_contents.append(b"\x00" * 63)
        with self.assertRaises(grpc.RpcError) as caught:
            stub.ModelInfer(request, timeout=20)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("63", caught.exception.details())


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


class BadModels(unittest.TestCase):
    """Model files that are truncated, corrupt, hostile or use what nothing implements; the others are served."""

    def test_each_fails_with_its_reason(self):
        import onnx
        from onnx import TensorProto, helper
        with open(os.path.join(MODELS, "mnist_8", "1", "model.onnx"), "rb") as file:
            good = file.read()
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])

        def model(graph):
            return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()

        def one_op(op, domain="", **attributes):
            graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], domain=domain, **attributes)], "g", [x], [y])
            return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)], ir_version=8).SerializeToString()
        weights = helper.make_tensor("w", TensorProto.FLOAT, [4], b"\x00" * 16, raw=True)
        del weights.dims[:]
        weights.dims.extend([1 << 20, 1 << 20])
        huge = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weights])
        outside = helper.make_tensor("w", TensorProto.FLOAT, [4], b"\x00" * 16, raw=True)
        outside.ClearField("raw_data")
        outside.data_location = TensorProto.EXTERNAL
        outside.external_data.add(key="location", value="../../../../etc/passwd")
        leaves = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [outside])
        bad = {
            "truncated": (good[: len(good) // 2], ""),
            "empty": (b"", ""),
            "noise": (bytes(range(256)) * 40, ""),
            "flipped": (good[:40] + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + good[50:], ""),
            "unsupported_op": (one_op("Teleport", "acme"), "Teleport"),
            "huge_weights": (model(huge), "w"),
            "escaping": (model(leaves), "passwd"),
        }
        with tempfile.TemporaryDirectory() as repository:
            for name, (data, _) in bad.items():
                os.makedirs(f"{repository}/{name}/1")
                write(f"{repository}/{name}/1/model.onnx", data)
            os.makedirs(f"{repository}/config_typo/1")
            write(f"{repository}/config_typo/config.pbtxt", b"max_batch_size: 4\nmax_butch_size: 5\n")
            write(f"{repository}/config_typo/1/model.onnx", good)
            with Server([repository, WIRE_REPOSITORY], "--model-control-mode=explicit", "--load-model=simple") as server:
                client = httpclient.InferenceServerClient(server.http)
                for name, (_, word) in list(bad.items()) + [("config_typo", (b"", "max_butch_size"))]:
                    with self.assertRaises(InferenceServerException, msg=name) as caught:
                        client.load_model(name)
                    self.assertIn(name, str(caught.exception))
                    self.assertIn(word, str(caught.exception))
                index = {m["name"]: m for m in client.get_model_repository_index()}
                self.assertEqual(index["noise"]["state"], "UNAVAILABLE")
                self.assertTrue(index["noise"]["reason"])
                self.assertEqual(index["simple"]["state"], "READY")
                client.close()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
