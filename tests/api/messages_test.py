"""/v1/messages by Anthropic's own client."""

import anthropic
import pytest

MODEL = "demo"
GREEDY = {"temperature": 0}  # newer versions of the client have no argument for it


@pytest.fixture(scope="module")
def client(server):
    return anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=120)


def ask(text):
    return [{"role": "user", "content": text}]


def test_a_message(client):
    answer = client.messages.create(model=MODEL, max_tokens=64, messages=ask("What is 2+2?"), extra_body=GREEDY)
    assert answer.type == "message" and answer.role == "assistant" and answer.id.startswith("msg_")
    assert [block.type for block in answer.content] == ["text"]
    assert answer.content[0].text == "2 + 2 = 4"
    assert answer.stop_reason == "end_turn" and answer.stop_sequence is None
    assert answer.usage.output_tokens == 7
    assert answer.usage.input_tokens + answer.usage.cache_read_input_tokens > 5


def test_a_stream(client):
    with client.messages.stream(
        model=MODEL, max_tokens=64, messages=ask("What is 2+2?"), extra_body=GREEDY
    ) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_message()
    assert final.content[0].text == "2 + 2 = 4"
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == 7
    assert events[0] == "message_start" and events[-1] == "message_stop"
    assert "content_block_start" in events and "content_block_stop" in events


def test_stop_sequences_and_length(client):
    request = dict(model=MODEL, messages=ask("What is 2+2?"), extra_body=GREEDY)
    answer = client.messages.create(**request, max_tokens=64, stop_sequences=[" = "])
    assert answer.content[0].text == "2 + 2"
    assert answer.stop_reason == "stop_sequence" and answer.stop_sequence == " = "
    assert client.messages.create(**request, max_tokens=3).stop_reason == "max_tokens"


def test_a_system_prompt_blocks_and_the_beginning_of_an_answer(client):
    answer = client.messages.create(
        model=MODEL,
        max_tokens=64,
        extra_body=GREEDY,
        system=[{"type": "text", "text": "You are a calculator."}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "What is 2+2?"}]},
            {"role": "assistant", "content": "2 + 2 ="},
        ],
    )
    assert not answer.content[0].text.startswith("2 + 2")


def test_tokens_are_counted(client):
    count = client.messages.count_tokens(model=MODEL, messages=ask("What is 2+2?")).input_tokens
    answer = client.messages.create(model=MODEL, max_tokens=1, messages=ask("What is 2+2?"))
    assert count == answer.usage.input_tokens + answer.usage.cache_read_input_tokens


def test_errors_are_typed(client):
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="nobody", max_tokens=1, messages=ask("x"))
    assert missing.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError) as wrong:
        client.messages.create(model=MODEL, max_tokens=0, messages=ask("x"))
    assert "max_tokens" in wrong.value.body["error"]["message"]
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model=MODEL, max_tokens=5, messages=[])
    with pytest.raises(anthropic.BadRequestError) as tools:
        client.messages.create(
            model=MODEL, max_tokens=5, messages=ask("x"), tools=[{"name": "f", "input_schema": {"type": "object"}}]
        )
    assert "tools" in tools.value.body["error"]["message"]
