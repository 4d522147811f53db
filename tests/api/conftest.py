import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from server import Server  # noqa: E402


@pytest.fixture(scope="session")
def server():
    with Server("--max-num-seqs", "8") as running:
        yield running
        assert running.process.poll() is None, f"the server ended by itself:\n{running.stop()}\n{running.output}"


@pytest.fixture(scope="session")
def client(server):
    import openai

    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120)
