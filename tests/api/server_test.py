"""What the server says about itself, how it begins and ends, and what it does with requests that are none."""

import concurrent.futures
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess

import httpx
import openai
import pytest

from server import DEMO_MODEL, DEVICE, PROGRAM, Server

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "What is 2+2?"}], "temperature": 0}


def test_models(client):
    models = client.models.list()
    assert [model.id for model in models] == ["demo"]
    assert client.models.retrieve("demo").id == "demo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_health_ready_version(server):
    assert httpx.get(server.url + "/health").json() == {"status": "ok"}
    ready = httpx.get(server.url + "/ready")
    assert ready.status_code == 200 and ready.json() == {"status": "ready", "progress": 1.0}
    assert httpx.get(server.url + "/version").json()["version"]


def test_tokens_and_back(server):
    text = "Hello 你好 world"
    tokens = httpx.post(server.url + "/tokenize", json={"model": "demo", "prompt": text}).json()
    assert tokens["count"] == len(tokens["tokens"]) and tokens["max_model_len"] == 1024
    back = httpx.post(server.url + "/detokenize", json={"model": "demo", "tokens": tokens["tokens"]}).json()
    assert back == {"prompt": text}
    for named in ({"model": "demo"}, {}):  # the only model need not be named
        chat = httpx.post(server.url + "/tokenize", json={**named, "messages": CHAT["messages"]}).json()
        assert chat["count"] > 5


def test_the_token_check_of_fastchat(server):
    def check(max_tokens):
        prompts = [{"model": "demo", "prompt": "hello", "max_tokens": max_tokens}]
        return httpx.post(server.url + "/api/v1/token_check", json={"prompts": prompts}).json()["prompts"][0]

    count = check(1)["tokenCount"]
    assert check(1024 - count) == {"fits": True, "tokenCount": count, "contextLength": 1024}
    assert not check(1025 - count)["fits"]


def test_the_chat_route_of_fastchat(server):
    answer = httpx.post(server.url + "/api/v1/chat/completions", json=CHAT, timeout=60).json()
    assert answer["choices"][0]["message"]["content"] == "2 + 2 = 4"


def test_messages_may_be_one_string_as_in_fastchat(server):
    prompt = "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n"
    answer = httpx.post(server.url + "/v1/chat/completions", json={**CHAT, "messages": prompt}, timeout=60).json()
    assert answer["choices"][0]["message"]["content"] == "2 + 2 = 4"


@pytest.mark.parametrize(
    "body, status, word",
    [
        (b"", 400, "JSON"),
        (b"{", 400, "JSON"),
        (b"[1]", 400, "object"),
        (b"\xff\xfe", 400, "JSON"),
        (b'{"model": "\xff"}', 400, "JSON"),
        (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", 400, "nested"),
        (b'{"a":' + b"[" * 200_000, 400, "nested"),
        (b"{}", 400, "model"),
        (b'{"model": 5}', 400, "string"),
    ],
)
def test_bodies_that_are_no_requests(server, body, status, word):
    answer = httpx.post(server.url + "/v1/chat/completions", content=body)
    assert answer.status_code == status
    assert word in answer.json()["error"]["message"]


def test_paths_and_methods_that_are_none(server):
    assert httpx.get(server.url + "/v1/nothing").status_code == 404
    answer = httpx.get(server.url + "/v1/chat/completions")
    assert answer.status_code == 405 and "POST" in answer.json()["error"]["message"]
    assert httpx.get(server.url + "/v1/nothing").json()["error"]["type"] == "not_found_error"


def test_mutations_of_a_request_get_an_answer_and_leave_the_server_whole(server):
    rng = random.Random(20261201)
    valid = json.dumps({**CHAT, "max_tokens": 2, "stop": ["x"], "logit_bias": {"3": 1.5}, "n": 1}).encode()
    count = 10_000 if os.environ.get("FASTCHAT_SLOW_TESTS") else 300
    statuses = set()
    with httpx.Client(timeout=60) as client:
        for _ in range(count):
            body = bytearray(valid)
            for _ in range(rng.randint(1, 4)):
                place = rng.randrange(len(body))
                kind = rng.randrange(3)
                if kind == 0:
                    body[place] = rng.randrange(256)
                elif kind == 1:
                    del body[place : place + rng.randint(1, 8)]
                else:
                    body[place:place] = bytes(rng.choice(b'{}[]",:0-9.eE\\u\xff') for _ in range(rng.randint(1, 5)))
                body = body or bytearray(b"{")
            answer = client.post(server.url + "/v1/chat/completions", content=bytes(body))
            statuses.add(answer.status_code)
            assert answer.status_code in (200, 400, 404), (bytes(body), answer.text)
            assert "error" in answer.json() or "choices" in answer.json()
    assert 400 in statuses
    whole = httpx.post(server.url + "/v1/chat/completions", json=CHAT, timeout=60).json()
    assert whole["choices"][0]["message"]["content"] == "2 + 2 = 4"


def test_many_clients_at_once_get_their_own_answers(server):
    """Each prompt has a secret of its own; greedy answers are those of the same request alone."""
    count = 10_000 if os.environ.get("FASTCHAT_SLOW_TESTS") else 64
    rng = random.Random(7)
    numbers = [(rng.randrange(10), rng.randrange(10)) for _ in range(count)]

    def ask(pair, abandoned):
        body = {**CHAT, "messages": [{"role": "user", "content": f"What is {pair[0]}+{pair[1]}?"}]}
        body["max_tokens"] = 12
        with httpx.Client(timeout=300) as client:
            if abandoned:
                with client.stream("POST", server.url + "/v1/chat/completions", json={**body, "stream": True}) as s:
                    next(s.iter_raw(), None)
                return None
            return client.post(server.url + "/v1/chat/completions", json=body).json()["choices"][0]["message"]

    alone = {pair: ask(pair, False) for pair in set(numbers)}
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        abandoned = [rng.random() < 0.2 for _ in numbers]
        for pair, answer in zip(numbers, pool.map(ask, numbers, abandoned)):
            assert answer is None or answer == alone[pair]


def test_strict_requests_refuse_what_is_unknown():
    with Server("--strict-requests") as server:
        answer = httpx.post(server.url + "/v1/chat/completions", json={**CHAT, "tempreture": 1})
        assert answer.status_code == 400
        assert "tempreture" in answer.json()["error"]["message"]


def test_names_that_the_model_is_given():
    with Server("--served-model-name", "gpt-4o,other,Qwen/Qwen2-7B") as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none")
        assert [model.id for model in client.models.list()] == ["gpt-4o"]
        assert client.models.retrieve("Qwen/Qwen2-7B").id == "gpt-4o"
        for name in ("gpt-4o", "other"):
            answer = client.chat.completions.create(**{**CHAT, "model": name})
            assert answer.model == "gpt-4o"


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_answers_under_way_are_finished_at_the_end(signal_number):
    server = Server()
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="none")
    stream = client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": "Count to a thousand."}],
        max_tokens=300,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    chunks = [next(iter(stream))]
    server.process.send_signal(signal_number)
    chunks += list(stream)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert server.wait() == 0


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = subprocess.run(
            [PROGRAM, "serve", "--model-path", DEMO_MODEL, *DEVICE, "--port", str(port), "--lang", "en"],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert ran.returncode == 1
    assert str(port) in ran.stderr


def test_ready_tells_that_the_model_loads_and_health_lives(tmp_path):
    """Before the model is there, requests are told to come again."""
    # Large enough to be seen loading; its weights are made up.
    config = json.loads(open(os.path.join(DEMO_MODEL, "config.json")).read())
    config.update(hidden_size=512, intermediate_size=4096, num_hidden_layers=16, vocab_size=50_000)
    config.update(num_attention_heads=8, num_key_value_heads=2, head_dim=64)
    (tmp_path / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(DEMO_MODEL, name), tmp_path)
    # The port is bound before loading: found free by us first, as --port 0 is printed after loading.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [PROGRAM, "serve", "--model-path", str(tmp_path), "--load-format", "dummy", "--port", str(port), *DEVICE]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        seen = set()
        while "ready" not in seen:
            try:
                answer = httpx.get(url + "/ready")
            except httpx.TransportError:
                assert process.poll() is None
                continue
            seen.add("ready" if answer.status_code == 200 else "loading")
            if answer.status_code == 503 and "asked" not in seen:
                seen.add("asked")
                assert "loading" in answer.json()["status"]
                assert httpx.get(url + "/health").status_code == 200
                early = httpx.get(url + "/v1/models")
                assert early.status_code == 200 or (early.status_code == 503 and early.headers["retry-after"])
        assert "loading" in seen
    finally:
        process.terminate()
        assert process.wait(timeout=60) in (0, 143)


def test_keys(tmp_path):
    hashed = hashlib.sha256(b"second").hexdigest()
    file = tmp_path / "keys"
    file.write_text(f"# who may come\nalice first\nbob sha256:{hashed}\n")
    with Server("--api-key-file", str(file)) as server:
        for key in ("first", "second"):
            assert openai.OpenAI(base_url=server.url + "/v1", api_key=key).models.list().data[0].id == "demo"
            assert httpx.get(server.url + "/v1/models", headers={"x-api-key": key}).status_code == 200
        for key in ("third", hashed, f"sha256:{hashed}"):
            with pytest.raises(openai.AuthenticationError):
                openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0).models.list()
        for path in ("/v1/chat/completions", "/api/v1/chat/completions", "/api/v1/token_check", "/tokenize"):
            answer = httpx.post(server.url + path, json=CHAT)
            assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"
        assert httpx.get(server.url + "/health").status_code == 200
        assert httpx.get(server.url + "/metrics").status_code == 401


def test_metrics(server):
    def read():
        lines = httpx.get(server.url + "/metrics").text.splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    label = 'model_name="demo"'
    before = read()
    httpx.post(server.url + "/v1/chat/completions", json=CHAT, timeout=60)
    long = {"model": "demo", "prompt": "x", "max_tokens": 200, "ignore_eos": True}
    httpx.post(server.url + "/v1/completions", json=long, timeout=60)
    after = read()

    def grown(name, labels=label):
        return after[f"{name}{{{labels}}}"] - before[f"{name}{{{labels}}}"]

    assert grown("vllm:generation_tokens_total") >= 207
    assert grown("vllm:time_to_first_token_seconds_count") == 2
    assert grown("vllm:e2e_request_latency_seconds_count") == 2
    # Tokens that are seen together with the first have no time between them.
    assert 100 <= grown("vllm:inter_token_latency_seconds_count") <= 6 + 199
    assert grown("vllm:request_success_total", label + ',finished_reason="stop"') == 1
    assert grown("vllm:request_success_total", label + ',finished_reason="length"') == 1
    assert after[f"vllm:num_requests_running{{{label}}}"] == 0
