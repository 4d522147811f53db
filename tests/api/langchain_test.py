"""LangChain's chat class."""

from langchain_openai import ChatOpenAI


def chat(server, **fields):
    return ChatOpenAI(
        model="demo", base_url=server.url + "/v1", api_key="none", temperature=0, max_retries=0, timeout=120, **fields
    )


def test_invoke_stream_and_batch(server):
    model = chat(server)
    answer = model.invoke([("system", "You are a calculator."), ("human", "What is 2+2?")])
    assert answer.usage_metadata["output_tokens"] > 0
    pieces = list(model.stream("What is 2+2?"))
    assert "".join(piece.content for piece in pieces) == "2 + 2 = 4"
    answers = model.batch(["What is 2+2?", "What is 3+3?"])
    assert answers[0].content == "2 + 2 = 4" and answers[1].content == "3 + 3 = 6"
