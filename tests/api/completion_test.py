"""/v1/completions by OpenAI's own client."""

import math

import openai
import pytest

MODEL = "demo"


def test_a_completion(client):
    answer = client.completions.create(model=MODEL, prompt="2 + 2 =", temperature=0)
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.usage.completion_tokens <= 16  # OpenAI's default
    assert answer.choices[0].finish_reason in ("stop", "length")


def test_streamed_pieces_join_to_the_whole(client):
    request = dict(model=MODEL, prompt="Once upon a time", temperature=0, max_tokens=40)
    whole = client.completions.create(**request).choices[0].text
    chunks = list(client.completions.create(**request, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole
    assert chunks[-1].choices[0].finish_reason
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1


def test_several_prompts_with_several_choices_each(client):
    prompts = ["one two", "three four"]
    answer = client.completions.create(model=MODEL, prompt=prompts, n=2, max_tokens=5, echo=True, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    for choice, prompt in zip(answer.choices, ["one two", "one two", "three four", "three four"]):
        assert choice.text.startswith(prompt)


def test_tokens_as_prompt(client, server):
    import httpx

    tokens = httpx.post(server.url + "/tokenize", json={"prompt": "Once upon a time"}).json()["tokens"]
    request = dict(model=MODEL, temperature=0, max_tokens=20)
    by_text = client.completions.create(**request, prompt="Once upon a time").choices[0].text
    by_tokens = client.completions.create(**request, prompt=tokens).choices[0].text
    by_lists = client.completions.create(**request, prompt=[tokens, tokens])
    assert by_tokens == by_text
    assert [choice.text for choice in by_lists.choices] == [by_text, by_text]


def test_logprobs_of_prompt_and_answer(client):
    answer = client.completions.create(
        model=MODEL, prompt="Once upon a time", temperature=0, max_tokens=6, echo=True, logprobs=2
    )
    table = answer.choices[0].logprobs
    assert "".join(table.tokens) == answer.choices[0].text
    assert table.token_logprobs[0] is None  # nothing is before the first
    assert all(logprob <= 0 for logprob in table.token_logprobs[1:])
    for token, offset in zip(table.tokens, table.text_offset):
        assert answer.choices[0].text[offset : offset + len(token)] == token
    assert all(2 <= len(top) <= 3 for top in table.top_logprobs[1:])

    # The prompt alone, as evaluations ask for it, has the same.
    prompt_only = client.completions.create(
        model=MODEL, prompt="Once upon a time", max_tokens=0, echo=True, logprobs=2
    )
    alone = prompt_only.choices[0].logprobs
    assert prompt_only.choices[0].text == "Once upon a time"
    assert prompt_only.usage.completion_tokens == 0
    for first, second in zip(alone.token_logprobs[1:], table.token_logprobs[1:]):
        assert math.isclose(first, second, abs_tol=0.1)


def test_the_best_of_several(client):
    request = dict(model=MODEL, prompt="Once upon a time", max_tokens=8, temperature=1.5, seed=3, logprobs=0)
    every = client.completions.create(**request, n=4)
    best = client.completions.create(**request, n=1, best_of=4)

    def mean(choice):
        return sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs)

    assert best.choices[0].text == max(every.choices, key=mean).text
    assert len(best.choices) == 1


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": [1, "two"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 2, "n": 3}, "best_of"),
        ({"best_of": 3, "stream": True}, "best_of"),
        ({"logprobs": 21}, "logprobs"),
    ],
)
def test_what_is_wrong_is_named(client, fields, param):
    with pytest.raises(openai.BadRequestError) as failure:
        client.completions.create(**{"model": MODEL, "prompt": "x", **fields})
    assert failure.value.param == param


def test_a_token_beyond_the_vocabulary_is_refused(client):
    with pytest.raises(openai.BadRequestError) as failure:
        client.completions.create(model=MODEL, prompt=[10_000_000])
    assert "10000000" in failure.value.message
