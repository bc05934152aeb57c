#!/usr/bin/env python3
"""Precision as a client sees it, and the warm-up samples that it is measured on: against the built server."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from support import BUILD, MODELS, MOTET, ROOT, WIRE_REPOSITORY, Server, copy_model
from tritonclient.utils import InferenceServerException

MODEL = "resnet20_cifar10"
with open("/proc/cpuinfo") as cpuinfo:
    CPU = set(cpuinfo.read().split())
BF16 = bool(CPU & {"avx512_bf16", "amx_bf16"})  # whether this CPU computes in it
INT8 = "avx512_vnni" in CPU  # whether products of few rows of a model of fp32 can be int8
NAMES = ("precision", "precision_asked", "precision_error", "precision_max_error", "precision_measured_on", "precision_refused")


def photo(rows=1):
    """Rows of the golden photo, brighter each."""
    golden = np.load(os.path.join(MODELS, MODEL, "golden", "0", "inputs.npz"))["input"][:1]
    return np.concatenate([golden * (1 + 0.1 * row) for row in range(rows)]).astype(np.float32)


def ask(module, client, rows=1):
    tensor = module.InferInput("input", [rows, 3, 32, 32], "FP32")
    tensor.set_data_from_numpy(photo(rows))
    return client.infer(MODEL, [tensor])


def http_parameters(result):
    return result.get_response().get("parameters", {})


def grpc_parameters(message):
    return {key: getattr(value, value.WhichOneof("parameter_choice")) for key, value in message.parameters.items()}


class PrecisionTest(unittest.TestCase):
    def repository(self, precision=None, bound=None, warmup="", files=(), model=MODEL):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        copy_model(model, folder.name)
        with open(os.path.join(folder.name, model, "config.pbtxt"), "a") as config:
            for key, value in (("precision", precision), ("precision_max_error", bound)):
                if value is not None:
                    config.write(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n')
            config.write(warmup)
        os.mkdir(os.path.join(folder.name, model, "warmup"))
        for name, data in files:
            with open(os.path.join(folder.name, model, "warmup", name), "wb") as file:
                file.write(data)
        return folder.name

    @staticmethod
    def sample(data, batch=1, count=0, name="photo"):
        return (f'model_warmup {{ name: "{name}" batch_size: {batch} count: {count} inputs {{ key: "input" value '
                f'{{ data_type: TYPE_FP32 dims: [ 3, 32, 32 ] {data} }} }} }}\n')

    def metadata(self, server):
        client = httpclient.InferenceServerClient(server.http)
        parameters = client.get_model_metadata(MODEL)["parameters"]
        client.close()
        return parameters

    def await_decision(self, server):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            facts = self.metadata(server)
            if "precision_measured_on" in facts:
                return facts
            time.sleep(0.05)
        self.fail(f"no decision within 60 s:\n{server.log()}")

    def check_consistent(self, server, facts):
        """What the metadata says of precision is what answers and metrics say, over both protocols."""
        reduced = facts["precision"] != "exact"
        self.assertEqual(reduced, "precision_error" in facts, facts)
        self.assertEqual(not reduced, "precision_refused" in facts, facts)
        http, grpc = httpclient.InferenceServerClient(server.http), grpcclient.InferenceServerClient(server.grpc)
        for answer in (http_parameters(ask(httpclient, http)), grpc_parameters(ask(grpcclient, grpc).get_response())):
            self.assertEqual(answer["precision"], facts["precision"])
            self.assertEqual(answer.get("precision_error"), facts.get("precision_error"))
        http.close()
        grpc.close()
        gauge = r'motet_model_precision\{model="%s",precision="%s",version="1"\} 1' % (MODEL, facts["precision"])
        self.assertRegex(server.metrics_text(), gauge)


class Warmup(PrecisionTest):
    def test_samples_are_run_before_the_model_is_ready(self):
        warmup = (self.sample("zero_data: true", batch=2, count=3) + self.sample("random_data: true", batch=5) +
                  self.sample('input_data_file: "photo"', batch=1, count=2))
        repository = self.repository(warmup=warmup, files=[("photo", photo().tobytes())])
        with Server([repository]) as server:
            self.assertIn(f"model '{MODEL}' version 1: warmed up by 6 runs of 3 model_warmup samples", server.log())
            client = httpclient.InferenceServerClient(server.http)
            ask(httpclient, client)
            self.assertNotIn("precision", http_parameters(ask(httpclient, client)))
            statistics = client.get_inference_statistics(MODEL)["model_stats"][0]
            self.assertEqual(statistics["inference_count"], 2)  # the warm-up is nobody's inference
            client.close()

    def test_shapes_that_vary_are_compiled_for_the_samples(self):
        for warmed in (False, True):
            with tempfile.TemporaryDirectory() as repository:
                shutil.copytree(os.path.join(WIRE_REPOSITORY, "text"), os.path.join(repository, "text"))
                if warmed:
                    with open(os.path.join(repository, "text", "config.pbtxt"), "a") as config:
                        config.write('model_warmup { name: "words" batch_size: 2 inputs { key: "s" value '
                                     '{ data_type: TYPE_STRING dims: [ 3 ] random_data: true } } }')
                with Server([repository]) as server:
                    client = httpclient.InferenceServerClient(server.http)
                    self.assertEqual("executor" in client.get_model_metadata("text")["parameters"], warmed)
                    words = httpclient.InferInput("s", [2, 3], "BYTES")
                    words.set_data_from_numpy(np.array([["a", "b", "c"], ["d", "e", "f"]], dtype=object))
                    client.infer("text", [words])
                    self.assertEqual(client.get_model_metadata("text")["parameters"]["executor"], "native")
                    client.close()

    def test_a_sample_that_does_not_fit_is_named(self):
        for sample, reason in ((self.sample('input_data_file: "photo"', name="short"), r"model_warmup 'short' input 'input'.*12288"),
                               (self.sample("zero_data: true", batch=17), r"batch_size 17; accepted is 1 to 16")):
            repository = self.repository(warmup=sample, files=[("photo", b"abc")])
            with Server([repository], "--model-control-mode=explicit") as server:
                client = httpclient.InferenceServerClient(server.http)
                with self.assertRaisesRegex(InferenceServerException, reason):
                    client.load_model(MODEL)
                client.close()


class Precision(PrecisionTest):
    def test_exact_models_say_what_runs_them_and_answers_stay_tritons(self):
        with Server([self.repository()]) as server:
            facts = self.metadata(server)
            self.assertEqual(facts["precision"], "exact")
            self.assertEqual(facts["executor"], "native")
            self.assertGreater(facts["slices"], 10)
            self.assertGreater(facts["longest_step_us"], 0)
            grpc = grpcclient.InferenceServerClient(server.grpc)
            self.assertEqual(len(ask(grpcclient, grpc).get_response().parameters), 0)
            grpc.close()
            metrics = server.metrics_text()
            self.assertIn(f'motet_model_executor{{executor="native",model="{MODEL}",version="1"}} 1', metrics)
            self.assertRegex(metrics, r'motet_model_longest_step_seconds\{model="%s",version="1"\} 0?\.?[0-9e.-]+' % MODEL)

    def test_is_measured_on_warmup_data(self):
        rows = photo(2)
        repository = self.repository("bf16", warmup=self.sample('input_data_file: "photos"', batch=2),
                                     files=[("photos", rows.tobytes())])
        with Server([repository]) as server:
            facts = self.metadata(server)
            self.assertEqual(facts["precision"], "bf16" if BF16 else "exact", facts)
            self.assertEqual(facts["precision_measured_on"], "1 sample of model_warmup")
            self.assertEqual(facts["precision_asked"], "bf16")
            self.assertEqual(facts["precision_max_error"], 0.05)
            self.check_consistent(server, facts)
            if BF16:
                photograph = os.path.join(ROOT, "demo", "media", "photos", "car.jpg")
                shown = subprocess.run([MOTET, "infer", "--url", server.http, MODEL, photograph], capture_output=True, text=True, timeout=60)
                self.assertRegex(shown.stdout, r"automobile[\s\S]*, in bf16 \(measured error 0\.\d+\)", shown.stderr)

    def test_a_model_of_fp32_answers_in_int8(self):
        model, rows = "ncf_mlp_ml1m", 8
        golden = np.load(os.path.join(MODELS, model, "golden", "0", "inputs.npz"))
        columns = {name: golden[name][:rows] for name in ("user", "item")}
        samples = "".join(f'inputs {{ key: "{name}" value {{ data_type: TYPE_INT64 dims: [ ] input_data_file: "{name}" }} }} '
                          for name in columns)
        warmup = f'model_warmup {{ name: "pairs" batch_size: {rows} {samples} }}\n'
        files = [(name, column.tobytes()) for name, column in columns.items()]

        def scores(client):
            tensors = [httpclient.InferInput(name, [rows], "INT64") for name in columns]
            for tensor in tensors:
                tensor.set_data_from_numpy(columns[tensor.name()])
            return client.infer(model, tensors)

        with Server([self.repository("exact", model=model)]) as server, httpclient.InferenceServerClient(server.http) as client:
            exact = scores(client).as_numpy("score")
        with Server([self.repository("int8", warmup=warmup, files=files, model=model)]) as server:
            with httpclient.InferenceServerClient(server.http) as client:
                facts = client.get_model_metadata(model)["parameters"]
                answer = scores(client)
            self.assertEqual((facts["precision_asked"], facts["precision_measured_on"]), ("int8", "1 sample of model_warmup"))
            self.assertEqual(facts["precision"], "int8" if INT8 else "exact", facts)
            told = http_parameters(answer)
            self.assertEqual(told["precision"], facts["precision"])
            self.assertEqual(told.get("precision_error"), facts.get("precision_error"))
            if INT8:
                self.assertTrue(0 < facts["precision_error"] <= facts["precision_max_error"], facts)
                self.assertFalse(np.array_equal(answer.as_numpy("score"), exact))
                np.testing.assert_allclose(answer.as_numpy("score"), exact, atol=0.1)
            else:
                self.assertRegex(facts["precision_refused"], "int8: .*AVX512_VNNI")

    def test_above_the_bound_it_is_refused_with_the_figure(self):
        repository = self.repository("auto", "1e-9", warmup=self.sample('input_data_file: "photo"'),
                                     files=[("photo", photo().tobytes())])
        with Server([repository]) as server:
            facts = self.metadata(server)
            self.assertEqual(facts["precision"], "exact")
            for precision in ("bf16", "int8"):
                self.assertRegex(facts["precision_refused"], precision + r": \w+")
            if BF16:
                self.assertRegex(facts["precision_refused"], r"bf16: its error of [0-9.e-]+ is above the bound of 1e-09")
                self.assertRegex(server.metrics_text(), r'motet_model_precision_error\{model="%s",precision="bf16",version="1"\} 0\.\d+' % MODEL)
            self.check_consistent(server, facts)

    def test_random_numbers_are_not_data_and_live_queries_are(self):
        repository = self.repository("bf16", warmup=self.sample("random_data: true"))
        recording = os.path.join(repository, "recording")
        with Server([repository], f"--record={recording}") as server:
            facts = self.metadata(server)
            self.assertEqual(facts["precision"], "exact")
            self.assertIn("not measured yet: 32 answered queries are needed", facts["precision_refused"])
            client = httpclient.InferenceServerClient(server.http)
            self.assertEqual(http_parameters(ask(httpclient, client))["precision"], "exact")
            for number in range(31):
                ask(httpclient, client, 1 + number % 3)
            facts = self.await_decision(server)
            self.assertEqual(facts["precision"], "bf16" if BF16 else "exact", facts)
            self.assertEqual(facts["precision_measured_on"], "8 live queries")
            end = time.monotonic() + 30  # programs of the new precision are compiled beside the old ones
            while http_parameters(ask(httpclient, client))["precision"] != facts["precision"] and time.monotonic() < end:
                time.sleep(0.05)
            client.close()
            self.check_consistent(server, facts)
        replay = subprocess.run([os.path.join(BUILD, "motet-replay"), "--json", recording], capture_output=True, text=True, timeout=60)
        self.assertEqual(replay.returncode, 0, replay.stdout + replay.stderr)  # the switch is in the recording:
        if BF16:  # the exact programs went once nothing used them
            events, actions = (json.loads(replay.stdout)[kind] for kind in ("events_by_kind", "actions_by_kind"))
            self.assertEqual(events["Retired"], 1)
            self.assertEqual(actions["Unload"], 2)  # and at the end the instance

    def test_the_servers_default_is_for_models_that_state_none(self):
        repository = self.repository(warmup=self.sample('input_data_file: "photo"'), files=[("photo", photo().tobytes())])
        with Server([repository], "--precision=bf16", "--precision-max-error=0.2") as server:
            facts = self.metadata(server)
            self.assertEqual((facts["precision_asked"], facts["precision_max_error"]), ("bf16", 0.2))
            self.check_consistent(server, facts)
        repository = self.repository("exact")
        with Server([repository], "--precision=int8") as server:
            facts = self.metadata(server)
            self.assertEqual([name for name in NAMES if name in facts], ["precision"])

    def test_a_precision_that_is_none_is_refused(self):
        with Server([self.repository("fp8")], "--model-control-mode=explicit") as server:
            client = httpclient.InferenceServerClient(server.http)
            with self.assertRaisesRegex(InferenceServerException, 'precision is .{1,2}fp8.{1,2}; accepted is .*auto'):
                client.load_model(MODEL)
            client.close()

    def test_metrics_outlive_a_reload(self):
        repository = self.repository("bf16", warmup=self.sample('input_data_file: "photo"'), files=[("photo", photo().tobytes())])
        with Server([repository], "--model-control-mode=explicit", f"--load-model={MODEL}") as server:
            client = httpclient.InferenceServerClient(server.http)
            client.load_model(MODEL)
            ask(httpclient, client)
            end = time.monotonic() + 20  # until the old instance is gone
            while time.monotonic() < end and not re.search(r"^nv_inference_request_success.* 1$", server.metrics_text(), re.M):
                time.sleep(0.05)
            time.sleep(0.5)
            self.assertIn("motet_model_precision{", server.metrics_text())
            self.assertIn("nv_inference_count{", server.metrics_text())
            client.unload_model(MODEL)
            end = time.monotonic() + 20
            while time.monotonic() < end and "motet_model_precision{" in server.metrics_text():
                time.sleep(0.05)
            self.assertNotIn("motet_model_precision{", server.metrics_text())
            client.close()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
