"""An event is the same before and after the outbox."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from tests.support.factories import event
from usage_billing.recording.event import decode, encode


def test_an_event_is_the_same_after_the_outbox() -> None:
    sent = event(org=1, user=2, attribution={"metadata": {"a": [1, {"b": None}]}}, context={"service_tier": "flex"})
    got = decode(encode(sent))
    assert msgspec.json.decode(got.usage) == msgspec.json.decode(sent.usage)
    empty = msgspec.Raw(b"null")
    assert msgspec.structs.replace(got, usage=empty) == msgspec.structs.replace(sent, usage=empty)


def test_metadata_that_json_cannot_hold_is_written_as_text() -> None:
    metadata = {"price": Decimal("1.5"), "at": datetime(2026, 1, 1, tzinfo=UTC), "thing": object}
    got = decode(encode(event(attribution={"metadata": metadata})))
    assert got.attribution.metadata == {
        "price": "1.5",
        "at": "2026-01-01T00:00:00Z",
        "thing": "<class 'object'>",
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"request_id": 5}', b"\xff"])
def test_bytes_that_are_no_event_are_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(body)


class Broken:
    def seconds(self) -> int:
        raise ZeroDivisionError("a bug")


def test_functions_in_the_metadata_are_called_when_the_event_is_written() -> None:
    began = [0]
    given = {"ms": lambda: began[0] + 7, "class": Broken, "broken": Broken().seconds, "length": [1].__len__}
    call = event(attribution={"metadata": given})
    began[0] = 100
    assert decode(encode(call)).attribution.metadata == {
        "ms": 107,
        "class": str(Broken),
        "broken": "ZeroDivisionError: a bug",
        "length": 1,
    }
