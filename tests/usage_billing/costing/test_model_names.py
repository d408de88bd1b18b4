"""A name with a vendor, a region or a version around it means its own model, and never another one."""

import pytest

from usage_billing.costing import model_names

HAIKU = "claude-haiku-4-5-20251001-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012"


def found(provider: str, name: str) -> str | None:
    model = model_names.find(provider, name)
    return f"{model[0].id}/{model[1].id}" if model else None


# LiteLLM, Providers: a vendor in front. Amazon Bedrock, Inference profiles: a geography in front, or an ARN. Anthropic,
# Claude on Vertex AI: the date behind an @.
@pytest.mark.parametrize(
    ("provider", "name", "model"),
    [
        ("openai", "openai/gpt-4.1-mini", "openai/gpt-4.1-mini"),
        ("openai", "anthropic/claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("openai", "azure/gpt-4.1", "azure/gpt-4.1"),
        ("anthropic", "anthropic/claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("llm.example.com", "openai/gpt-4.1-mini", "openai/gpt-4.1-mini"),
        ("openai", "gemini/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("openai", "xai/grok-4.20", "x-ai/grok-4.20"),
        ("openai", "vertex_ai/claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
        ("openai", f"bedrock/us.anthropic.{HAIKU}", f"aws/regional.anthropic.{HAIKU}"),
        ("openai", f"bedrock/us-east-1/anthropic.{HAIKU}", f"aws/regional.anthropic.{HAIKU}"),
        ("openai", f"us.anthropic.{HAIKU}", f"aws/regional.anthropic.{HAIKU}"),
        ("llm.example.com", f"{ARN}:inference-profile/eu.anthropic.{HAIKU}", f"aws/regional.anthropic.{HAIKU}"),
        ("aws", f"{ARN}:inference-profile/global.anthropic.{HAIKU}", f"aws/global.anthropic.{HAIKU}"),
        ("aws", "anthropic.claude-haiku-4-5", f"aws/regional.anthropic.{HAIKU}"),
        ("aws", "global.anthropic.claude-haiku-4-5", f"aws/global.anthropic.{HAIKU}"),
        ("google", "models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("google", "google/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("google", "publishers/google/models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("anthropic", "claude-sonnet-4-5@20250929", "anthropic/claude-sonnet-4-5"),
        ("openrouter", "openai/gpt-4o", "openrouter/openai/gpt-4o"),
        ("openai", "openrouter/openai/gpt-4o", "openrouter/openai/gpt-4o"),
        # Behind an address on this machine, only one vendor makes this family.
        ("openai", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("openai", "claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5"),
    ],
)
def test_name_means_its_model_at_the_provider_that_serves_it(provider: str, name: str, model: str) -> None:
    assert found(provider, name) == model


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("openai", "openai/gpt-4.1-turbo"),
        ("openai", "gpt-5.9-sol"),
        ("anthropic", "claude-haiku-4-5-turbo"),
        ("openai", "anthropic/claude-haiku-4-5-ultra"),
        ("openai", "anthropic/claude-opus-4-88"),
        ("aws", "us.anthropic.claude-haiku-4-5-nano"),
        ("google", "claude-haiku-4-5-preview@20251001"),
        ("aws", f"{ARN}:application-inference-profile/abc123"),
        # This provider sets the price: another one's list says nothing.
        ("groq", "openai/gpt-4.1-mini"),
        ("openrouter", "gpt-4.1-mini"),
        # Anybody may serve these under the vendor's name, and at an unknown host any model.
        ("openai", "openai/gpt-oss-120b"),
        ("llm.example.com", "google/gemma-3-27b-it"),
        ("llm.example.com", "mistralai/Mistral-7B-Instruct-v0.3"),
        ("llm.example.com", "gpt-4.1-mini"),
        ("openai", ""),
        ("openai", "/"),
        ("openai", "openai/"),
    ],
)
def test_name_never_means_another_model(provider: str, name: str) -> None:
    assert found(provider, name) is None


@pytest.mark.parametrize(
    "name",
    [
        "claude-3-5-sonnet-20241022",
        "claude-3-5-sonnet-v2@20241022",
        "claude-opus-4-20250514",
        "claude-sonnet-4@20250514",
        "claude-opus-4-1-20250805",
        "claude-3-opus-latest",
        "claude-2.1",
        "claude-sonnet-5.5",
        "claude-haiku-5-5-20260929",
    ],
)
def test_versions_of_a_claude_are_known(name: str) -> None:
    assert found("anthropic", name) is not None
