"""Starts `fastchat serve` for a test, and knows where it listens."""

import os
import re
import signal
import subprocess
import time

PROGRAM = os.environ["FASTCHAT_PROGRAM"]
SOURCE_DIR = os.environ["FASTCHAT_SOURCE_DIR"]
# What the suites run on; tests/api/CMakeLists.txt gives them emulated cards too.
DEVICE = os.environ.get("FASTCHAT_API_DEVICE", "--device cpu").split()
DEMO_MODEL = os.path.join(SOURCE_DIR, "models", "demo")


class Server:
    """A server of the demo model on a free port of the loopback."""

    def __init__(self, *flags, model=DEMO_MODEL):
        command = [PROGRAM, "serve", "--model-path", model, "--port", "0", "--lang", "en", *DEVICE, *flags]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.output = ""
        for line in self.process.stderr:
            self.output += line
            found = re.search(r"(https?://\S+)/v1 serves", line)
            if found:
                self.url = found.group(1)
                break
        else:
            raise RuntimeError(f"{' '.join(command)} ended with {self.process.wait()}:\n{self.output}")

    def stop(self, timeout=60):
        """The exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout=60):
        """The exit status of a server that ends by itself."""
        _, rest = self.process.communicate(timeout=timeout)
        self.output += rest
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def wait_until(condition, timeout=30.0):
    """Polls; a test that needs it to become true fails with a TimeoutError, whatever the machine's speed."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come about")
        time.sleep(0.02)
