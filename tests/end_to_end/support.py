"""What the end-to-end tests share: paths, and a server for a whole test class."""
import os
import re
import shutil
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bench", "common"))
from motet_server import BUILD, MOTET, Server  # noqa: E402,F401

WIRE_REPOSITORY = os.path.join(ROOT, "tests", "conformance", "wire", "repo")
MODELS = os.path.join(ROOT, "models")


def copy_model(name, repository, slo_ms=None):
    """Copies a shipped model into `repository` with that SLO, or none, so that a test on a slow machine is not shed."""
    target = os.path.join(repository, name)
    shutil.copytree(os.path.join(MODELS, name), target, ignore=shutil.ignore_patterns("golden", "LICENSE*"))
    with open(os.path.join(target, "config.pbtxt"), "r+") as config:
        text = re.sub(r'parameters \{ key: "slo_ms".*\n', "", config.read())
        if slo_ms is not None:
            text += f'parameters {{ key: "slo_ms" value {{ string_value: "{slo_ms}" }} }}\n'
        config.seek(0)
        config.truncate()
        config.write(text)


class ServedTest(unittest.TestCase):
    """One server for the class: FLAGS and REPOSITORIES say which."""
    REPOSITORIES = [WIRE_REPOSITORY]
    FLAGS = ["--model-control-mode=explicit", "--load-model=*"]

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.REPOSITORIES, *cls.FLAGS)

    @classmethod
    def tearDownClass(cls):
        status = cls.server.stop()
        log = cls.server.log()
        os.unlink(cls.server.log_path)
        assert status == 0, f"the server ended with {status}:\n{log}"
