"""The rule of usage, number by number."""

import pytest

from ai_clients.simulator import tokens


@pytest.mark.parametrize(
    ("text", "expected"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("привет", 2), ("😀" * 5, 2)]
)
def test_count_is_characters_by_four_rounded_up(text: str, expected: int) -> None:
    assert tokens.count(text) == expected


def test_compact_json_keeps_characters_and_drops_spaces() -> None:
    assert tokens.compact_json({"город": ["Омск", 1]}) == '{"город":["Омск",1]}'


@pytest.mark.parametrize(
    ("model", "prompt_tokens", "effort", "limit", "expected"),
    [
        ("gpt-5-mini", 10, None, None, 64),
        ("o3", 1024, None, None, 128),
        ("o4-mini", 1_000_000, "high", None, 1024),
        ("gpt-6-sol", 10, None, 50, 25),
        ("gpt-5", 10, "minimal", None, 0),
        ("gpt-5.4", 10, "none", None, 0),
        ("gpt-4.1", 10, None, None, 0),
    ],
)
def test_reasoning_tokens(model: str, prompt_tokens: int, effort: str | None, limit: int | None, expected: int) -> None:
    assert tokens.reasoning_tokens(model, prompt_tokens, effort=effort, limit=limit) == expected


@pytest.mark.parametrize(
    ("prompt_tokens", "key", "expected"),
    [(1023, "k", 0), (1024, "k", 1024), (1300, "k", 1280), (1300, None, 0), (1300, "", 0)],
)
def test_openai_cached_tokens(prompt_tokens: int, key: str | None, expected: int) -> None:
    assert tokens.openai_cached_tokens(prompt_tokens, prompt_cache_key=key) == expected


@pytest.mark.parametrize(
    ("size", "quality", "expected"),
    [
        ("1024x1024", "low", 272),
        ("1536x1024", "high", 6208),
        ("64x64", "low", 272),
        ("1024x1024", "hd", 1056),
    ],
)
def test_image_output_tokens(size: str, quality: str, expected: int) -> None:
    assert tokens.image_output_tokens(size, quality) == expected
