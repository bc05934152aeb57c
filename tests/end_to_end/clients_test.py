#!/usr/bin/env python3
"""Clients that nobody here wrote: PyPI tritonclient over http, grpc and both aio variants."""
import asyncio
import sys
import threading
import unittest

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.grpc.aio as grpcaio
import tritonclient.http as httpclient
import tritonclient.http.aio as httpaio
from support import ServedTest
from tritonclient.utils import InferenceServerException

A = np.arange(16, dtype=np.int32).reshape(1, 16)
B = np.ones((1, 16), dtype=np.int32)


def simple_inputs(module, a=A, b=B, **keywords):
    inputs = [module.InferInput("INPUT0", a.shape, "INT32"), module.InferInput("INPUT1", b.shape, "INT32")]
    inputs[0].set_data_from_numpy(a, **keywords)
    inputs[1].set_data_from_numpy(b, **keywords)
    return inputs


class Common:
    """What both synchronous clients can do. `client` and `module` come from the subclass."""

    def test_health_and_metadata(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready("simple"))
        self.assertFalse(self.client.is_model_ready("none"))
        self.assertEqual(self.metadata(self.client.get_server_metadata())["name"], "motet")
        model = self.metadata(self.client.get_model_metadata("simple"))
        self.assertEqual(model["versions"], ["1"])
        self.assertEqual([i["name"] for i in model["inputs"]], ["INPUT0", "INPUT1"])
        self.assertEqual([int(d) for d in model["inputs"][0]["shape"]], [-1, 16])
        config = self.metadata(self.client.get_model_config("simple"))
        config = config.get("config", config)
        self.assertEqual(config["max_batch_size"], 8)

    def test_infer(self):
        result = self.client.infer("simple", simple_inputs(self.module), request_id="q-7")
        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
        np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)
        response = self.metadata(result.get_response())
        self.assertEqual(response["id"], "q-7")
        self.assertEqual(response["model_version"], "1")

    def test_batches_and_requested_output(self):
        a = np.arange(5 * 16, dtype=np.int32).reshape(5, 16)
        result = self.client.infer("simple", simple_inputs(self.module, a, a), outputs=[self.module.InferRequestedOutput("OUTPUT0")],
                                   priority=1, timeout=10_000_000)
        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), a + a)
        self.assertIsNone(result.as_numpy("OUTPUT1"))

    def test_classification(self):
        x = self.module.InferInput("x", [1, 4], "FP32")
        x.set_data_from_numpy(np.array([[1, 4, 2, 3]], dtype=np.float32))
        result = self.client.infer("relu", [x], outputs=[self.module.InferRequestedOutput("y", class_count=2)])
        self.assertEqual([v.decode() for v in result.as_numpy("y")[0]], ["4.000000:1:one", "3.000000:3:three"])

    def test_bytes(self):
        words = np.array([["hello", "wörld ☃", ""]], dtype=object)
        s = self.module.InferInput("s", words.shape, "BYTES")
        s.set_data_from_numpy(words)
        result = self.client.infer("text", [s]).as_numpy("t")
        self.assertEqual([v.decode() for v in result[0]], ["hello", "wörld ☃", ""])

    def test_every_type(self):
        values = {"u8": np.uint8, "i8": np.int8, "i64": np.int64, "f64": np.float64, "f16": np.float16, "bool": np.bool_}
        wire = {"u8": "UINT8", "i8": "INT8", "i64": "INT64", "f64": "FP64", "f16": "FP16", "bool": "BOOL"}
        inputs = []
        for name, kind in values.items():
            tensor = self.module.InferInput("i_" + name, [1, 2], wire[name])
            tensor.set_data_from_numpy(np.array([[1, 0]], dtype=kind))
            inputs.append(tensor)
        result = self.client.infer("types", inputs)
        for name, kind in values.items():
            got = result.as_numpy("o_" + name)
            self.assertEqual(got.dtype, kind)
            np.testing.assert_array_equal(got, np.array([[1, 0]], dtype=kind))

    def test_statistics_and_repository(self):
        self.client.infer("simple", simple_inputs(self.module))
        stats = self.metadata(self.client.get_inference_statistics("simple"))["model_stats"][0]
        self.assertGreaterEqual(int(stats["inference_count"]), 1)
        self.assertGreaterEqual(int(stats["inference_stats"]["success"]["count"]), 1)
        index = self.metadata(self.client.get_model_repository_index())
        index = index if isinstance(index, list) else index["models"]
        self.assertEqual({m["name"]: m["state"] for m in index}["text"], "READY")
        self.client.unload_model("fixed")
        self.assertFalse(self.client.is_model_ready("fixed"))
        self.client.load_model("fixed")
        self.assertTrue(self.client.is_model_ready("fixed"))

    def test_async(self):
        done = threading.Event()
        seen = []
        self.start_async(lambda result, error: (seen.append((result, error)), done.set()))
        self.assertTrue(done.wait(20))
        result, error = seen[0]
        self.assertIsNone(error)
        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)

    def test_refusals(self):
        with self.assertRaisesRegex(InferenceServerException, "none"):
            self.client.infer("none", simple_inputs(self.module))
        with self.assertRaisesRegex(InferenceServerException, "INPUT1"):
            self.client.infer("simple", simple_inputs(self.module)[:1])
        with self.assertRaisesRegex(InferenceServerException, "OUTPUT9"):
            self.client.infer("simple", simple_inputs(self.module), outputs=[self.module.InferRequestedOutput("OUTPUT9")])
        with self.assertRaisesRegex(InferenceServerException, "none"):
            self.client.load_model("none")


class HttpClient(Common, ServedTest):
    module = httpclient

    def setUp(self):
        self.client = httpclient.InferenceServerClient(self.server.http, concurrency=4)
        self.addCleanup(self.client.close)

    def metadata(self, value):
        return value

    def start_async(self, done):
        pending = self.client.async_infer("simple", simple_inputs(httpclient))
        done(pending.get_result(), None)  # its event loop belongs to this thread

    def test_json_tensors(self):
        result = self.client.infer("simple", simple_inputs(httpclient, binary_data=False),
                                   outputs=[httpclient.InferRequestedOutput("OUTPUT0", binary_data=False)])
        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)

    def test_compression(self):
        for algorithm in ("gzip", "deflate"):
            result = self.client.infer("simple", simple_inputs(httpclient), request_compression_algorithm=algorithm,
                                       response_compression_algorithm=algorithm)
            np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)


class GrpcClient(Common, ServedTest):
    module = grpcclient

    def setUp(self):
        self.client = grpcclient.InferenceServerClient(self.server.grpc)
        self.addCleanup(self.client.close)

    def metadata(self, value):
        from google.protobuf import json_format
        return json_format.MessageToDict(value, preserving_proto_field_name=True)

    def start_async(self, done):
        self.client.async_infer("simple", simple_inputs(grpcclient), lambda result, error: done(result, error))


class Aio(ServedTest):
    def test_http(self):
        async def run():
            client = httpaio.InferenceServerClient(self.server.http)
            try:
                self.assertTrue(await client.is_server_ready())
                results = await asyncio.gather(*[client.infer("simple", simple_inputs(httpclient)) for _ in range(20)])
                for result in results:
                    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
                with self.assertRaises(InferenceServerException):
                    await client.infer("none", simple_inputs(httpclient))
            finally:
                await client.close()
        asyncio.run(run())

    def test_grpc(self):
        async def run():
            client = grpcaio.InferenceServerClient(self.server.grpc)
            try:
                self.assertTrue(await client.is_server_ready())
                results = await asyncio.gather(*[client.infer("simple", simple_inputs(grpcclient)) for _ in range(20)])
                for result in results:
                    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)
                with self.assertRaises(InferenceServerException):
                    await client.infer("none", simple_inputs(grpcclient))
            finally:
                await client.close()
        asyncio.run(run())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
