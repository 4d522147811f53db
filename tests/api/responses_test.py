"""/v1/responses by OpenAI's own client."""

import openai
import pytest

MODEL = "demo"


def test_a_response(client):
    response = client.responses.create(model=MODEL, input="What is 2+2?", temperature=0)
    assert response.object == "response" and response.id.startswith("resp_")
    assert response.status == "completed"
    assert response.output_text == "2 + 2 = 4"
    assert response.usage.output_tokens == 7
    assert response.usage.total_tokens == response.usage.input_tokens + 7


def test_instructions_and_items(client):
    response = client.responses.create(
        model=MODEL,
        instructions="You are a calculator.",
        input=[
            {"role": "user", "content": "Hello"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello!"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "What is 2+2?"}]},
        ],
        temperature=0,
        max_output_tokens=5,
    )
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.instructions == "You are a calculator."
    assert response.usage.output_tokens == 5


def test_a_stream(client):
    events = list(client.responses.create(model=MODEL, input="What is 2+2?", temperature=0, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    types = [event.type for event in events]
    assert types[0] == "response.created" and types[-1] == "response.completed"
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == "2 + 2 = 4" == events[-1].response.output_text


def test_the_streaming_helper_of_the_client(client):
    with client.responses.stream(model=MODEL, input="What is 2+2?", temperature=0) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == "2 + 2 = 4"


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]}, "input[0].type"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_what_is_not_there_is_named(client, fields, param):
    with pytest.raises(openai.BadRequestError) as failure:
        client.responses.create(**{"model": MODEL, "input": "x", **fields})
    assert failure.value.param == param
