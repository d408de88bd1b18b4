"""Images through the official OpenAI SDK."""

import base64
import zlib

import openai
import pytest

from ai_clients.simulator import png
from ai_clients.simulator.tokens import PARTIAL_IMAGE_TOKENS, count

MODEL = "gpt-image-2"
PROMPT = "A ledger on a wooden desk"


def assert_is_png(b64_json: str | None) -> None:
    image = base64.b64decode(b64_json or "")
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    start = image.index(b"IDAT")
    length = int.from_bytes(image[start - 4 : start], "big")
    assert len(zlib.decompress(image[start + 4 : start + 4 + length])) == png.PIXELS * (1 + 3 * png.PIXELS)


def test_generate_reports_usage_by_the_table(openai_client: openai.OpenAI) -> None:
    answer = openai_client.images.generate(model=MODEL, prompt=PROMPT, n=2, size="1536x1024", quality="high")
    assert answer.data is not None
    assert len(answer.data) == 2
    assert_is_png(answer.data[0].b64_json)
    assert answer.data[0].b64_json != answer.data[1].b64_json
    assert answer.usage is not None
    assert answer.usage.to_dict() == {
        "input_tokens": count(PROMPT),
        "input_tokens_details": {"text_tokens": count(PROMPT), "image_tokens": 0},
        "output_tokens": 2 * 6208,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": 2 * 6208},
        "total_tokens": count(PROMPT) + 2 * 6208,
    }


def test_generate_chooses_when_left_to_it(openai_client: openai.OpenAI) -> None:
    answer = openai_client.images.generate(model=MODEL, prompt=PROMPT, size="auto")
    assert (answer.size, answer.quality, answer.output_format) == ("1024x1024", "medium", "png")
    assert answer.usage is not None
    assert answer.usage.output_tokens == 1056


def test_stream_sends_partial_images_and_the_finished_one(openai_client: openai.OpenAI) -> None:
    events = list(
        openai_client.images.generate(model=MODEL, prompt=PROMPT, quality="low", stream=True, partial_images=2)
    )
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    last = events[-1]
    assert last.type == "image_generation.completed"
    assert_is_png(last.b64_json)
    assert last.usage.output_tokens == 272 + 2 * PARTIAL_IMAGE_TOKENS
    assert last.usage.input_tokens == count(PROMPT)


@pytest.mark.anyio
async def test_async_generate_and_stream(async_openai_client: openai.AsyncOpenAI) -> None:
    answer = await async_openai_client.images.generate(model=MODEL, prompt=PROMPT)
    stream = await async_openai_client.images.generate(model=MODEL, prompt=PROMPT, stream=True)
    events = [event async for event in stream]
    assert answer.data is not None
    assert [event.b64_json for event in events] == [image.b64_json for image in answer.data]
