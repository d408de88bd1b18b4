"""The rule of usage: how many tokens the simulator reports, worked out from the request and the answer alone.

**A text** of n characters (Unicode code points) is `count(text)` = ceil(n / 4) tokens. Each text part is
counted on its own and the counts are added.

**Input** is the sum of

- `count()` of every text of the messages, input items, system prompt and instructions; the input of a tool
  use or the arguments of a function call counts as its text (compact JSON);
- `MESSAGE_TOKENS` for each entry of `messages` or `input` (a plain string `input` is one entry);
- `ATTACHMENT_TOKENS` for each image, audio clip or file;
- `count()` of each tool definition as compact JSON, `compact_json(tool)`.

Response formats, the names of roles and sampling parameters cost nothing. An embedding or image prompt is
`count(text)` with no constant; an embedding input given as a list of token numbers is its length.

**Output** is `count()` of each text written (thinking included), for a tool call `count(name)` +
`count(arguments as compact JSON)`, plus, for OpenAI's reasoning models, `reasoning_tokens()`. The answer is
about `answer_tokens()` long and never longer than the caller's limit of tokens.

**OpenAI's prompt cache**: `openai_cached_tokens()`, part of the input. **Anthropic's**: everything up to and
including a block marked with `cache_control` is written to the cache with the ttl of that block, and
`input_tokens` is the rest; nothing is ever reported as read, because the same request must cost the same.

**Images**: `image_output_tokens()` for each image, `PARTIAL_IMAGE_TOKENS` for each partial one.
"""

import json

CHARACTERS_PER_TOKEN = 4
MESSAGE_TOKENS = 4
ATTACHMENT_TOKENS = 256
PARTIAL_IMAGE_TOKENS = 100

_REASONING_MODELS = ("o1", "o3", "o4", "gpt-5", "gpt-6")
_REASONING_STEP = 64

_SQUARE, _PORTRAIT, _LANDSCAPE = "1024x1024", "1024x1536", "1536x1024"
# "Image generation", cost and latency table of the OpenAI guide; xhigh and max are a guess made here.
_IMAGE_TOKENS = {
    "low": {_SQUARE: 272, _PORTRAIT: 408, _LANDSCAPE: 400},
    "medium": {_SQUARE: 1056, _PORTRAIT: 1584, _LANDSCAPE: 1568},
    "high": {_SQUARE: 4160, _PORTRAIT: 6240, _LANDSCAPE: 6208},
    "xhigh": {_SQUARE: 8320, _PORTRAIT: 12480, _LANDSCAPE: 12416},
    "max": {_SQUARE: 16640, _PORTRAIT: 24960, _LANDSCAPE: 24832},
}


def count(text: str) -> int:
    """Tokens of one text: its characters divided by four, rounded up."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def compact_json(value: object) -> str:
    """JSON without spaces, characters as they are: the text under which structured values are counted."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def answer_tokens(prompt_tokens: int) -> int:
    """Tokens of visible text the simulator aims at: 24 and a quarter of the prompt's, at most 512."""
    return min(24 + prompt_tokens // 4, 512)


def is_reasoning_model(model: str) -> bool:
    return model.startswith(_REASONING_MODELS)


def reasoning_tokens(model: str, prompt_tokens: int, *, effort: str | None, limit: int | None) -> int:
    """Tokens of hidden reasoning: 64, and 64 more for each full 1,024 of the prompt, at most 1,024.

    Never more than half of the caller's `limit`, so that there is room to answer. Zero for other models
    and for the efforts `none` and `minimal`.
    """
    if not is_reasoning_model(model) or effort in ("none", "minimal"):
        return 0
    thought = min(_REASONING_STEP * (1 + prompt_tokens // 1024), 1024)
    return thought if limit is None else min(thought, limit // 2)


def openai_cached_tokens(prompt_tokens: int, *, prompt_cache_key: str | None) -> int:
    """Prompt tokens read from OpenAI's cache: with a key and at least 1,024, the whole steps of 128."""
    if not prompt_cache_key or prompt_tokens < 1024:
        return 0
    return prompt_tokens // 128 * 128


def image_output_tokens(size: str, quality: str) -> int:
    """Tokens of one finished image; a size outside the table counts as 1024x1024, a quality as medium."""
    by_size = _IMAGE_TOKENS.get(quality, _IMAGE_TOKENS["medium"])
    return by_size.get(size, by_size[_SQUARE])
