"""Processes that take turns at being timed: `r MILLISECONDS` in, a JSON array of latencies in ms out. `motet perf --control`
speaks so; `serve` lets a Python peer speak so too. All are loaded and idle while another has its turn.
"""
import json
import statistics
import subprocess
import sys
import time


class Turns:
    def __init__(self, cores, command, stderr=None):
        self.process = subprocess.Popen(["taskset", "-c", ",".join(map(str, cores)), *command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=stderr, text=True)
        self.command = command

    def wait_ready(self):
        line = self.process.stdout.readline().strip()
        if line != "ready":
            raise SystemExit(f"{' '.join(self.command)} answered '{line}' instead of 'ready'")

    def median(self, milliseconds):
        self.process.stdin.write(f"r {milliseconds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.command)} ended with status {self.process.wait()}")
        return statistics.median(json.loads(line))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def serve(query):
    """A peer's side: calls `query` for as long as each line says, at least once."""
    print("ready", flush=True)
    for line in sys.stdin:
        seconds = float(line.split()[1]) / 1e3
        times = []
        begin = last = time.perf_counter()
        while last - begin < seconds or not times:
            query()
            now = time.perf_counter()
            times.append((now - last) * 1e3)
            last = now
        print(json.dumps(times), flush=True)
