"""Usage blocks of the demo's calls, in the providers' formats (reference: `ai_clients/usage`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from usage_billing.recording.event import Flavour

URLS: dict[Flavour, str] = {
    "chat": "https://api.openai.com/v1/chat/completions",
    "responses": "https://api.openai.com/v1/responses",
    "embeddings": "https://api.openai.com/v1/embeddings",
    "images": "https://api.openai.com/v1/images/generations",
    "transcription": "https://api.openai.com/v1/audio/transcriptions",
    "speech": "https://api.openai.com/v1/audio/speech",
    "messages": "https://api.anthropic.com/v1/messages",
}


@dataclass(frozen=True)
class Counts:
    """Tokens of a call; `read` from the cache and `written` to it are parts of `tokens_in`."""

    tokens_in: int
    tokens_out: int
    read: int = 0
    written: int = 0


def block(api: Flavour, counts: Counts) -> dict[str, Any] | None:
    """The provider's usage block; None for speech, whose answer has none."""
    total = counts.tokens_in + counts.tokens_out
    match api:
        case "messages":
            return {
                "input_tokens": counts.tokens_in - counts.read - counts.written,
                "cache_creation_input_tokens": counts.written,
                "cache_read_input_tokens": counts.read,
                "output_tokens": counts.tokens_out,
                "service_tier": "standard",
            }
        case "chat":
            return {
                "prompt_tokens": counts.tokens_in,
                "completion_tokens": counts.tokens_out,
                "total_tokens": total,
                "prompt_tokens_details": {"cached_tokens": counts.read},
            }
        case "responses":
            return {
                "input_tokens": counts.tokens_in,
                "input_tokens_details": {"cached_tokens": counts.read},
                "output_tokens": counts.tokens_out,
                "output_tokens_details": {"reasoning_tokens": counts.tokens_out // 3},
                "total_tokens": total,
            }
        case "embeddings":
            return {"prompt_tokens": counts.tokens_in, "total_tokens": counts.tokens_in}
        case "images":
            return {
                "input_tokens": counts.tokens_in,
                "input_tokens_details": {"text_tokens": counts.tokens_in, "image_tokens": 0},
                "output_tokens": counts.tokens_out,
                "total_tokens": total,
            }
        case "transcription":
            return {"type": "duration", "seconds": counts.tokens_in}
        case _:
            return None


def units(api: Flavour, counts: Counts) -> dict[str, int | float]:
    """Units that the answer does not report: the characters of a text to speak."""
    return {"input_characters": counts.tokens_in} if api == "speech" else {}
