#!/usr/bin/env python3
"""Models on demand, and the cache of packed weights: against the built server."""
import os
import re
import shutil
import tempfile
import time
import unittest

import numpy as np
import tritonclient.http as httpclient
from support import MODELS, Server, copy_model
from tritonclient.utils import InferenceServerException


def count(server, name):
    return float(re.search(rf"^{name} ([0-9.e+]+)$", server.metrics_text(), re.M).group(1))


def ask(client, model):
    tensor = httpclient.InferInput("input", [1, 3, 224, 224], "FP32")
    tensor.set_data_from_numpy(np.linspace(-1, 1, 3 * 224 * 224, dtype=np.float32).reshape(1, 3, 224, 224))
    return client.infer(model, [tensor]).as_numpy("logits")


class OnDemand(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.repository = os.path.join(folder.name, "models")
        os.mkdir(self.repository)

    def copies(self, names):
        """MobileNetV2 under several names."""
        copy_model("mobilenet_v2", self.repository)
        config = os.path.join(self.repository, "mobilenet_v2", "config.pbtxt")
        with open(config) as file:
            text = re.sub(r'^name: .*$', "", file.read(), flags=re.M)
        with open(config, "w") as file:
            file.write(text)
        for name in names:
            shutil.copytree(os.path.join(self.repository, "mobilenet_v2"), os.path.join(self.repository, name))
        shutil.rmtree(os.path.join(self.repository, "mobilenet_v2"))

    def test_queries_load_what_they_need_and_the_rest_gives_way(self):
        names = ["a", "b", "c"]
        self.copies(names)
        with Server([self.repository], "--load-on-demand", "--memory-budget=110M") as server:
            client = httpclient.InferenceServerClient(server.http, network_timeout=120)
            self.assertTrue(client.is_server_ready())
            self.assertEqual(count(server, "motet_program_loads_total"), 0)
            for name in names:  # known and described before anything is loaded
                self.assertTrue(client.is_model_ready(name))
                self.assertEqual(client.get_model_metadata(name)["inputs"][0]["shape"], [-1, 3, 224, 224])
            first = ask(client, "a")
            self.assertEqual(count(server, "motet_program_loads_total"), 1)
            self.assertTrue(np.array_equal(ask(client, "a").argmax(), first.argmax()))
            self.assertEqual(count(server, "motet_program_loads_total"), 1)
            for _ in range(2):
                for name in names:
                    self.assertEqual(ask(client, name).argmax(), first.argmax())
            client.close()

    def test_a_full_budget_drops_and_loads_again(self):
        names = ["a", "b", "c"]
        self.copies(names)
        with Server([self.repository], "--load-on-demand", "--memory-budget=24M") as server:
            client = httpclient.InferenceServerClient(server.http, network_timeout=120)
            answers = [ask(client, name) for name in names * 2]
            for answer in answers[1:]:
                self.assertEqual(answer.argmax(), answers[0].argmax())
            self.assertGreaterEqual(count(server, "motet_program_drops_total"), 2)
            self.assertLessEqual(count(server, "motet_charged_bytes"), 24 << 20)
            client.close()

    def test_a_model_larger_than_the_budget_is_refused_with_the_figures(self):
        self.copies(["a"])
        with Server([self.repository], "--load-on-demand", "--memory-budget=1M") as server:
            client = httpclient.InferenceServerClient(server.http, network_timeout=120)
            with self.assertRaisesRegex(InferenceServerException, "budget"):
                ask(client, "a")
            client.close()

    def test_packed_weights_come_from_the_cache_and_damage_is_repaired(self):
        self.copies(["a"])
        cache = os.path.join(self.folder, "cache")

        def run(blobs_before_end=0):
            """What is kept is written after the answer: the server is stopped when so much is there, or after a while."""
            with Server([self.repository], "--load-on-demand", f"--cache-dir={cache}") as server:
                client = httpclient.InferenceServerClient(server.http, network_timeout=120)
                answer = ask(client, "a")
                client.close()
                end = time.monotonic() + 30
                while len(blobs()) < blobs_before_end and time.monotonic() < end:
                    time.sleep(0.1)
                server.stop()
                return answer, server.log()

        def blobs():
            return {os.path.join(d, f) for d, _, files in os.walk(cache) for f in files}

        first, _ = run(blobs_before_end=11)
        self.assertGreater(len(blobs()), 10)
        second, log = run()
        self.assertEqual(second.argmax(), first.argmax())
        self.assertNotIn("damaged", log)
        for blob in blobs():  # all weights: which are read before the first answer is not said
            if os.path.getsize(blob) > 16384:
                with open(blob, "r+b") as file:
                    file.seek(os.path.getsize(blob) - 5)
                    file.write(b"xxxx")
        third, log = run()
        self.assertIn("damaged", log)
        self.assertEqual(third.argmax(), first.argmax())

    def test_a_cache_that_cannot_be_written_costs_one_line(self):
        self.copies(["a"])
        occupied = os.path.join(self.folder, "occupied")
        open(occupied, "w").close()
        with Server([self.repository], f"--cache-dir={occupied}/below") as server:
            client = httpclient.InferenceServerClient(server.http, network_timeout=120)
            ask(client, "a")
            client.close()
            server.stop()
            self.assertLessEqual(server.log().count("is not written"), 1)


if __name__ == "__main__":
    unittest.main()
