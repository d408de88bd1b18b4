"""The model of each request type."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from ai_clients.assistants.calls.model_choice import Choice, check_choices, model_for
from tests.support.configure import configure


def test_each_of_ours_has_a_choice() -> None:
    assert {
        name: model_for(name).provider for name in ("participant_enrichment", "weekly_digest", "custom_analysis")
    } == {
        "participant_enrichment": "openai",
        "weekly_digest": "anthropic",
        "custom_analysis": "openai",
    }


def test_a_model_may_have_colons_in_its_name(settings: Settings) -> None:
    configure(settings, MODELS={"weekly_digest": "openai:ft:gpt-4.1:acme"})
    assert model_for("weekly_digest") == Choice("openai", "ft:gpt-4.1:acme")


@pytest.mark.parametrize("chosen", ["gpt-6-luna", "mistral:large", "openai:", ":gpt-6-luna", ""])
def test_a_choice_that_is_none_says_what_to_write(settings: Settings, chosen: str) -> None:
    configure(settings, MODELS={"weekly_digest": chosen})
    with pytest.raises(ImproperlyConfigured, match=r"weekly_digest asks for .* Write provider:model"):
        model_for("weekly_digest")


def test_wrong_choices_are_told_when_django_looks_over_itself(settings: Settings) -> None:
    assert check_choices() == []
    configure(settings, MODELS={"weekly_digest": "gpt", "custom_analysis": "openai:gpt-6-luna"})
    (error,) = check_choices()
    assert error.msg.startswith("AI_MODELS: weekly_digest asks for the model 'gpt'.")
