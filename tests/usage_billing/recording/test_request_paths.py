"""Deployments, models and locations in the path of a request reach the record, which keeps no such path."""

import pytest

from tests.support.factories import event
from usage_billing.recording import gate
from usage_billing.recording.request_paths import Named, named_in

PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"


# openai.lib.azure, anthropic.lib.bedrock and anthropic.lib.vertex write these paths.
@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/openai/deployments/gpt4%20turbo/chat/completions", Named(deployment="gpt4 turbo")),
        (
            "/model/us.anthropic.claude-haiku-4-5/invoke-with-response-stream",
            Named(model="us.anthropic.claude-haiku-4-5"),
        ),
        (f"/model/{PROFILE.replace(':', '%3A').replace('/', '%2F')}/converse", Named(deployment="abc")),
        (f"/model/{PROFILE}/invoke", Named(deployment="abc")),
        (f"/model/{PROFILE.replace('application-', '')}/invoke", Named(model="abc")),
        (
            "/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
            Named(model="claude-sonnet-4-5@20250929", location="us-east5"),
        ),
        ("/v1alpha/projects/p/locations/global/workspaces/w/invoke/v1/messages", Named(location="global")),
        ("/openai/deployments/*/chat/completions", Named()),
        ("/v1/chat/completions", Named()),
        ("/v1/models/gpt-4.1", Named()),
        ("", Named()),
    ],
)
def test_what_a_path_names(path: str, named: Named) -> None:
    assert named_in(f"https://acme.example.com{path}") == named


def test_the_gate_keeps_what_the_path_named_and_not_the_path() -> None:
    url = "https://acme.openai.azure.com/openai/deployments/turbo/chat/completions"
    given = gate.admitted(event(url=url, response={"http_status": 201}))
    assert given.url == "https://acme.openai.azure.com/openai/deployments/*/chat/completions"
    assert given.response == {"deployment": "turbo", "http_status": 201}
    assert gate.admitted(given) == given


@pytest.mark.parametrize("answered", ["", "claude-haiku-4-5"])
def test_the_model_of_the_path_precedes_that_of_the_answer(answered: str) -> None:
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-haiku-4-5/invoke"
    given = gate.admitted(event(url=url, model=answered))
    assert given.model == "us.anthropic.claude-haiku-4-5"
    assert gate.admitted(given) == given


def test_what_the_caller_says_precedes_the_path() -> None:
    url = "https://acme.openai.azure.com/openai/deployments/turbo/chat/completions"
    assert gate.admitted(event(url=url, response={"deployment": "other"})).response == {"deployment": "other"}


def test_a_broken_url_names_nothing() -> None:
    given = gate.admitted(event(url="https://[broken/deployments/x/chat/completions"))
    assert (given.response, given.context) == ({}, {})
