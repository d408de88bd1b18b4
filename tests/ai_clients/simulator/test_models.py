"""The lists of models through both SDKs."""

import anthropic
import openai
import pytest


def test_openai_list_names_chat_embedding_and_image_models(openai_client: openai.OpenAI) -> None:
    names = {model.id for model in openai_client.models.list()}
    assert names >= {"gpt-4.1-mini", "text-embedding-3-small", "gpt-image-2"}


def test_anthropic_list_is_one_page(anthropic_client: anthropic.Anthropic) -> None:
    page = anthropic_client.models.list()
    assert page.has_more is False
    assert page.first_id == page.data[0].id
    assert page.last_id == page.data[-1].id
    assert "claude-sonnet-4-6" in {model.id for model in page}


@pytest.mark.anyio
async def test_async_lists(
    async_openai_client: openai.AsyncOpenAI, async_anthropic_client: anthropic.AsyncAnthropic
) -> None:
    assert (await async_openai_client.models.list()).data
    assert (await async_anthropic_client.models.list()).data
