"""Every wire case through the proxy: the answer's bytes and the record are those of a recording client."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import Any

import anthropic
import httpx2
import msgspec
import openai
import pytest

from ai_clients import usage_option
from ai_clients.endpoints import MARK, Mark
from ai_clients.transport import record_calls
from tests.end_to_end import test_wire_cases
from tests.end_to_end.test_wire_cases import BOTH_WAYS, ONE_OF_THEM, Case
from tests.support import factories
from tests.support.loopback import Answered
from tests.support.proxied import SCRIPT, SECRET, Proxied, token
from tests.support.recorded import Recorded
from tests.support.scripted import Provider
from tests.support.wire_cases import an_id
from usage_billing.models import UsageRecord
from usage_billing.recording import Event

CASES = [(name, case, stream) for name, case in BOTH_WAYS.items() for stream in (False, True)]
CASES += [(name, case, False) for name, case in ONE_OF_THEM.items()]
ITS_OWN = ("started_at", "duration_ms", "attribution", "holds")
"""Fields that differ from call to call."""


def request_of(case: Case, *, stream: bool) -> httpx2.Request:
    """The request that the official SDK makes."""
    provider = Provider(lambda _request: test_wire_cases.answering(case, stream=stream))
    options: dict[str, Any] = {"http_client": httpx2.Client(transport=provider), "max_retries": 0, "api_key": "k"}
    with contextlib.suppress(openai.OpenAIError, anthropic.AnthropicError):
        test_wire_cases.call(case, openai.OpenAI(**options), anthropic.Anthropic(**options), stream=stream)
    return provider.requests[0]


def answered(case: Case, *, stream: bool) -> Answered:
    response = test_wire_cases.answering(case, stream=stream)
    kind = response.headers.pop("content-type")
    # An empty chunk would end the body.
    chunks = [chunk for chunk in response.stream if chunk]  # type: ignore[union-attr]
    return Answered(chunks, content_type=kind, headers={"x-request-id": an_id("req_")})


def sent(client: httpx2.Client, request: httpx2.Request, base: str, key: str, name: str) -> bytes:
    """Send the request to another address with another key. Returns the raw bytes of the answer's body."""
    is_of_anthropic = "x-api-key" in request.headers
    headers = {**request.headers, SCRIPT: name, "x-api-key" if is_of_anthropic else "authorization": key}
    if not is_of_anthropic:
        headers["authorization"] = f"Bearer {key}"
    del headers["host"]
    url = base + request.url.raw_path.decode()
    made = httpx2.Request(request.method, url, headers=headers, content=request.content)
    made.extensions[MARK] = Mark(request.url.path)
    with contextlib.closing(client.send(made, stream=True)) as response:
        assert response.status_code == 200
        return b"".join(response.iter_raw())


def facts(event: Event) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event))
    return {name: value for name, value in told.items() if name not in ITS_OWN}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_wire_case_is_answered_and_recorded_as_by_a_recording_client(
    proxy: Proxied, recorded: Recorded, subtests: pytest.Subtests
) -> None:
    usage_option.servers.clear()
    org = factories.organization()
    key = token(org)
    with httpx2.Client() as direct, httpx2.Client() as plain:
        record_calls(direct)
        for name, case, stream in CASES:
            if case.host:
                continue  # of a gateway or another platform
            request = request_of(case, stream=stream)
            provider = "anthropic" if "x-api-key" in request.headers else "openai"
            script = f"{name} {stream}"
            same = answered(case, stream=stream)
            proxy.scripts[script] = lambda _received, same=same: same  # type: ignore[misc]
            with subtests.test(name, stream=stream):
                here = sent(direct, request, proxy.provider.url, SECRET, script)
                there = sent(plain, request, f"{proxy.url}/proxy/{provider}", key, script)
                assert there == here
                by_client, by_proxy = recorded.all()[-1], proxy.events()[-1]
                assert facts(by_proxy) == facts(by_client)
                assert by_proxy.attribution.org_id == org.pk
                assert proxy.drain() == 1
                if stream or "containers" in by_proxy.response:
                    continue  # the ledger knows the response, or its containers, from an earlier case
                record = UsageRecord.objects.get(org=org, request_id=by_proxy.request_id)
                if isinstance(case.millionths, str):
                    assert (record.cost_usd, record.price_source) == (None, f"unpriced:{case.millionths}")
                else:
                    assert record.cost_usd == Decimal(case.millionths) / 1_000_000
                assert record.tags == {"service_token": "program"}
