"""From the messages of OpenAI's websockets to priced records."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ai_clients.websockets.calls import SocketCalls
from tests.support import factories
from usage_billing.ledger import writer
from usage_billing.models import UsageRecord
from usage_billing.recording import Attribution, collected
from usage_billing.recording.testing import isolated_outbox

pytestmark = pytest.mark.django_db

Play = Callable[[SocketCalls], None]
API = "wss://api.openai.com/v1"


def record_of(url: str, *plays: Play) -> UsageRecord:
    """The only record of a connection to `url` that breaks between these. It belongs to a new organisation."""
    org, ended = factories.organization(), dict[str, None]()
    for play in plays:
        with isolated_outbox(), collected() as events:
            calls = SocketCalls(url, Attribution(org_id=org.pk), ended)
            play(calls)
            calls.closed()
        for _ in range(2):  # an event may come any number of times
            writer.add(events)
    return UsageRecord.objects.get(org=org)


def hear(type_: str, **members: Any) -> Play:
    return lambda calls: calls.received(json.dumps({"type": type_, **members}))


def test_response_over_a_websocket_costs_what_it_costs_over_http() -> None:
    """The case of BerriAI/litellm#38674: 1,000 tokens in, 100 out."""
    usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    response = {"id": "resp_0123456789abcdef", "model": "gpt-5-mini", "status": "completed", "usage": usage}
    record = record_of(f"{API}/responses", hear("response.completed", response=response))
    assert (record.endpoint, record.ai_provider, record.ai_model) == ("/v1/responses", "openai", "gpt-5-mini")
    assert record.cost_usd == Decimal("0.00045")  # page gpt-5-mini: 1,000 × 0.25 + 100 × 2 per million


def test_realtime_response_is_priced() -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 10,
        "total_tokens": 110,
        "input_token_details": {"text_tokens": 40, "audio_tokens": 60},
        "output_token_details": {"audio_tokens": 10},
    }
    record = record_of(
        f"{API}/realtime?model=gpt-realtime",
        hear("response.done", response={"id": "resp_0123456789abcdef", "status": "completed", "usage": usage}),
    )
    assert (record.endpoint, record.ai_model, record.total_tokens) == ("/v1/realtime", "gpt-realtime", 110)
    # Model page gpt-realtime: 40 × 4 + 60 × 32 + 10 × 64 per million.
    assert record.cost_usd == Decimal("0.00272")


def test_cancelled_response_has_its_tokens_and_no_cost() -> None:
    usage = {"input_tokens": 100, "output_tokens": 10, "input_token_details": {"text_tokens": 100},
             "output_token_details": {"text_tokens": 10}}  # fmt: skip
    record = record_of(
        f"{API}/realtime?model=gpt-realtime",
        hear("response.done", response={"id": "resp_0123456789abcdef", "status": "cancelled", "usage": usage}),
    )
    assert (record.status, record.total_tokens, record.cost_usd) == ("aborted", 110, None)


def test_transcription_of_a_session_is_priced() -> None:
    def play(calls: SocketCalls) -> None:
        audio = {"input": {"transcription": {"model": "gpt-live-transcribe"}}}
        hear("session.created", session={"type": "transcription", "audio": audio})(calls)
        usage = {"type": "duration", "seconds": 30}
        item = "item_0123456789abcdef"
        hear("conversation.item.input_audio_transcription.completed", item_id=item, usage=usage)(calls)

    record = record_of(f"{API}/realtime?intent=transcription", play)
    assert (record.endpoint, record.ai_model) == ("/v1/realtime/input_audio_transcription", "gpt-live-transcribe")
    assert record.cost_usd == Decimal("0.0085")  # model page GPT-Live-Transcribe: $0.017 per minute


LIVE = {"id": "live_0123456789abcdef", "model": "gpt-live-1"}


def test_live_session_is_priced_by_its_last_total() -> None:
    def play(calls: SocketCalls) -> None:
        hear("session.started", session=LIVE)(calls)
        hear("session.usage.updated", usage={"seconds": 30})(calls)
        hear("session.closed", session=LIVE, usage={"seconds": 90}, reason="close_requested")(calls)

    record = record_of(f"{API}/live/sessions", play)
    assert (record.endpoint, record.ai_model, record.status) == ("/v1/live", "gpt-live-1", "succeeded")
    assert record.cost_usd == Decimal("0.075")  # model page gpt-live-1: $0.05 per minute


def test_observed_session_is_pending_until_another_connection_tells_its_end() -> None:
    def leave(calls: SocketCalls) -> None:
        hear("session.started", session=LIVE)(calls)

    def stay(calls: SocketCalls) -> None:
        hear("session.started", session=LIVE)(calls)
        hear("session.closed", session=LIVE, usage={"seconds": 90}, reason="remote_hangup")(calls)

    url = f"{API}/live/sessions/{LIVE['id']}/attach"
    assert record_of(url, leave).status == "pending"
    UsageRecord.objects.all().delete()
    record = record_of(url, leave, stay)
    assert (record.status, record.cost_usd) == ("succeeded", None)
    assert record.price_source == "unpriced:unknown-context:live=observed"


def test_translation_session_is_recorded_without_a_cost() -> None:
    def play(calls: SocketCalls) -> None:
        session = {"id": "sess_0123456789abcdef", "model": "gpt-realtime-translate"}
        hear("session.created", session=session)(calls)
        calls.sending('{"type":"session.input_audio_buffer.append","audio":"AAAA"}')
        hear("session.closed")(calls)

    record = record_of(f"{API}/realtime/translations?model=gpt-realtime-translate", play)
    assert (record.endpoint, record.ai_model) == ("/v1/realtime/translations", "gpt-realtime-translate")
    assert (record.cost_usd, record.price_source) == (None, "unpriced:no-usage")
