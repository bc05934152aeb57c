"""A `motet serve` under test: started on free ports, stopped at the end. For benches and end-to-end tests."""
import os
import re
import signal
import subprocess
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("MOTET_BUILD", os.path.join(ROOT, "build"))
MOTET = os.path.join(BUILD, "motet")


class Server:
    """with Server(["models"]) as s: s.http, s.grpc and s.metrics are "127.0.0.1:port"; s.log() is what it has written."""

    def __init__(self, repositories, *flags, wait=True, log=None):
        self.log_path = log or os.path.join(BUILD, f"server-{os.getpid()}-{id(self)}.log")
        command = [MOTET, "serve", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1",
                   "--http-port=0", "--grpc-port=0", "--metrics-port=0"]
        command += [f"--model-repository={r}" for r in repositories] + list(flags)
        if not any(flag.startswith("--cache-dir") for flag in flags):
            command.append("--cache-dir=none")  # no run depends on an earlier one
        with open(self.log_path, "w") as log_file:
            self.process = subprocess.Popen(command, stderr=log_file, stdout=subprocess.DEVNULL)
        try:
            self.http = "127.0.0.1:" + self._await(r"HTTP at 127\.0\.0\.1:(\d+)")
            self.grpc = "127.0.0.1:" + self._await(r"gRPC at 127\.0\.0\.1:(\d+)")
            self.metrics = "127.0.0.1:" + self._await(r"metrics at http://127\.0\.0\.1:(\d+)")
            if wait:
                self._await(r"(ready)$")
        except Exception:
            self.process.kill()
            raise

    def _await(self, pattern, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, self.log(), re.M)
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.log()}")
            time.sleep(0.02)
        raise RuntimeError(f"no {pattern!r} within {seconds} s in:\n{self.log()}")

    def log(self):
        with open(self.log_path) as log_file:
            return log_file.read()

    def metrics_text(self):
        return urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10).read().decode()

    def stop(self, patience=60):
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"the server did not drain within {patience} s:\n{self.log()[-2000:]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            os.unlink(self.log_path)
