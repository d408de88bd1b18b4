"""The providers that programs name, by whichever name they use, and how their usage is told."""

from __future__ import annotations

from usage_billing.costing.model_names import VENDORS

ALIASES = VENDORS | {
    "amazon-bedrock": "aws",
    "aws.bedrock": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure-openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "google_genai": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "moonshot_ai": "moonshotai",
    "vertex": "google",
    "vertexai": "google",
    "x_ai": "x-ai",
}
"""Other names of providers → genai-prices' id. OpenTelemetry's (`gen_ai.provider.name`) are among them."""

CACHE_WRITE_LIFETIME = "cache-write-lifetime"
"""The fact that is missing where Anthropic's cache writes have no lifetime: they cost 1.25 or 2 times the input."""


def provider_of(name: str) -> str:
    """Return genai-prices' id of a provider; a name that nobody knows stays as it is."""
    plain = name.strip().lower()
    return ALIASES.get(plain, plain)


def is_claude(provider: str, model: str) -> bool:
    """Return whether the call's usage has Anthropic's form, on whichever cloud."""
    return provider == "anthropic" or "claude" in model.lower()
