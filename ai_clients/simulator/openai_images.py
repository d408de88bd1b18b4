"""`POST images/generations`: images of OpenAI, whole or in a stream of partial ones."""

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from openai.types import Image, ImageGenCompletedEvent, ImageGenPartialImageEvent, ImagesResponse
from openai.types.image_gen_completed_event import Usage as StreamedUsage
from openai.types.image_gen_completed_event import UsageInputTokensDetails as StreamedInputTokensDetails
from openai.types.images_response import Usage, UsageInputTokensDetails, UsageOutputTokensDetails

from ai_clients.simulator import png, tokens, wire
from ai_clients.simulator.answers import Answer, JsonObject, Plain, Streamed
from ai_clients.simulator.errors import openai_image_stream_error
from ai_clients.simulator.requests import openai_required, positive_integer

_MOST_IMAGES = 10
_MOST_PARTIAL_IMAGES = 3


@dataclass(frozen=True, slots=True)
class _Commission:
    """The request with the provider's automatic choices filled in: 1024x1024, medium, opaque, png."""

    prompt: str
    images: int
    partial_images: int
    size: str
    quality: str
    background: str
    output_format: str

    @property
    def input_tokens(self) -> int:
        return tokens.count(self.prompt)

    @property
    def output_tokens(self) -> int:
        finished = tokens.image_output_tokens(self.size, self.quality) * self.images
        return finished + tokens.PARTIAL_IMAGE_TOKENS * self.partial_images


def answer(body: JsonObject) -> Answer:
    """Draw the images; all of them are small PNGs, whatever size and format the answer names."""
    prompt: str = openai_required(body, "prompt", str)
    is_streamed = bool(body.get("stream"))
    partial_images = (positive_integer(body, "partial_images") or 0) if is_streamed else 0
    commission = _Commission(
        prompt=prompt,
        images=1 if is_streamed else min(positive_integer(body, "n") or 1, _MOST_IMAGES),
        partial_images=min(partial_images, _MOST_PARTIAL_IMAGES),
        size=_choice(body, "size", "1024x1024"),
        quality=_choice(body, "quality", "medium"),
        background=_choice(body, "background", "opaque"),
        output_format=_choice(body, "output_format", "png"),
    )
    if is_streamed:
        return Streamed(list(_events(commission)), openai_image_stream_error)
    return Plain(wire.body(_images(commission)))


def _images(commission: _Commission) -> ImagesResponse:
    return ImagesResponse.construct(
        created=int(time.time()),
        background=commission.background,
        data=[Image(b64_json=_draw(commission, place)) for place in range(commission.images)],
        output_format=commission.output_format,
        quality=commission.quality,
        size=commission.size,
        usage=Usage(
            input_tokens=commission.input_tokens,
            input_tokens_details=UsageInputTokensDetails(text_tokens=commission.input_tokens, image_tokens=0),
            output_tokens=commission.output_tokens,
            output_tokens_details=UsageOutputTokensDetails(text_tokens=0, image_tokens=commission.output_tokens),
            total_tokens=commission.input_tokens + commission.output_tokens,
        ),
    )


def _events(commission: _Commission) -> Iterator[bytes]:
    described: dict[str, Any] = {
        "created_at": int(time.time()),
        "background": commission.background,
        "output_format": commission.output_format,
        "quality": commission.quality,
        "size": commission.size,
    }
    for place in range(commission.partial_images):
        kind = "image_generation.partial_image"
        partial = ImageGenPartialImageEvent.construct(
            type=kind, b64_json=_draw(commission, place + 1), partial_image_index=place, **described
        )
        yield wire.named_event(kind, partial)
    usage = StreamedUsage(
        input_tokens=commission.input_tokens,
        input_tokens_details=StreamedInputTokensDetails(text_tokens=commission.input_tokens, image_tokens=0),
        output_tokens=commission.output_tokens,
        total_tokens=commission.input_tokens + commission.output_tokens,
    )
    kind = "image_generation.completed"
    completed = ImageGenCompletedEvent.construct(type=kind, b64_json=_draw(commission, 0), usage=usage, **described)
    yield wire.named_event(kind, completed)


def _draw(commission: _Commission, place: int) -> str:
    colour = crc32(f"{place}{commission.prompt}".encode("utf-8", "replace"))
    return base64.b64encode(png.draw(colour & 255, colour >> 8 & 255, colour >> 16 & 255)).decode()


def _choice(body: JsonObject, name: str, automatic: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) and value != "auto" else automatic
