"""Processes that take turns at being timed: `r MILLISECONDS` in, a JSON array of latencies in ms out. `motet perf --control`
speaks so; `serve` lets a Python peer speak so too. All are loaded and idle while another has its turn: a process whose threads
spin on after its turn, as ONNX Runtime's do for tens of milliseconds, is waited for before the next one begins.
"""
import glob
import json
import statistics
import subprocess
import sys
import time


def busy(process):
    """True if a thread of the process runs or is about to."""
    for path in glob.glob(f"/proc/{process}/task/*/stat"):
        try:
            with open(path) as f:
                if f.read().rpartition(")")[2].split()[0] == "R":
                    return True
        except (FileNotFoundError, ProcessLookupError):  # the thread has ended
            pass
    return False


def wait_idle(process, seconds_at_most=2.0, looks=3):
    """Until the process was seen idle some times in a row."""
    end, seen = time.monotonic() + seconds_at_most, 0
    while seen < looks and time.monotonic() < end:
        seen = 0 if busy(process) else seen + 1
        time.sleep(0.001)


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
        wait_idle(self.process.pid)
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
