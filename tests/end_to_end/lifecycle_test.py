#!/usr/bin/env python3
"""Start, drain, deadlines, cancellation, metrics: against the built server."""
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from support import MOTET, WIRE_REPOSITORY, Server, copy_model
from tritonclient.utils import InferenceServerException


def image(module, rows=1):
    tensor = module.InferInput("input", [rows, 3, 224, 224], "FP32")
    tensor.set_data_from_numpy(np.zeros((rows, 3, 224, 224), dtype=np.float32))
    return [tensor]


class Lifecycle(unittest.TestCase):
    def repository(self, *models):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for model in models:
            copy_model(model, folder.name)
        return folder.name

    def test_control_none_loads_all_and_refuses_control(self):
        with Server([WIRE_REPOSITORY]) as server:
            client = httpclient.InferenceServerClient(server.http)
            self.assertTrue(client.is_model_ready("types"))
            with self.assertRaisesRegex(InferenceServerException, "explicit"):
                client.unload_model("types")
            client.close()

    def test_sigterm_answers_what_is_open(self):
        repository = self.repository("super_resolution_10")
        server = Server([repository])
        client = httpclient.InferenceServerClient(server.http, concurrency=8, network_timeout=60)
        tensor = httpclient.InferInput("input", [1, 1, 224, 224], "FP32")
        tensor.set_data_from_numpy(np.zeros((1, 1, 224, 224), dtype=np.float32))
        pending = [client.async_infer("super_resolution_10", [tensor]) for _ in range(8)]
        first = pending[0].get_result()
        self.assertEqual(first.as_numpy("output").shape, (1, 1, 672, 672))
        server.process.send_signal(signal.SIGTERM)
        answered = 0
        for call in pending[1:]:
            try:
                answered += call.get_result().as_numpy("output") is not None
            except InferenceServerException as error:
                self.assertIn("shutting down", str(error))
        client.close()
        self.assertEqual(server.process.wait(60), 0)  # a second SIGTERM would end it at once
        self.assertGreaterEqual(answered, 1)
        os.unlink(server.log_path)

    def test_port_in_use_and_missing_repository(self):
        with Server([WIRE_REPOSITORY]) as server:
            port = server.http.split(":")[1]
            run = subprocess.run([MOTET, "serve", f"--model-repository={WIRE_REPOSITORY}", f"--http-port={port}", "--http-address=127.0.0.1",
                                  "--grpc-port=0", "--metrics-port=0"], capture_output=True, text=True, timeout=60)
            self.assertEqual(run.returncode, 1)
            self.assertIn(port, run.stderr)
        run = subprocess.run([MOTET, "serve", "--model-repository=/no/such/folder"], capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 1)
        self.assertIn("/no/such/folder", run.stderr)

    def test_deadlines_shed_and_slo(self):
        with tempfile.TemporaryDirectory() as repository:
            copy_model("mobilenet_v2", repository, slo_ms=0.001)
            with Server([repository], "--model-control-mode=explicit", "--load-model=mobilenet_v2") as server:
                client = httpclient.InferenceServerClient(server.http)
                with self.assertRaisesRegex(InferenceServerException, "(?i)deadline|SLO"):
                    client.infer("mobilenet_v2", image(httpclient))
                metrics = server.metrics_text()
                self.assertRegex(metrics, r'nv_inference_request_failure\{model="mobilenet_v2",reason="REJECTED",version="1"\} 1|nv_inference_request_failure\{model="mobilenet_v2",version="1",reason="REJECTED"\} 1')
                self.assertRegex(metrics, r'motet_slo_missed_total\{model="mobilenet_v2",version="1"\} 1')
                client.close()

    def test_a_full_queue_says_so(self):
        repository = self.repository("super_resolution_10")
        with open(os.path.join(repository, "super_resolution_10", "config.pbtxt"), "r+") as config:
            text = config.read().replace("dynamic_batching { }", "dynamic_batching { default_queue_policy { max_queue_size: 2 } }")
            config.seek(0)
            config.write(text)
        with Server([repository]) as server:
            client = grpcclient.InferenceServerClient(server.grpc)
            tensor = grpcclient.InferInput("input", [4, 1, 224, 224], "FP32")
            tensor.set_data_from_numpy(np.zeros((4, 1, 224, 224), dtype=np.float32))
            errors, done = [], threading.Semaphore(0)

            def answered(result, error):
                if error:
                    errors.append(error)
                done.release()
            for _ in range(12):
                client.async_infer("super_resolution_10", [tensor], answered)
            for _ in range(12):
                self.assertTrue(done.acquire(timeout=60))
            self.assertGreaterEqual(len(errors), 1)
            self.assertLess(len(errors), 12)
            for error in errors:
                self.assertEqual(error.status(), "StatusCode.UNAVAILABLE")
                self.assertIn("queue", str(error))
                self.assertIn("2", str(error))
            client.close()

    def test_a_model_that_is_loading_says_so(self):
        repository = self.repository("super_resolution_10", "mnist_8")
        with Server([repository], wait=False) as server:
            client = httpclient.InferenceServerClient(server.http)
            tensor = httpclient.InferInput("input", [1, 1, 224, 224], "FP32")
            tensor.set_data_from_numpy(np.zeros((1, 1, 224, 224), dtype=np.float32))
            seen = None
            while seen is None or "LOADING" not in seen:
                try:
                    client.infer("super_resolution_10", [tensor])
                    self.fail("it was ready before it could be caught loading")
                except InferenceServerException as error:
                    seen = str(error)
                    self.assertRegex(seen, r"\[(404|503)\].*super_resolution_10")  # not yet listed, or loading
            self.assertFalse(client.is_server_ready())
            while not client.is_model_ready("super_resolution_10"):
                time.sleep(0.05)
            client.infer("super_resolution_10", [tensor])
            client.close()

    def test_order_of_answers_is_kept_when_asked_for(self):
        repository = self.repository("mnist_8", "resnet20_cifar10")
        config = os.path.join(repository, "resnet20_cifar10", "config.pbtxt")
        with open(config) as file:
            text = file.read().replace("dynamic_batching { }", "dynamic_batching { preserve_ordering: true }")
        with open(config, "w") as file:
            file.write(text)
        with Server([repository]) as server:
            client = grpcclient.InferenceServerClient(server.grpc)
            order, done = [], threading.Event()
            lock = threading.Lock()

            def answered(number, error):
                with lock:
                    order.append((number, error))
                    if len(order) == 60:
                        done.set()
            for number in range(60):
                rows = 8 if number % 3 == 0 else 1  # of unequal length, so that they end out of order
                tensor = grpcclient.InferInput("input", [rows, 3, 32, 32], "FP32")
                tensor.set_data_from_numpy(np.zeros((rows, 3, 32, 32), dtype=np.float32))
                client.async_infer("resnet20_cifar10", [tensor], lambda result, error, n=number: answered(n, error))
            self.assertTrue(done.wait(60))
            self.assertEqual([error for _, error in order if error], [])
            client.close()

    def test_a_client_that_leaves(self):
        with Server([self.repository("mobilenet_v2", "super_resolution_10")]) as server:
            client = grpcclient.InferenceServerClient(server.grpc)
            tensor = grpcclient.InferInput("input", [4, 1, 224, 224], "FP32")
            tensor.set_data_from_numpy(np.zeros((4, 1, 224, 224), dtype=np.float32))
            client.infer("mobilenet_v2", image(grpcclient))  # connected
            with self.assertRaisesRegex(InferenceServerException, "(?i)deadline"):  # long before the answer
                client.infer("super_resolution_10", [tensor], client_timeout=0.01)
            def cancelled():
                return int(re.search(r'nv_inference_request_failure\{model="super_resolution_10",reason="CANCELED",version="1"\} (\d+)',
                                     server.metrics_text()).group(1))
            time.sleep(0.5)  # whatever became of the one above is counted
            before = cancelled()
            ahead = [threading.Event() for _ in range(3)]  # so that the one that leaves is not answered before
            for each in ahead:
                client.async_infer("super_resolution_10", [tensor], lambda result, error, each=each: each.set())
            done = threading.Event()
            call = client.async_infer("super_resolution_10", [tensor], lambda result, error: done.set())
            time.sleep(0.03)
            call.cancel()
            for answered in [done, *ahead]:
                self.assertTrue(answered.wait(30))
            client.infer("mobilenet_v2", image(grpcclient))
            end = time.monotonic() + 20
            while cancelled() == before and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(cancelled(), before + 1)
            client.close()

    def test_metrics_are_real(self):
        with Server([self.repository("mobilenet_v2")]) as server:
            client = httpclient.InferenceServerClient(server.http)
            for _ in range(3):
                client.infer("mobilenet_v2", image(httpclient))
            client.infer("mobilenet_v2", image(httpclient, 2))
            text = server.metrics_text()
            label = r'\{model="mobilenet_v2",version="1"\}'
            self.assertRegex(text, "nv_inference_request_success" + label + " 4")
            self.assertRegex(text, "nv_inference_count" + label + " 5")
            self.assertRegex(text, "motet_completion_seconds_count" + label + " 4")
            self.assertRegex(text, r'motet_batch_rows_bucket\{model="mobilenet_v2",version="1",le="2"\} 4')
            steps = re.search(r"^motet_step_seconds_count (\d+)", text, re.M)
            self.assertGreater(int(steps.group(1)), 4)
            client.close()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
