"""Answers that do not fit the request, in the form of each provider."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import anthropic
import openai
import pytest
from pydantic import BaseModel

from ai_clients.simulator.misanswers import REFUSAL

CHAT: dict[str, Any] = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "What is late?"}]}
RESPONSE: dict[str, Any] = {"model": "gpt-4.1-mini", "input": "What is late?"}
MESSAGE: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 300,
    "messages": [{"role": "user", "content": "What is late?"}],
}


class Word(BaseModel):
    word: str


def test_refusals(openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> None:
    headers = {"X-Simulator-Answer": "refused"}
    choice = openai_client.chat.completions.create(**CHAT, extra_headers=headers).choices[0]
    assert (choice.message.content, choice.message.refusal, choice.finish_reason) == (None, REFUSAL, "stop")
    parsed = openai_client.chat.completions.parse(**CHAT, response_format=Word, extra_headers=headers)
    assert (parsed.choices[0].message.refusal, parsed.choices[0].message.parsed) == (REFUSAL, None)
    response: Any = openai_client.responses.create(**RESPONSE, extra_headers=headers)
    assert [part.model_dump() for part in response.output[0].content] == [{"type": "refusal", "refusal": REFUSAL}]
    message = anthropic_client.messages.create(**MESSAGE, extra_headers=headers)
    assert (message.stop_reason, message.content) == ("refusal", [])
    assert message.stop_details is not None
    assert message.stop_details.explanation == REFUSAL
    assert message.usage.output_tokens > 0


def test_refused_pictures_are_an_error(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.images.generate(model="gpt-image-1", prompt="p", extra_headers={"X-Simulator-Answer": "refused"})
    assert caught.value.code == "moderation_blocked"


def test_cut_off_answers(openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> None:
    headers = {"X-Simulator-Answer": "cut-off"}
    whole = openai_client.chat.completions.create(**CHAT).choices[0].message.content or ""
    choice = openai_client.chat.completions.create(**CHAT, extra_headers=headers).choices[0]
    assert (choice.message.content, choice.finish_reason) == (whole[: len(whole) // 2], "length")
    with pytest.raises(openai.LengthFinishReasonError):
        openai_client.chat.completions.parse(**CHAT, response_format=Word, extra_headers=headers)
    response = openai_client.responses.create(**RESPONSE, extra_headers=headers)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    message: Any = anthropic_client.messages.create(**MESSAGE, extra_headers=headers)
    assert message.stop_reason == "max_tokens"
    assert message.content[0].text


def test_text_of_ones_own(openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> None:
    headers = {"X-Simulator-Text": quote("не JSON")}
    assert openai_client.chat.completions.create(**CHAT, extra_headers=headers).choices[0].message.content == "не JSON"
    assert openai_client.responses.create(**RESPONSE, extra_headers=headers).output_text == "не JSON"
    message: Any = anthropic_client.messages.create(**MESSAGE, extra_headers=headers)
    assert [block.text for block in message.content] == ["не JSON"]
    images = openai_client.images.generate(model="gpt-image-1", prompt="p", extra_headers={"X-Simulator-Text": "AAAA"})
    assert images.data is not None
    assert [image.b64_json for image in images.data] == ["AAAA"]


def test_unknown_wish_is_refused(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="give refused or cut-off"):
        openai_client.chat.completions.create(**CHAT, extra_headers={"X-Simulator-Answer": "good"})
