#!/usr/bin/env python3
"""The 99 recorded answers of a real Triton against `motet serve` (tests/conformance/wire)."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from bars import Bars  # noqa: E402
from motet_server import ROOT, Server  # noqa: E402

LEAST = 85


def main():
    bars = Bars("wire")
    wire = os.path.join(ROOT, "tests", "conformance", "wire")
    with Server([f"{wire}/repo"], "--model-control-mode=explicit", "--load-model=*") as server:
        run = subprocess.run([sys.executable, f"{wire}/check.py", server.http], capture_output=True, text=True)
    print(run.stdout.strip())
    found = re.search(r"(\d+) of (\d+) cases agree", run.stdout)
    if not found:
        print(run.stderr)
        return 1
    bars.data["cases"] = int(found.group(2))
    bars.at_least("wire-cases", int(found.group(1)), LEAST)
    return bars.finish()


if __name__ == "__main__":
    sys.exit(main())
