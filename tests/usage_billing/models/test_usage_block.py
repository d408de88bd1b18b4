"""Usage blocks are stored without what the columns say, and read back whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection

from tests.support import factories
from usage_billing.ledger import records, writer
from usage_billing.models import UsageRecord, usage_block

NAMES = usage_block.TOKENS


def row(*tokens: int) -> dict[str, int]:
    return dict(zip(NAMES, tokens, strict=True))


CHAT = row(100, 20, 120, 40, 0, 5)
ORDINARY = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


@pytest.mark.parametrize(
    ("block", "columns", "kept"),
    [
        (ORDINARY, CHAT, {"columns": "chat"}),
        (
            {
                "input_tokens": 100,
                "output_tokens": 20,
                "total_tokens": 120,
                "input_tokens_details": {"cached_tokens": 40},
                "output_tokens_details": {"reasoning_tokens": 5},
            },
            CHAT,
            {"columns": "responses"},
        ),
        (
            {
                "input_tokens": 50,
                "cache_read_input_tokens": 40,
                "cache_creation_input_tokens": 10,
                "output_tokens": 20,
                "service_tier": "standard",
            },
            row(100, 20, 120, 40, 10, 0),
            {"columns": "messages", "service_tier": "standard"},
        ),
        # What the columns do not say stays, within details too.
        (
            {**ORDINARY, "cost": 0.5, "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 3}},
            CHAT,
            {"columns": "chat", "cost": 0.5, "prompt_tokens_details": {"audio_tokens": 3}},
        ),
        (
            {"prompt_tokens": 7, "total_tokens": 7, "completion_tokens": 0},
            row(7, 0, 7, 0, 0, 0),
            {"columns": "chat", "completion_tokens": 0},
        ),
        # A count that the columns have otherwise, or that the block lacks: nothing is left out.
        ({**ORDINARY, "total_tokens": 121}, CHAT, None),
        ({**ORDINARY, "prompt_tokens": 100.0}, CHAT, None),
        ({**ORDINARY, "prompt_tokens_details": [40]}, CHAT, None),
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}, CHAT, None),
        ({}, row(0, 0, 0, 0, 0, 0), None),
        ({"unreadable": "nested more than 16 deep"}, row(0, 0, 0, 0, 0, 0), None),
        ({"prompt_tokens": True, "total_tokens": 1}, row(1, 0, 1, 0, 0, 0), None),
        # The provider's own key of this name.
        ({"columns": "chat"}, CHAT, {"columns": "whole", "block": {"columns": "chat"}}),
        (
            {"columns": ["chat"], "prompt_tokens": 1},
            row(1, 0, 1, 0, 0, 0),
            {"columns": "whole", "block": {"columns": ["chat"], "prompt_tokens": 1}},
        ),
        (
            {**ORDINARY, "prompt_tokens_details": {}},
            row(100, 20, 120, 0, 0, 5),
            {"columns": "chat", "prompt_tokens_details": {}},
        ),
    ],
)
def test_every_block_comes_back_as_it_was(
    block: dict[str, Any], columns: dict[str, int], kept: dict[str, Any] | None
) -> None:
    stored = usage_block.stored(block, columns)
    assert stored == (block if kept is None else kept)
    assert usage_block.whole(stored, columns) == block
    assert usage_block.whole(json.loads(json.dumps(stored)), columns) == block


def test_blocks_of_earlier_versions_are_read_as_they_are() -> None:
    assert usage_block.whole(ORDINARY, row(1, 2, 3, 0, 0, 0)) == ORDINARY
    assert usage_block.whole({"columns": "of another version"}, CHAT) == {"columns": "of another version"}


@pytest.mark.django_db
def test_records_and_rows_have_the_whole_block_and_the_table_the_rest() -> None:
    writer.add([factories.event(org=factories.organization(), usage=ORDINARY)])
    record = UsageRecord.objects.get()
    assert record.usage == ORDINARY
    assert records.found(org_id=record.org_id)[0]["usage"] == ORDINARY
    with connection.cursor() as cursor:
        cursor.execute("SELECT usage FROM token_usage")
        ((stored,),) = cursor.fetchall()
    assert json.loads(stored) == {"columns": "chat"}


@pytest.mark.django_db
def test_a_change_of_the_columns_leaves_the_block_as_the_provider_told_it() -> None:
    writer.add([factories.event(org=factories.organization(), usage=ORDINARY)])
    record = UsageRecord.objects.get()
    change = {"prompt_tokens": 90, "total_tokens": 110}
    assert len(writer.apply_changes([record.pk], lambda each: {**each, **change})) == 1
    record = UsageRecord.objects.get()
    assert (record.prompt_tokens, record.usage) == (90, ORDINARY)


@pytest.mark.django_db
def test_a_saved_instance_keeps_its_block() -> None:
    writer.add([factories.event(org=factories.organization(), usage=ORDINARY)])
    record = UsageRecord.objects.get()
    record.prompt_tokens, record.total_tokens = 90, 110
    record.usage = {"prompt_tokens": 90}
    record.save()
    assert UsageRecord.objects.get().usage == {"prompt_tokens": 90}
