"""/v1/chat/completions by OpenAI's own client, as its documentation shows."""

import asyncio

import openai
import pytest

MODEL = "demo"


def ask(text):
    return [{"role": "user", "content": text}]


def test_an_answer(client):
    answer = client.chat.completions.create(model=MODEL, messages=ask("What is 2+2?"), temperature=0)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == MODEL
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == "2 + 2 = 4"
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens == 7


def test_streamed_pieces_join_to_the_whole_answer(client):
    request = dict(model=MODEL, messages=ask("Tell me a story."), temperature=0, max_tokens=60)
    whole = client.chat.completions.create(**request)
    chunks = list(client.chat.completions.create(**request, stream=True))
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert sum(1 for chunk in chunks if chunk.choices[0].finish_reason) == 1
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 5
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_at_the_end_of_a_stream(client):
    request = dict(model=MODEL, messages=ask("What is 2+2?"), temperature=0)
    chunks = list(
        client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[-1].choices == []
    whole = client.chat.completions.create(**request)
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


def test_the_streaming_helper_of_the_client(client):
    with client.chat.completions.stream(model=MODEL, messages=ask("What is 2+2?"), temperature=0) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "2 + 2 = 4"


def test_the_asynchronous_client(server):
    async def run():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none") as client:
            whole, stream = await asyncio.gather(
                client.chat.completions.create(model=MODEL, messages=ask("What is 2+2?"), temperature=0),
                client.chat.completions.create(
                    model=MODEL, messages=ask("What is 2+2?"), temperature=0, stream=True
                ),
            )
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return whole.choices[0].message.content, "".join(pieces)

    whole, pieces = asyncio.run(run())
    assert whole == pieces == "2 + 2 = 4"


def test_logprobs(client):
    answer = client.chat.completions.create(
        model=MODEL, messages=ask("What is 2+2?"), temperature=0, logprobs=True, top_logprobs=3
    )
    content = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in content).decode() == answer.choices[0].message.content
    for token in content:
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token  # greedy: the likeliest
        falling = [top.logprob for top in token.top_logprobs]
        assert falling == sorted(falling, reverse=True)
        assert token.logprob <= 0

    chunks = client.chat.completions.create(
        model=MODEL, messages=ask("What is 2+2?"), temperature=0, logprobs=True, top_logprobs=3, stream=True
    )
    streamed = [token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content]
    assert [token.token for token in streamed] == [token.token for token in content]


def test_several_choices(client):
    request = dict(model=MODEL, messages=ask("Tell me a story."), max_tokens=24, temperature=1.5, seed=7)
    whole = client.chat.completions.create(**request, n=4)
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    texts = [choice.message.content for choice in whole.choices]
    assert len(set(texts)) > 1
    # The prompt counts once.
    single = client.chat.completions.create(**request)
    assert whole.usage.prompt_tokens == single.usage.prompt_tokens

    streamed = ["", "", "", ""]
    for chunk in client.chat.completions.create(**request, n=4, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert streamed == texts


def test_a_seed_reproduces_an_answer_whatever_else_runs(client):
    request = dict(model=MODEL, messages=ask("Tell me a story."), max_tokens=30, temperature=1.3, seed=123)
    alone = client.chat.completions.create(**request).choices[0].message.content
    others = client.chat.completions.create(
        model=MODEL, messages=ask("Count to a hundred."), max_tokens=200, n=4, stream=True
    )
    next(iter(others))
    again = client.chat.completions.create(**request).choices[0].message.content
    others.close()
    assert again == alone


def test_stop_strings_end_the_answer_before_them(client):
    request = dict(model=MODEL, messages=ask("What is 2+2?"), temperature=0)
    answer = client.chat.completions.create(**request, stop=" = ")
    assert answer.choices[0].message.content == "2 + 2"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].model_extra["stop_reason"] == " = "
    chunks = client.chat.completions.create(**request, stop=["nothing", "= "], stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "2 + 2 "


def test_max_tokens(client):
    for field in ("max_tokens", "max_completion_tokens"):
        answer = client.chat.completions.create(
            model=MODEL, messages=ask("What is 2+2?"), temperature=0, **{field: 3}
        )
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 3


def test_logit_bias_forbids_a_token(client, server):
    import httpx

    token = httpx.post(server.url + "/tokenize", json={"prompt": "2"}).json()["tokens"][-1]
    answer = client.chat.completions.create(
        model=MODEL,
        messages=ask("What is 2+2?"),
        temperature=0,
        max_tokens=8,
        logit_bias={str(token): -100},
    )
    assert "2" not in answer.choices[0].message.content


def test_parts_of_content_and_developer_messages(client):
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "developer", "content": "Answer briefly."},
            {"role": "user", "content": [{"type": "text", "text": "What is 2+2?"}]},
        ],
        temperature=0,
    )
    assert answer.choices[0].message.content


def test_a_second_turn_finds_its_prompt_in_the_cache(client):
    # Longer than a block of the KV cache.
    messages = ask("What is 2+2? " * 20)
    first = client.chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=8)
    messages += [
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": "And 3+3?"},
    ]
    second = client.chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=8)
    assert second.usage.prompt_tokens_details.cached_tokens > 0


def test_unknown_models_are_not_found(client):
    with pytest.raises(openai.NotFoundError) as failure:
        client.chat.completions.create(model="nobody", messages=ask("hello"))
    assert failure.value.code == "model_not_found"
    assert failure.value.param == "model"
    assert "demo" in failure.value.message


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stop": [1]}, "stop"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"presence_penalty": 2.1}, "presence_penalty"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].type",
        ),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)
def test_what_is_wrong_is_named(client, fields, param):
    request = {"model": MODEL, "messages": ask("hello"), "max_tokens": 1, **fields}
    with pytest.raises(openai.BadRequestError) as failure:
        client.chat.completions.create(**request)
    assert failure.value.param == param
    assert failure.value.type == "invalid_request_error"
    assert failure.value.message


def test_a_prompt_that_is_too_long(client):
    with pytest.raises(openai.BadRequestError) as failure:
        client.chat.completions.create(model=MODEL, messages=ask("word " * 3000))
    assert failure.value.code == "context_length_exceeded"
    assert "maximum context length is 1024 tokens" in failure.value.message


def test_fields_that_change_no_answer_are_taken(client):
    answer = client.chat.completions.create(
        model=MODEL,
        messages=ask("What is 2+2?"),
        temperature=0,
        user="somebody",
        metadata={"a": "b"},
        store=False,
        response_format={"type": "text"},
        tools=[],
        extra_body={"a_field_that_nobody_knows": 1},
    )
    assert answer.choices[0].message.content == "2 + 2 = 4"


def test_a_client_that_goes_away_frees_its_place(client, server):
    # More streams than run at once, each abandoned after its first piece: the next requests go through.
    for _ in range(24):
        stream = client.chat.completions.create(
            model=MODEL, messages=ask("Count to a thousand."), max_tokens=900, stream=True, temperature=1
        )
        next(iter(stream))
        stream.close()
    answer = client.chat.completions.create(model=MODEL, messages=ask("What is 2+2?"), temperature=0)
    assert answer.choices[0].message.content == "2 + 2 = 4"


def test_a_timeout_of_the_client(client):
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.001).chat.completions.create(
            model=MODEL, messages=ask("Tell me a story."), max_tokens=900
        )
