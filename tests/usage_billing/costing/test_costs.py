"""Rows of `token_usage`: where the price of a call comes from, and that repricing finds the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings

from tests.support.factories import chat_usage, event, organization, own_price, rate
from usage_billing.costing import costs
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.ledger import writer
from usage_billing.models import UsageRecord

pytestmark = pytest.mark.django_db

AZURE = "https://acme.openai.azure.com/openai/deployments/GPT4-turbo/chat/completions"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
VERTEX = "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations"
HAIKU = "claude-haiku-4-5-20251001"
MESSAGE = {"input_tokens": 1000, "output_tokens": 100, "cache_read_input_tokens": 2000}


def recorded(**fields: Any) -> UsageRecord:
    """Record a call, and expect that repricing its record changes nothing."""
    org = organization()
    writer.add([event(org=org, **fields)])
    record = UsageRecord.objects.get(org=org)
    overrides = PriceOverrides.load()
    assert writer.preview_changes([record.pk], lambda row: costs.cost(row, overrides)) == []
    return record


@pytest.mark.parametrize("key", ["gpt4-turbo", "acme.openai.azure.com/gpt4-turbo", "ACME.openai.azure.com/GPT4-Turbo"])
def test_deployment_is_priced_as_the_model_behind_it(key: str) -> None:
    """Azure answers `gpt-4` for any of that family: 1000 × 10 + 100 × 30, not 1000 × 30 + 100 × 60."""
    with override_settings(AI_COSTS={"DEPLOYMENTS": {key: "gpt-4-turbo"}}):
        record = recorded(url=AZURE, model="gpt-4")
    assert (record.cost_usd, record.ai_model, record.ai_provider) == (Decimal("0.013"), "gpt-4", "azure")
    assert record.price_source.endswith("azure/gpt-4-turbo")
    assert record.response_metadata["deployment"] == "GPT4-turbo"


def test_deployment_of_another_host_is_another_one() -> None:
    with override_settings(AI_COSTS={"DEPLOYMENTS": {"other.openai.azure.com/gpt4-turbo": "gpt-4-turbo"}}):
        assert recorded(url=AZURE, model="gpt-4").cost_usd == Decimal("0.036")


def test_deployment_that_the_event_names_needs_no_path() -> None:
    url = "https://acme.openai.azure.com/openai/v1/chat/completions"
    with override_settings(AI_COSTS={"DEPLOYMENTS": {"turbo": "gpt-4-turbo"}}):
        record = recorded(url=url, model="gpt-4", response={"deployment": "turbo"})
    assert record.cost_usd == Decimal("0.013")
    assert record.response_metadata["host"] == "acme.openai.azure.com"


def test_price_override_knows_a_deployment_by_its_name() -> None:
    own_price("gpt4-turbo", provider="azure")
    assert recorded(url=AZURE, model="gpt-4").cost_usd == Decimal("0.0012")


def test_price_override_of_a_model_holds_behind_a_gateway() -> None:
    own_price("gpt-4.1-mini", provider="openai")
    record = recorded(url="http://127.0.0.1:4000/v1/chat/completions", model="openai/gpt-4.1-mini")
    assert record.cost_usd == Decimal("0.0012")


@pytest.mark.parametrize(
    ("model", "usd"),
    [("openai/gpt-4.1-mini", "0.00056"), ("anthropic/claude-haiku-4-5", "0.0015"), ("azure/gpt-4.1", "0.0028")],
)
def test_gateways_answer_with_the_vendor_in_front(model: str, usd: str) -> None:
    record = recorded(url="http://127.0.0.1:4000/v1/chat/completions", model=model)
    assert (record.cost_usd, record.ai_model) == (Decimal(usd), model)


@pytest.mark.parametrize(
    ("asked", "usd"),
    [
        # Amazon Bedrock, Pricing: a geography costs a tenth more than the global profile.
        (f"us.anthropic.{HAIKU}-v1:0", "0.00187"),
        (f"global.anthropic.{HAIKU}-v1:0", "0.0017"),
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.{HAIKU}-v1:0", "0.0017"),
    ],
)
def test_bedrock_is_priced_by_the_model_in_its_path(asked: str, usd: str) -> None:
    record = recorded(url=f"{BEDROCK}/{asked}/invoke", model=HAIKU, usage=MESSAGE, flavour="messages")
    assert (record.cost_usd, record.ai_provider) == (Decimal(usd), "aws")


def test_inference_profile_of_ones_own_is_mapped_to_its_model() -> None:
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    url = f"{BEDROCK}/{profile}/invoke"
    assert recorded(url=url, model=HAIKU, usage=MESSAGE).price_source == "unpriced:unknown-model"
    with override_settings(AI_COSTS={"DEPLOYMENTS": {profile: f"global.anthropic.{HAIKU}-v1:0"}}):
        assert recorded(url=url, model=HAIKU, usage=MESSAGE).cost_usd == Decimal("0.0017")


@pytest.mark.parametrize(("location", "usd"), [("us-east5", "0.00187"), ("global", "0.0017")])
def test_vertex_is_priced_by_the_location_in_its_path(location: str, usd: str) -> None:
    url = f"{VERTEX}/{location}/publishers/anthropic/models/claude-haiku-4-5@20251001:rawPredict"
    assert recorded(url=url, model=HAIKU, usage=MESSAGE, flavour="messages").cost_usd == Decimal(usd)


def test_decisions_have_prices_of_their_own() -> None:
    """OpenAI, Decisions: 5000 × 0.10, and the output is free."""
    usage = {"input_tokens": 5000, "output_tokens": 10, "total_tokens": 5010}
    record = recorded(url="https://api.openai.com/v1/decisions", model="gpt-6-luna", usage=usage, flavour="decisions")
    assert (record.cost_usd, record.total_tokens) == (Decimal("0.0005"), 5010)


@pytest.mark.parametrize("flavour", ["unknown", "realtime"])
def test_unknown_endpoint_is_metered_by_its_block(flavour: Any) -> None:
    record = recorded(url="https://api.openai.com/v2/thoughts", usage=chat_usage(1000, 100), flavour=flavour)
    assert record.cost_usd == Decimal("0.00056")


def test_unknown_endpoint_without_a_block_says_so() -> None:
    record = recorded(url="https://api.openai.com/v2/thoughts", usage={}, flavour="unknown")
    assert (record.cost_usd, record.price_source) == (None, "unpriced:unknown-endpoint")


def test_known_part_of_an_unknown_cost_is_kept_beside_it_and_in_no_total() -> None:
    rate()
    usage = chat_usage(1000, 100)
    usage["prompt_tokens_details"]["video_tokens"] = 5
    record = recorded(usage=usage)
    assert (record.cost_usd, record.cost_rub) == (None, None)
    assert record.response_metadata["cost_parts"] == {"input": "0.0004", "output": "0.00016"}


def test_known_part_of_an_unknown_cost_has_a_column() -> None:
    usage = chat_usage(1000, 100) | {"odd_tokens": 5}
    row, whole = costs.rows([event(usage=usage), event()], PriceOverrides.load())
    assert (row["cost_usd"], row["known_cost_usd"]) == (None, Decimal("0.00056"))
    assert (whole["cost_usd"], whole["known_cost_usd"]) == (Decimal("0.00056"), None)


@pytest.mark.parametrize(
    ("requests", "prompt", "is_priced"),
    [(1, 300_000, True), (100, 200_000, True), (100, 300_000, False), (2, 300_000, False)],
)
def test_a_sum_of_requests_has_no_price_that_depends_on_the_size_of_one(
    requests: int, prompt: int, is_priced: bool
) -> None:
    """Beyond 272,000 tokens a request of this model costs more; one of 100 may have nearly all of 300,000."""
    told = {"source": "import", **({"requests": requests} if requests > 1 else {})}

    record = recorded(usage=chat_usage(prompt, 10), model="gpt-5.4", response=told)

    assert (record.cost_usd is not None) == is_priced
