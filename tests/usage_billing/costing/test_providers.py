"""The host of a call tells who answered."""

import pytest

from usage_billing.costing import providers


# The hosts of the SDKs' clients: openai/lib/azure.py, openai/providers, anthropic/lib.
@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("mtls.api.openai.com", "openai"),
        ("api.anthropic.com", "anthropic"),
        ("acme.openai.azure.com", "azure"),
        ("acme.services.ai.azure.com", "azure"),
        ("acme.cognitiveservices.azure.com", "azure"),
        ("eastus.api.cognitive.microsoft.com", "azure"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws"),
        ("bedrock-runtime-fips.us-east-1.amazonaws.com", "aws"),
        ("bedrock-runtime.us-east-1.api.aws", "aws"),
        ("bedrock-mantle.eu-west-1.api.aws", "aws"),
        ("us-east5-aiplatform.googleapis.com", "google"),
        ("aiplatform.googleapis.com", "google"),
        ("aiplatform.eu.rep.googleapis.com", "google"),
        ("generativelanguage.googleapis.com", "google"),
        # Anthropic runs these, at the prices of its API (Pricing, Claude Platform on AWS).
        ("aws-external-anthropic.us-east-1.api.aws", "anthropic"),
        ("claude.googleapis.com", "anthropic"),
        ("openrouter.ai", "openrouter"),
        ("api.x.ai", "x-ai"),
        ("us-east-1.api.x.ai", "x-ai"),
        ("api.perplexity.ai", "perplexity"),
        # Others that only look like one of them.
        ("api.openai.com.example", "api.openai.com.example"),
        ("evil-api.openai.com", "evil-api.openai.com"),
        ("openrouter.ai.example.com", "openrouter.ai.example.com"),
        ("bedrock-runtime.us-east-1.amazonaws.com.example", "bedrock-runtime.us-east-1.amazonaws.com.example"),
        ("llm.example.com", "llm.example.com"),
    ],
)
def test_provider_of_each_clients_host(host: str, provider: str) -> None:
    assert providers.provider_of(f"https://{host}", "chat") == provider


def test_an_address_on_this_machine_is_a_guess_from_the_api() -> None:
    assert providers.provider_of("http://[::1]:8000", "messages") == "anthropic"
    assert providers.provider_of("http://127.0.0.2:8000", "unknown") == "openai"
