#!/usr/bin/env python3
"""The motet command: every subcommand's --help names every option it takes, bad options are refused by name, and the tools
that need no server do what they say."""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

import numpy as np
from support import MODELS, MOTET, ROOT


def motet(*arguments):
    return subprocess.run([MOTET, *arguments], capture_output=True, text=True, timeout=300)


class Help(unittest.TestCase):
    EXPECTED = {
        "serve": ["--model-repository", "--model-control-mode", "--load-model", "--http-port", "--grpc-port", "--metrics-port",
                  "--http-address", "--record", "--memory-budget", "--dispatcher", "--planner"],
        "infer": ["--url", "MODEL", "FILE", "--json"],
        "run": ["--inputs", "--outputs", "MODEL"],
        "perf": ["--batch", "--threads", "--json", "MODEL"],
        "bench": ["--model", "--duration", "--arrivals", "--seed", "--json", "URL"],
        "inspect": ["--json", "MODEL"],
    }

    def test_names_every_option(self):
        overview = motet("--help")
        self.assertEqual(overview.returncode, 0)
        for command, options in self.EXPECTED.items():
            self.assertIn(command, overview.stdout)
            shown = motet(command, "--help")
            self.assertEqual(shown.returncode, 0, command)
            for option in options:
                self.assertRegex(shown.stdout, re.compile(re.escape(option), re.I), f"motet {command} --help lacks {option}")
            for option in re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", shown.stdout):
                described = re.search(re.escape(option) + r"\b[^\n]*(\n\s{8,}[^\n]*)?", shown.stdout).group(0)
                self.assertRegex(described.split(option, 1)[1], r"[a-z]{2,}", f"motet {command} {option} has no description")

    def test_unknown_options_are_named(self):
        for command in self.EXPECTED:
            run = motet(command, "--no-such-option")
            self.assertNotEqual(run.returncode, 0)
            self.assertTrue("--no-such-option" in run.stderr or "required" in run.stderr, run.stderr)
        self.assertEqual(motet("fly").returncode, 2)
        self.assertIn("fly", motet("fly").stderr)

    def test_refused_flags_are_named_with_their_value(self):
        run = motet("serve", "--model-repository=/tmp", "--rate-limit=execution_count")
        self.assertEqual(run.returncode, 2)
        self.assertIn("--rate-limit=execution_count", run.stderr)
        run = motet("serve", "--model-repository=/tmp", "--model-control-mode=poll")
        self.assertEqual(run.returncode, 2)
        self.assertIn("poll", run.stderr)


class Documents(unittest.TestCase):
    def test_config_page_is_what_the_server_prints(self):
        self.assertEqual(open(os.path.join(ROOT, "docs", "config.md")).read(), motet("serve", "--help-config").stdout,
                         "docs/config.md is made by: build/motet serve --help-config > docs/config.md")


class Tools(unittest.TestCase):
    MODEL = os.path.join(MODELS, "resnet20_cifar10", "1", "model.onnx")

    def test_run_agrees_with_the_golden_outputs(self):
        golden = os.path.join(MODELS, "resnet20_cifar10", "golden", "0")
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out.npz")
            run = motet("run", self.MODEL, "--inputs", f"{golden}/inputs.npz", "--outputs", out)
            self.assertEqual(run.returncode, 0, run.stderr)
            ours, want = np.load(out)["logits"], np.load(f"{golden}/outputs.npz")["logits"]
            self.assertLessEqual(np.abs(ours - want).max(), 1e-4 * np.abs(want).max())

    def test_run_names_what_is_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            np.savez(f"{folder}/in.npz", wrong=np.zeros((1, 3, 32, 32), np.float32))
            run = motet("run", self.MODEL, "--inputs", f"{folder}/in.npz", "--outputs", f"{folder}/out.npz")
            self.assertNotEqual(run.returncode, 0)
            self.assertIn("input", run.stderr)
            run = motet("run", self.MODEL, "--inputs", f"{folder}/absent.npz", "--outputs", f"{folder}/out.npz")
            self.assertIn("absent.npz", run.stderr)

    def test_perf_and_inspect_speak_json(self):
        run = motet("perf", self.MODEL, "--batch", "2", "--threads", "1", "--seconds", "0.2", "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        figures = json.loads(run.stdout)
        self.assertGreater(figures["median_ms"], 0)
        self.assertGreaterEqual(figures["p99_ms"], figures["median_ms"])
        run = motet("inspect", self.MODEL, "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertGreater(len(json.loads(run.stdout)["steps"]), 10)
        self.assertIn("Conv", motet("inspect", self.MODEL).stdout)

    def test_infer_without_a_server_says_so(self):
        photo = os.path.join(ROOT, "demo", "media", "photos", "zebra.jpeg")
        run = motet("infer", "--url", "http://127.0.0.1:9", "mobilenet_v2", photo)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("127.0.0.1:9", run.stderr)


class Output(unittest.TestCase):
    COMMAND = [MOTET, "inspect", "--no-times", os.path.join(MODELS, "mnist_8", "1", "model.onnx")]

    def test_a_full_disk_is_an_error(self):
        for more in ([], ["--json"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([*self.COMMAND, *more], stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
            self.assertEqual(done.returncode, 1)
            self.assertIn("the output could not be written in full", done.stderr)

    def test_a_reader_that_leaves_is_none(self):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(self.COMMAND, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=300)
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
