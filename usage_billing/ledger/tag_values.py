"""Decides which tags have rollup rows of their own, within a bound for each organisation, and registers new ones.

A tag that is not registered when its key, or its organisation's keys, are full will never be: rows are only added, and
only by the holder of a lock that counts them again. So a call counts under the same value for good, and the SQL of
`rollup` decides as this module did.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Count

from usage_billing.ledger import bulk
from usage_billing.ledger.summing import CountedTags, Record
from usage_billing.models import TagValue
from usage_billing.models.daily_tag_usage import OTHER_VALUE
from usage_billing.models.database import connection
from usage_billing.models.tag_value import KEYS_PER_ORGANIZATION, VALUES_PER_KEY

Tag = tuple[int, str, str]
"""Organisation, key and value."""
Sizes = dict[int, dict[str, int]]
"""Organisation → key → the number of its registered values."""

COLUMNS = ("org_id", "tag_key", "tag_value")


def registered(records: Iterable[Record]) -> CountedTags:
    """Register the new tags of these records, and return the value that each tag counts under.

    Call it before the transaction locks any row: it may wait for other writers that register tags.
    """
    tags = _tags_of(records)
    known, sizes = _known(tags)
    if _within_bounds(tags - known, sizes):
        _lock()
        known, sizes = _known(tags)
        if new := _within_bounds(tags - known, sizes):
            bulk.insert(TagValue, COLUMNS, new, "ON CONFLICT DO NOTHING")
        known |= {*new}
    return _counted(tags, known, sizes)


def counted(records: Iterable[Record]) -> CountedTags:
    """Return the value that each tag of these records counts under; registers nothing."""
    tags = _tags_of(records)
    return _counted(tags, *_known(tags))


def _tags_of(records: Iterable[Record]) -> set[Tag]:
    return {(record["org_id"], *tag) for record in records if record["tags"] for tag in record["tags"].items()}


def _known(tags: set[Tag]) -> tuple[set[Tag], Sizes]:
    """Return those of the tags that are registered; if some are not, with the numbers of their organisations.

    The numbers are read before the tags: where a key is full, the tags are all that there will be.
    """
    known = {*bulk.existing(TagValue, COLUMNS, sorted(tags))} if tags else set()
    if not tags - known:
        return known, {}
    sizes: Sizes = defaultdict(dict)
    org_ids = {org_id for org_id, _, _ in tags - known}
    rows = TagValue.objects.filter(org_id__in=org_ids).values_list("org_id", "tag_key").annotate(Count("tag_value"))
    for org_id, key, values in rows:
        sizes[org_id][key] = values
    return {*bulk.existing(TagValue, COLUMNS, sorted(tags))}, sizes


def _within_bounds(tags: set[Tag], sizes: Sizes) -> list[Tag]:
    """Return those of the new tags that may be registered, in a fixed order."""
    new = []
    added = {org_id: dict(keys) for org_id, keys in sizes.items()}
    for org_id, key, value in sorted(tags):
        keys = added.setdefault(org_id, {})
        if keys.get(key, 0) < VALUES_PER_KEY and (key in keys or len(keys) < KEYS_PER_ORGANIZATION):
            keys[key] = keys.get(key, 0) + 1
            new.append((org_id, key, value))
    return new


def _counted(tags: set[Tag], known: set[Tag], sizes: Sizes) -> CountedTags:
    keys = {(org_id, key) for org_id, key, _ in known} | {(org_id, key) for org_id in sizes for key in sizes[org_id]}
    return {tag: tag[2] if tag in known else OTHER_VALUE for tag in tags if tag[:2] in keys}


def _lock() -> None:
    """Wait for other writers that register tags. SQLite has one writer at a time."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('usage_billing.tags'))")
