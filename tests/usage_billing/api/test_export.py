"""Calls as files: what is in them, that none is run as a formula, and that they are sent as they are read."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import random
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.db import connection, connections
from django.test import AsyncClient
from rest_framework.test import APIClient

from tests.support import factories, rows
from tests.support.api_world import BILLING
from usage_billing.api import export, sheets
from usage_billing.api.export import ExportStoppedError
from usage_billing.auth.tokens import Pair, revoke_session
from usage_billing.models import Session, UsageRecord

URL = f"{BILLING}/export"
pytestmark = pytest.mark.django_db


def call(**columns: Any) -> UsageRecord:
    return UsageRecord(**rows.row(factories.organization(), **columns))


def csv_rows(*calls: UsageRecord) -> list[dict[str, str]]:
    content = b"".join(sheets.csv_lines([calls]))
    assert content.startswith(b"\xef\xbb\xbfid,org,user,")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "\\t=1"),
        ("\r=1", "\\r=1"),
        ("\n=1", "\\n=1"),
        (" =1", "' =1"),
        ("＝1", "'＝1"),
        ("＋1", "'＋1"),
        ("－1", "'－1"),
        ("＠1", "'＠1"),
        # Russian Excel begins a new cell at a semicolon, whatever the quotes.
        ("a;=cmd|'/c calc'!A0", "a;'=cmd|'/c calc'!A0"),
        ('a";=1;"', 'a";\'=1;"'),
        ("a\n=1", "a\\n=1"),
        ("a;\t=1", "a;\\t=1"),
        ("\x1b[2J\u202e", "\\u001b[2J\\u202e"),
        ("a = 1; b", "a = 1; b"),
        ("gpt-4.1-mini", "gpt-4.1-mini"),
        ("", ""),
    ],
)
def test_no_cell_of_csv_is_a_formula(text: str, cell: str) -> None:
    (row,) = csv_rows(call(agent_id=text))
    assert row["agent_id"] == cell


def test_csv_quotes_what_it_must() -> None:
    texts = ["a,b", 'say "no"', "Привет", "a;b"]
    found = csv_rows(*(call(agent_id=text) for text in texts))
    assert [row["agent_id"] for row in found] == texts


def test_csv_writes_each_type() -> None:
    (row,) = csv_rows(
        call(cost_usd=Decimal("0.000000062500"), cost_rub=None, usd_rub_rate=None, usage={"a": "б"}, user_id=7)
    )
    assert (row["cost_usd"], row["cost_rub"], row["user"], row["usage"]) == ("0.0000000625", "", "7", '{"a": "б"}')
    assert (row["created_at"], row["usage_date"]) == ("2026-05-20T12:00:00+00:00", "2026-05-20")
    assert list(row) == list(sheets.COLUMNS)


def test_json_lines_are_the_calls_as_the_api_writes_them() -> None:
    org = factories.organization()
    rows.enter(
        rows.row(org, cost_usd=Decimal("0.000000062500"), cost_rub=None, usd_rub_rate=None),
        rows.row(
            org, workflow_id="w", agent_id="=1", usage={"deep": {"list": [1, None]}}, response_metadata={"a": "б"}
        ),
    )
    client = APIClient()
    client.force_authenticate(factories.superadmin())
    lines = b"".join(client.get(URL, {"format": "jsonl"})).splitlines()
    shown = client.get(f"{BILLING}/detailed").json()["data"]["items"]
    assert [json.loads(line) for line in lines] == shown
    assert len(shown) == 2


def cells(content: bytes) -> list[list[tuple[str | None, str]]]:
    """Row by row the type and the text of each cell; a reader of the format by its specification, without formulas."""
    space = {"s": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))  # noqa: S314 - as above
    assert sheet.findall(".//s:f", space) == []
    return [
        [(cell.get("t"), "".join(cell.itertext())) for cell in row.findall("s:c", space)]
        for row in sheet.findall(".//s:row", space)
    ]


def test_a_workbook_holds_numbers_texts_and_no_formula() -> None:
    org = factories.organization()
    rows.enter(
        rows.row(org, agent_id="=1+1", workflow_id="https://example.org", cost_usd=Decimal("0.25"), content_id="ы")
    )
    client = APIClient()
    client.force_authenticate(factories.superadmin())
    answer = client.get(URL, {"format": "xlsx"})
    header, row = cells(b"".join(answer))
    assert [text for _, text in header] == list(sheets.COLUMNS)
    by_column = dict(zip([name for name in sheets.COLUMNS if name not in ("user", "known_cost_usd")], row, strict=True))
    assert by_column["agent_id"] == ("inlineStr", "=1+1")
    assert by_column["content_id"] == ("inlineStr", "ы")
    assert by_column["workflow_id"] == ("inlineStr", "https://example.org")
    assert (by_column["cost_usd"][0], float(by_column["cost_usd"][1])) == (None, 0.25)
    assert by_column["total_tokens"] == (None, "120")
    # Days since 1899-12-30.
    assert float(by_column["created_at"][1]) == 46162.5
    assert answer.headers["Content-Disposition"] == 'attachment; filename="ai-calls.xlsx"'


def test_more_calls_than_a_workbook_holds_are_400(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "WORKBOOK_ROWS", 2)
    org = factories.organization()
    client = APIClient()
    client.force_authenticate(factories.owner(org))
    for count, status in [(2, 200), (1, 400)]:
        rows.enter(*(rows.row(org) for _ in range(count)))
        answer = client.get(URL, {"format": "xlsx"})
        assert answer.status_code == status
    assert set(answer.json()["error"]["details"]) == {"format"}
    assert client.get(URL, {"format": "xlsx", "agent_id": "nobody"}).status_code == 200


# ── Who may go on ──


def token_revoked(person: User, tokens: Pair) -> None:
    revoke_session(tokens.refresh)


def password_changed(person: User, tokens: Pair) -> None:
    person.set_password("another")
    person.save()


def deactivated(person: User, tokens: Pair) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)


def deleted(person: User, tokens: Pair) -> None:
    User.objects.filter(pk=person.pk).delete()


def logged_out(person: User, tokens: Pair) -> None:
    Session.objects.all().delete()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx"])
@pytest.mark.parametrize("ended", [token_revoked, password_changed, deactivated, deleted])
def test_an_export_by_token_breaks_off_when_the_token_ends(
    reads: list[int], person: User, ended: Callable[..., None], kind: str
) -> None:
    tokens = factories.api_session(person)
    client = APIClient(headers={"authorization": f"Bearer {tokens.access}"})
    expect_broken_off(client, reads, kind, lambda: ended(person, tokens))


@pytest.mark.parametrize("ended", [logged_out, password_changed, deactivated])
def test_an_export_by_session_breaks_off_when_the_session_ends(
    reads: list[int], person: User, ended: Callable[..., None]
) -> None:
    client = APIClient()
    client.force_login(person)
    expect_broken_off(client, reads, "csv", lambda: ended(person, factories.api_session(person)))


def expect_broken_off(client: APIClient, reads: list[int], kind: str, end: Callable[[], None]) -> None:
    chunks = iter(client.get(URL, {"format": kind}))
    while not reads:
        next(chunks)
    end()
    with pytest.raises(ExportStoppedError):
        list(chunks)
    assert reads == [10]


@pytest.mark.parametrize("by", ["token", "session"])
def test_an_export_by_credentials_that_hold_is_whole(reads: list[int], person: User, by: str) -> None:
    client = APIClient()
    if by == "token":
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {factories.api_session(person).access}")
    else:
        client.force_login(person)
    assert b"".join(client.get(URL, {"format": "jsonl"})).count(b"\n") == 35


def test_a_third_export_of_a_person_is_refused_until_one_is_done(reads: list[int], person: User) -> None:
    client, other = APIClient(), APIClient()
    client.force_authenticate(person)
    other.force_authenticate(factories.superadmin())
    first, second = client.get(URL), client.get(URL)
    refused = client.get(URL)
    assert (first.status_code, second.status_code, refused.status_code) == (200, 200, 429)
    assert refused.headers["Retry-After"] == "30"
    assert refused.json()["error"]["code"] == "too_many_exports"
    assert other.get(URL).status_code == 200
    b"".join(first)
    assert client.get(URL).status_code == 200


def test_as_many_exports_as_a_process_makes_leave_threads_for_everybody(reads: list[int], person: User) -> None:
    client = APIClient()
    held = []
    for _ in range(3):
        client.force_authenticate(factories.superadmin())
        held += [client.get(URL), client.get(URL)]
    assert [answer.status_code for answer in held] == [200] * 4 + [429] * 2


# ── As it is read ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches read so far."""
    done: list[int] = []
    batches = export._batches

    def counted(*given: Any) -> Iterator[Sequence[UsageRecord]]:
        for batch in batches(*given):
            done.append(len(batch))
            yield batch

    monkeypatch.setattr(export, "BATCH_SIZE", 10)
    monkeypatch.setattr(export, "_batches", counted)
    return done


@pytest.fixture
def person() -> User:
    """Somebody with 35 calls, each with something that does not compress: a workbook of these is sent part by part."""
    org = factories.organization()
    noise = random.Random(1)
    rows.enter(*(rows.row(org, usage={"noise": noise.randbytes(5000).hex()}) for _ in range(35)))
    return factories.owner(org)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx"])
def test_an_export_is_sent_as_it_is_read(reads: list[int], person: User, kind: str) -> None:
    client = APIClient()
    client.force_authenticate(person)
    chunks = iter(client.get(URL, {"format": kind}))
    began_at = []
    for chunk in chunks:
        began_at += [len(reads)] if chunk else []
    assert began_at[:2] == ([0, 0] if kind == "csv" else [0, 1] if kind == "xlsx" else [1, 2])
    assert reads == [10, 10, 10, 5]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_export_reads_as_it_is_taken(reads: list[int], person: User, kind: str) -> None:
    client = APIClient()
    client.force_authenticate(person)
    answer = client.get(URL, {"format": kind})
    assert reads == []
    chunks = iter(answer)
    taken = b""
    while taken.count(b"\n") < 10:
        taken += next(chunks)
    assert reads == [10]
    taken += b"".join(chunks)
    assert reads == [10, 10, 10, 5]
    assert taken.count(b"\n") == 35 + (kind == "csv")


def test_a_workbook_is_read_some_at_a_time(reads: list[int], person: User) -> None:
    client = APIClient()
    client.force_authenticate(person)
    assert len(cells(b"".join(client.get(URL, {"format": "xlsx"})))) == 36
    assert reads == [10, 10, 10, 5]


def test_head_reads_nothing(reads: list[int], person: User) -> None:
    client = APIClient()
    client.force_authenticate(person)
    for kind in ("csv", "xlsx"):
        answer = client.head(URL, {"format": kind})
        assert (answer.status_code, b"".join(answer)) == (200, b"")
    assert reads == []


def test_no_transaction_is_open_between_two_reads(reads: list[int], person: User) -> None:
    client = APIClient()
    client.force_authenticate(person)
    depth = len(connection.savepoint_ids)
    chunks = iter(client.get(URL, {"format": "jsonl"}))
    for _ in chunks:
        assert len(connection.savepoint_ids) == depth


@pytest.fixture
async def threads(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Under ASGI views run in threads, each with a connection of its own; none is to outlive the test."""
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    yield
    await sync_to_async(connections.close_all)()


def transactions_left_open() -> int:
    """Count the open transactions of all connections. SQLite has no count, but an open one makes `BEGIN` fail."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("BEGIN EXCLUSIVE")
            cursor.execute("ROLLBACK")
            return 0
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in tr%'"
        )
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
async def test_under_asgi_it_is_sent_as_it_is_read(reads: list[int], person: User, threads: None) -> None:
    client = AsyncClient()
    await client.aforce_login(person)
    answer = await client.get(URL, {"format": "jsonl"})
    chunks: AsyncIterator[bytes] = answer.streaming_content  # type: ignore[attr-defined]
    counts = [(chunk.count(b"\n"), list(reads)) async for chunk in chunks]
    assert counts == [(10, [10]), (10, [10, 10]), (10, [10] * 3), (5, [10, 10, 10, 5])]


@pytest.mark.django_db(transaction=True)
async def test_who_goes_away_leaves_nothing_open(reads: list[int], person: User, threads: None) -> None:
    """The server itself, told by its gateway that the client is gone after the first chunk."""
    client = AsyncClient()
    await client.aforce_login(person)
    cookie = f"sessionid={client.cookies['sessionid'].value}".encode()
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": URL, "query_string": b"format=jsonl",
        "headers": [(b"host", b"localhost"), (b"cookie", cookie)], "scheme": "http", "root_path": "",
    }  # fmt: skip
    gone = asyncio.Event()
    requests = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in requests:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message.get("body"):
            gone.set()
            await asyncio.sleep(1)

    await get_asgi_application()(scope, receive, send)
    assert gone.is_set()
    assert reads == [10]
    assert await sync_to_async(transactions_left_open)() == 0
