"""Bodies as senders write them, and bodies that nobody should."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support import otlp
from usage_billing.ingest.otlp import logs, names, records, spans, wire
from usage_billing.ingest.otlp.told import Told
from usage_billing.ingest.reported import event_of
from usage_billing.recording import gate
from usage_billing.recording.event import decode, encode

USED: dict[str, Any] = {"gen_ai__usage__input_tokens": 10, "gen_ai__usage__output_tokens": 5}


def read(body: bytes, *, is_json: bool) -> list[bytes]:
    """Return what the outbox would get."""
    told = [*spans.read(wire.spans(body, is_json=is_json)), *logs.read(wire.logs(body, is_json=is_json))]
    return [encode(gate.admitted(event_of(each.call))) for each in told if isinstance(each, Told)]


def test_both_encodings_tell_the_same() -> None:
    for export in otlp.exports():
        by_json = wire.spans(otlp.encoded(export, is_json=True), is_json=True)
        assert by_json == wire.spans(otlp.encoded(export, is_json=False), is_json=False)
        assert by_json


def test_ids_come_in_any_case_integers_as_text_or_numbers_and_unknown_fields_are_ignored() -> None:
    export = otlp.span(**USED)
    (own,) = otlp.items(export)
    (plain,) = wire.spans(json.dumps(export).encode(), is_json=True)
    own |= {
        "traceId": own["traceId"].upper(),
        "spanId": own["spanId"].upper(),
        "startTimeUnixNano": int(own["startTimeUnixNano"]),
        "newField": [{"deep": {}}],
        "parentSpanId": None,
    }
    for attribute in own["attributes"]:
        if "intValue" in attribute["value"]:
            attribute["value"] = {"intValue": int(attribute["value"]["intValue"])}

    assert wire.spans(json.dumps(export).encode(), is_json=True) == [plain]


def test_only_wanted_attributes_are_read() -> None:
    for export in otlp.exports():
        for is_json in (True, False):
            for each in wire.spans(otlp.encoded(export, is_json=is_json), is_json=is_json):
                assert all(map(names.is_wanted, (*each.attributes, *each.source.resource)))


def test_of_two_attributes_of_one_name_the_last_holds() -> None:
    attributes = [*otlp.attributes(gen_ai__request__model="a"), *otlp.attributes(gen_ai__request__model="b")]

    for is_json in (True, False):
        (found,) = wire.spans(otlp.encoded(otlp.span(given=attributes), is_json=is_json), is_json=is_json)
        assert found.attributes == {"gen_ai.request.model": "b"}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"intValue": "12abc"},
        {"intValue": 10**400},
        {"intValue": "9" * 5000},
        {"doubleValue": "NaN"},
        {"doubleValue": 1e308},
        {"arrayValue": {"values": [{"intValue": 1}]}},
        {"kvlistValue": {"values": []}},
        {"bytesValue": "AAAA"},
        {"stringValue": "\x00\u202e"},
        {"stringValue": "a" * 50_000},
        None,
    ],
    ids=range(12),
)
def test_values_of_the_wrong_kind_do_not_stop_the_rest(value: Any) -> None:
    """Under every name that is read."""
    attributes = [
        {"key": name, "value": value} for name in sorted(names.WANTED - {"gen_ai.operation.name", *names.KINDS})
    ]
    export = otlp.span(given=[*attributes, *otlp.attributes(gen_ai__operation__name="chat")])

    (event,) = read(json.dumps(export).encode(), is_json=True)

    assert len(event) < 100_000
    assert decode(event).flavour == "chat"


@pytest.mark.parametrize(
    "span",
    [
        {"startTimeUnixNano": 10**300, "endTimeUnixNano": "-5"},
        {"startTimeUnixNano": "-99999999999999999999"},
        {"endTimeUnixNano": "0", "status": {"code": 17}},
        {"attributes": None},
        {"traceId": "g" * 32},
        {"spanId": "0" * 16},
        {"parentSpanId": "a" * 100_000},
    ],
    ids=range(7),
)
def test_fields_that_are_out_of_bounds(span: dict[str, Any]) -> None:
    export = otlp.span(**USED)
    next(otlp.items(export)).update(span)

    for event in read(json.dumps(export).encode(), is_json=True):
        assert decode(event).started_at > 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"resourceSpans":' + b"[" * 1_000_000,
        b'{"other":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
        b'{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"stringValue":"\\ud800"}}]}}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"status":{"code":"STATUS_CODE_OK"}}]}]}]}',
        b"\xef\xbb\xbf{}",
        b"",
        b"null",
    ],
    ids=range(7),
)
def test_bodies_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(records.UnreadableError):
        wire.spans(body, is_json=True)


def test_values_that_are_nested_too_deeply_cannot_be_read() -> None:
    def nested(depth: int) -> bytes:
        message = ExportTraceServiceRequest()
        value = message.resource_spans.add().resource.attributes.add(key="a").value
        for _ in range(depth):
            value = value.array_value.values.add()
        return bytes(message.SerializeToString())

    assert wire.spans(nested(20), is_json=False) == []
    with pytest.raises(records.UnreadableError):
        wire.spans(nested(200), is_json=False)


@pytest.mark.parametrize("is_json", [True, False])
def test_a_cut_body_cannot_be_read_or_tells_less(is_json: bool) -> None:
    body = otlp.encoded(otlp.exports()[5], is_json=is_json)
    whole = read(body, is_json=is_json) if is_json else [*wire.spans(body, is_json=False)]

    for end in range(0, len(body), 97):
        try:
            assert len(wire.spans(body[:end], is_json=is_json)) < len(whole)
        except records.UnreadableError:
            continue


def test_a_bomb_is_not_unpacked() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b"\x00" * 2**20) for _ in range(100)) + packer.flush()
    assert len(bomb) < 120_000

    tracemalloc.start()
    with pytest.raises(wire.TooLargeError):
        wire.decompressed(bomb, "gzip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 * wire.LARGEST_BODY


VALUES = st.one_of(
    st.text(max_size=20).map(lambda text: {"stringValue": text}),
    st.integers().map(lambda number: {"intValue": number}),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: {"intValue": str(number)}),
    st.floats().map(lambda number: {"doubleValue": str(number)}),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: {"doubleValue": number}),
    st.booleans().map(lambda truth: {"boolValue": truth}),
    st.just({"stringValue": '{"usage": {"input_tokens": 1e400}, "id": 5}'}),
    st.just({"stringValue": "9" * 400}),
)
ATTRIBUTES = st.lists(
    st.builds(
        lambda key, value: {"key": key, "value": value},
        st.sampled_from([*sorted(names.WANTED), "ai_costs.tags.a", "ai_costs.tags."]),
        VALUES,
    ),
    max_size=25,
)


@settings(max_examples=300)
@given(attributes=ATTRIBUTES, operation=st.sampled_from(["chat", "embeddings", "generate_content", "new"]))
def test_no_value_under_any_name_makes_a_reader_fail(attributes: list[Any], operation: str) -> None:
    export = otlp.span(given=[*attributes, *otlp.attributes(gen_ai__operation__name=operation)])

    for event in read(json.dumps(export).encode(), is_json=True):
        assert gate.admitted(decode(event)).request_id


@settings(max_examples=200)
@given(attributes=ATTRIBUTES, event=st.sampled_from(["claude_code.api_request", "codex.sse_event", "api_error"]))
def test_no_value_in_a_log_makes_a_reader_fail(attributes: list[Any], event: str) -> None:
    export = otlp.log(event)
    next(otlp.items(export))["attributes"] += attributes

    read(json.dumps(export).encode(), is_json=True)


@settings(max_examples=300)
@given(body=st.binary(max_size=200), is_json=st.booleans())
def test_no_bytes_make_the_decoder_fail(body: bytes, is_json: bool) -> None:
    with contextlib.suppress(records.UnreadableError):
        read(body, is_json=is_json)
