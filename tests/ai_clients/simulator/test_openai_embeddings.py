"""Embeddings through the official OpenAI SDK."""

import math

import openai
import pytest

from ai_clients.simulator.tokens import count

MODEL = "text-embedding-3-small"


def test_create_gives_unit_vectors_in_order(openai_client: openai.OpenAI) -> None:
    answer = openai_client.embeddings.create(model=MODEL, input=["late invoices", "paid invoices"])
    assert [embedding.index for embedding in answer.data] == [0, 1]
    first, second = (embedding.embedding for embedding in answer.data)
    assert len(first) == 1536
    assert math.isclose(math.hypot(*first), 1, rel_tol=1e-5)
    assert first != second
    expected = count("late invoices") + count("paid invoices")
    assert answer.usage.to_dict() == {"prompt_tokens": expected, "total_tokens": expected}


def test_create_gives_the_same_numbers_in_both_encodings(openai_client: openai.OpenAI) -> None:
    by_default = openai_client.embeddings.create(model=MODEL, input="late invoices")
    as_floats = openai_client.embeddings.create(model=MODEL, input="late invoices", encoding_format="float")
    as_base64 = openai_client.embeddings.create(model=MODEL, input="late invoices", encoding_format="base64")
    assert by_default.data[0].embedding == as_floats.data[0].embedding
    assert isinstance(as_base64.data[0].embedding, str)


def test_create_honours_dimensions(openai_client: openai.OpenAI) -> None:
    answer = openai_client.embeddings.create(model=MODEL, input="late invoices", dimensions=256)
    assert len(answer.data[0].embedding) == 256
    large = openai_client.embeddings.create(model="text-embedding-3-large", input="late invoices")
    assert len(large.data[0].embedding) == 3072


def test_create_counts_token_numbers_as_they_are(openai_client: openai.OpenAI) -> None:
    one = openai_client.embeddings.create(model=MODEL, input=[1, 2, 3])
    assert (len(one.data), one.usage.prompt_tokens) == (1, 3)
    two = openai_client.embeddings.create(model=MODEL, input=[[1, 2, 3], [4, 5]])
    assert (len(two.data), two.usage.prompt_tokens) == (2, 5)


def test_create_refuses_what_is_no_input(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Invalid 'input'"):
        openai_client.embeddings.create(model=MODEL, input=[])


@pytest.mark.anyio
async def test_async_create(openai_client: openai.OpenAI, async_openai_client: openai.AsyncOpenAI) -> None:
    answer = await async_openai_client.embeddings.create(model=MODEL, input="late invoices")
    assert answer == openai_client.embeddings.create(model=MODEL, input="late invoices")
