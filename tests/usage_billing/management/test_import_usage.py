"""Files of calls that other programs recorded: what becomes of each row, and of a run that is interrupted."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tests.support import factories
from tests.support.configure import configure
from tests.support.factories import NOON
from tests.support.recorded import Recorded
from usage_billing.ingest.files import importing
from usage_billing.ledger import writer
from usage_billing.models import Organization, UsageRecord
from usage_billing.recording import recorder
from usage_billing.recording.outbox import Outbox

pytestmark = pytest.mark.django_db
Drained = Callable[[], int]


@pytest.fixture
def org() -> Organization:
    return Organization.objects.create(name="Atlas", slug="atlas", timezone="Europe/Moscow")


@pytest.fixture(autouse=True)
def _in_english(settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"


@pytest.fixture
def imported(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: Any) -> str:
        call_command("import_usage", *map(str, arguments))
        return capsys.readouterr().out

    return run


def lines(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def table(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as file:
        written = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        written.writeheader()
        for row in rows:
            written.writerow(
                {name: json.dumps(cell) if isinstance(cell, dict | list) else cell for name, cell in row.items()}
            )
    return path


def an_event(number: int, **fields: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    given = {"request_id": f"job-{number}", "provider": "openai", "model": "gpt-4.1-mini", "usage": usage}
    return given | {"time": NOON.isoformat(), "cost_usd": "0.0006"} | fields


# ── Our events ──


def test_events_are_imported_once_however_often(
    org: Organization, tmp_path: Path, imported: Callable[..., str], drained: Drained
) -> None:
    """In pieces of a thousand; a run that is interrupted is run again."""
    file = lines(tmp_path / "calls.jsonl", (an_event(number) for number in range(2_500)))
    options = (file, "--format", "events", "--org", "atlas")
    assert imported(*options, "--dry-run") == (
        "Would import 2,500 calls of 1 files; known already: 0; no calls: 0; refused: 0. They told 1.5 USD.\n"
    )
    assert UsageRecord.objects.count() == drained() == 0
    part = lines(tmp_path / "part.jsonl", (an_event(number) for number in range(1_200)))
    imported(part, *options[1:])
    drained()
    assert imported(*options) == (
        "Imported 1,300 calls of 1 files; known already: 1,200; no calls: 0; refused: 0. They told 0.78 USD.\n"
    )
    drained()
    imported(*options)  # all are known
    assert drained() == 0
    assert UsageRecord.objects.filter(org=org, cost_usd=Decimal("0.00056")).count() == 2_500
    call_command("check_usage")


@pytest.mark.parametrize("form", ["list", "object", "lines", "gzip", "pretty"])
def test_forms_of_a_file(
    form: str, org: Organization, tmp_path: Path, imported: Callable[..., str], drained: Drained
) -> None:
    events = [an_event(number) for number in range(30)]
    texts = {
        "list": json.dumps(events),
        "object": json.dumps({"events": events}),
        "lines": "\n\n".join(map(json.dumps, events)),
        "pretty": "\ufeff" + json.dumps(events, indent=2),
    }
    file = tmp_path / "calls.json"
    if form == "gzip":
        file = tmp_path / "calls.jsonl.gz"
        file.write_bytes(gzip.compress(texts["lines"].encode()))
    else:
        file.write_text(texts[form])
    assert imported(file, "--format", "events", "--org", "atlas").startswith("Imported 30 calls")
    assert drained() == 30


def test_refused_rows_are_listed_and_the_command_fails(
    org: Organization, tmp_path: Path, capsys: pytest.CaptureFixture[str], drained: Drained
) -> None:
    rows = ["{", "[]", an_event(1), an_event(2, time=None), an_event(3, org="nobody"), *[{}] * 30, an_event(4)]
    file, refused = lines(tmp_path / "calls.jsonl", ["", *rows]), tmp_path / "refused.jsonl"
    with pytest.raises(CommandError, match="34 rows were refused"):
        call_command("import_usage", str(file), "--format=events", "--org=atlas", f"--refused={refused}")
    out, err = capsys.readouterr()
    assert out.startswith("Imported 2 calls of 1 files; known already: 0; no calls: 0; refused: 34.")
    assert err.count(", row ") == 20
    assert f"{file}, row 2: The line is not JSON" in err
    assert f"{file}, row 3: The row is no object." in err
    assert f"{file}, row 5: In a file, an event needs a time." in err
    assert "row 6: There is no organisation “nobody” here." in err
    assert f"… and 14 more refused rows; all are in {refused}." in err
    told = [json.loads(line) for line in refused.read_text().splitlines()]
    assert [each["row"] for each in told] == [2, 3, 5, 6, *range(7, 37)]
    assert drained() == 2


def test_rows_of_no_organisation_are_refused(org: Organization, tmp_path: Path, drained: Drained) -> None:
    file = lines(tmp_path / "calls.jsonl", [an_event(1), an_event(2, org="atlas"), an_event(3, org="theirs")])
    with pytest.raises(CommandError, match="1 rows were refused"):
        call_command("import_usage", str(file), "--format=events", "--map-org=theirs=atlas")
    drained()
    assert sorted(UsageRecord.objects.values_list("org_id", "request_id")) == [(org.pk, "job-2"), (org.pk, "job-3")]


def test_what_is_wrong_before_the_first_row(org: Organization, tmp_path: Path) -> None:
    file = lines(tmp_path / "calls.jsonl", [an_event(1)])
    with pytest.raises(CommandError, match="There is no organisation “nobody”"):
        call_command("import_usage", str(file), "--format=events", "--org=nobody")
    with pytest.raises(CommandError, match=r"missing.jsonl: No such file or directory. Nothing was imported."):
        call_command("import_usage", str(tmp_path / "missing.jsonl"), "--format=events", "--org=atlas")


@pytest.mark.parametrize("content", ["", "\n", "[]", "{}", "[" * 5000, '[{"a": 1}, {"b": ', "a,b\n1\n", "\x00\xff"])
def test_files_that_hold_no_calls(content: str, org: Organization, tmp_path: Path, drained: Drained) -> None:
    file = tmp_path / "calls"
    file.write_bytes(content.encode("latin-1"))
    try:
        call_command("import_usage", str(file), "--format=events", "--org=atlas")
    except CommandError as error:
        assert "refused" in str(error)  # noqa: PT017 - whichever of them have rows
    assert drained() == 0


def test_a_large_list_is_read_in_pieces_up_to_its_damage(
    org: Organization, tmp_path: Path, capsys: pytest.CaptureFixture[str], drained: Drained
) -> None:
    """Items of all sizes, so that some are cut by the end of a block; NaN is no JSON."""
    events = [an_event(number, metadata={"a": "ё" * (number * 7 % 1_900)}) for number in range(700)]
    whole = json.dumps(events, ensure_ascii=False)
    file = tmp_path / "calls.json"
    file.write_text(f'{whole[:-1]}, 5, {{"usage": {{"prompt_tokens": {{"a": NaN}}}}}}, {{}}]')
    with pytest.raises(CommandError, match="2 rows were refused"):
        call_command("import_usage", str(file), "--format=events", "--org=atlas")
    out, err = capsys.readouterr()
    assert out.startswith("Imported 700 calls")
    assert "row 701: The row is no object." in err
    assert "row 702: The list breaks off here, or is not JSON." in err
    assert drained() == 700


# ── LiteLLM ──


def litellm(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A row as LiteLLM writes it (schema.prisma, `LiteLLM_SpendLogs`)."""
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "total_tokens": 1100,
        "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": None},
        "completion_tokens_details": {"reasoning_tokens": 64, "text_tokens": 36},
    }
    return {
        "request_id": f"chatcmpl-{number}",
        "call_type": "acompletion",
        "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
        "spend": 0.00045,
        "total_tokens": 1100,
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "startTime": "2026-11-18T09:00:00.000Z",
        "endTime": "2026-11-18T09:00:01.250Z",
        "model": "gpt-4.1-mini",
        "model_id": "9d2c",
        "model_group": "fast",
        "custom_llm_provider": "openai",
        "api_base": "https://api.openai.com",
        "user": "7",
        "metadata": {
            "user_api_key_alias": "prod-key",
            "user_api_key_team_alias": "Content",
            "usage_object": usage,
            "error_information": None,
        },
        "cache_hit": "False",
        "request_tags": ["feature:chat", "User-Agent: openai-python", "plain"],
        "team_id": "team-1",
        "end_user": "",
        "session_id": "s-1",
        "status": "success",
        "messages": {"role": "user", "content": "SECRET PROMPT"},
        "response": {"content": "SECRET ANSWER"},
    } | fields


@pytest.mark.parametrize("form", ["lines", "table"])
def test_litellms_logs(
    form: str, org: Organization, tmp_path: Path, imported: Callable[..., str], drained: Drained
) -> None:
    anna = factories.member(org, "anna")
    rows = [litellm(1), litellm(2, user="9", status="failure", prompt_tokens=0, completion_tokens=0, spend=0,
                                metadata={"error_information": {"error_code": "429", "error_class": "RateLimitError",
                                                                "error_message": "SECRET PROMPT"}}),
            litellm(3, cache_hit="True")]  # fmt: skip
    file = lines(tmp_path / "logs.jsonl", rows) if form == "lines" else table(tmp_path / "logs.csv", rows)
    assert imported(file, "--format", "litellm", "--map-org", "team-1=atlas", "--map-user", "7=anna") == (
        "Imported 2 calls of 1 files; known already: 0; no calls: 1; refused: 0. They told 0.00045 USD.\n"
    )
    assert drained() == 2
    call, failed = UsageRecord.objects.order_by("request_id")
    # 600 × 0.40 + 400 × 0.10 + 100 × 1.60
    assert (call.cost_usd, call.response_metadata["told_cost_usd"]) == (Decimal("0.00044"), "0.00045")
    assert (call.prompt_tokens, call.cached_tokens, call.reasoning_tokens) == (1000, 400, 64)
    assert (call.org_id, call.user_id, call.created_at, call.execution_time_ms) == (org.pk, anna.pk, NOON, 1250)
    assert (call.ai_provider, call.ai_model, call.endpoint) == ("openai", "gpt-4.1-mini", "/v1/chat/completions")
    assert call.tags == {"litellm_team": "Content", "litellm_key": "prod-key", "feature": "chat"}
    assert call.request_metadata == {"litellm_user": "7", "session_id": "s-1", "model_group": "fast"}
    assert (call.response_metadata["source"], call.response_metadata["emitter"]) == ("import", "litellm")
    assert (failed.status, failed.error_code, failed.cost_usd, failed.user_id) == (
        "failed",
        "429 RateLimitError",
        0,
        None,
    )
    for record in (call, failed):
        assert "SECRET" not in json.dumps([record.request_metadata, record.response_metadata, record.usage])


CLAUDE = "claude-haiku-4-5-20251001"
WRITTEN = {"cache_creation_tokens": 400, "cached_tokens": 2000}


@pytest.mark.parametrize(
    ("usage", "row", "millionths"),
    [
        # 1000 × 1 + 2000 × 0.10 + 300 × 1.25 + 100 × 2 + 100 × 5
        (
            {
                "prompt_tokens": 3400,
                "prompt_tokens_details": WRITTEN
                | {
                    "cache_creation_token_details": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 100}
                },
            },
            {},
            2275,
        ),
        # The lifetimes are not told.
        ({"prompt_tokens": 3400, "prompt_tokens_details": WRITTEN}, {}, "cache-write-lifetime"),
        # Older versions told the counts of the cache beside the prompt: 1000 × 1 + 2000 × 0.10 + 100 × 5
        ({"prompt_tokens": 1000, "cache_read_input_tokens": 2000}, {}, 1700),
        # By Bedrock, whose name LiteLLM writes before the model's
        (
            {"prompt_tokens": 1000},
            {"custom_llm_provider": "bedrock", "model": "bedrock/anthropic.claude-haiku-4-5-20251001-v1:0"},
            1650,
        ),
        # One search: 1000 × 1 + 100 × 5 + 10,000
        ({"prompt_tokens": 1000, "server_tool_use": {"web_search_requests": 1}}, {}, 11_500),
        ({"prompt_tokens": 1000, "prompt_tokens_details": {"video_tokens": 5}}, {}, "unread-usage:video_tokens"),
    ],
)
def test_litellms_usage_of_claude(
    usage: dict[str, Any], row: dict[str, Any], millionths: int | str, org: Organization, tmp_path: Path,
    imported: Callable[..., str], drained: Drained
) -> None:  # fmt: skip
    given = {"custom_llm_provider": "anthropic", "model": CLAUDE, "prompt_tokens": usage["prompt_tokens"]} | row
    metadata = {"usage_object": {"completion_tokens": 100, **usage}}
    file = lines(tmp_path / "logs.jsonl", [litellm(1, **given, metadata=metadata)])
    imported(file, "--format", "litellm", "--org", "atlas")
    drained()
    record = UsageRecord.objects.get()
    expected = (None, f"unpriced:{millionths}") if isinstance(millionths, str) else Decimal(millionths) / 1_000_000
    assert ((record.cost_usd, record.price_source) if isinstance(millionths, str) else record.cost_usd) == expected


def test_other_kinds_of_litellms_calls(
    org: Organization, tmp_path: Path, imported: Callable[..., str], drained: Drained
) -> None:
    none: dict[str, Any] = {"metadata": {}, "prompt_tokens": 0, "completion_tokens": 0}
    embedding = {"call_type": "aembedding", "model": "text-embedding-3-small", "completion_tokens": 0, "metadata": {}}
    file = lines(
        tmp_path / "logs.jsonl",
        [
            litellm(1, **embedding),
            litellm(2, **none),
            litellm(3, call_type="atranscription", model="whisper-1", **none),
        ],
    )
    imported(file, "--format", "litellm", "--org", "atlas")
    drained()
    found = UsageRecord.objects.order_by("request_id").values_list("endpoint", "cost_usd", "price_source")
    assert [(endpoint, cost) for endpoint, cost, _ in found] == [
        ("/v1/embeddings", Decimal("0.00002")),
        ("/v1/chat/completions", None),
        ("/v1/audio/transcriptions", None),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"request_id": ""},
        {"startTime": "yesterday"},
        {"startTime": None},
        {"startTime": "2010-01-01T00:00:00"},
        {"startTime": (timezone.now() + timedelta(days=2)).isoformat()},
        {"prompt_tokens": -5},
        {"prompt_tokens": 1e18},
        {"spend": "NaN"},
        {"spend": -1},
    ],
)
def test_litellms_rows_that_are_refused(fields: dict[str, Any], org: Organization, tmp_path: Path) -> None:
    file = lines(tmp_path / "logs.jsonl", [litellm(1, **fields)])
    with pytest.raises(CommandError, match="1 rows were refused"):
        call_command("import_usage", str(file), "--format=litellm", "--org=atlas")


# ── OpenAI's usage export ──


def bucket(**fields: Any) -> dict[str, Any]:
    """A row of the dashboard's export, with its columns of November 2026."""
    return {
        "start_time": 1795305600,
        "end_time": 1795392000,
        "start_time_iso": "2026-11-22T00:00:00+00:00",
        "end_time_iso": "2026-11-23T00:00:00+00:00",
        "project_id": "proj_abc",
        "num_model_requests": "10.0",
        "user_id": "user-xyz",
        "api_key_id": "key_123",
        "model": "gpt-4.1-mini-2025-04-14",
        "batch": "FALSE",
        "service_tier": "default",
        "input_tokens": "59200.0",
        "output_tokens": "10646.0",
        "input_cached_tokens": "5760.0",
        "input_uncached_tokens": "53440.0",
        "input_text_tokens": "53440.0",
        "output_text_tokens": "10646.0",
        "input_cached_text_tokens": "5760.0",
        "input_audio_tokens": "0.0",
        "input_cached_audio_tokens": "0.0",
        "output_audio_tokens": "0.0",
        "input_image_tokens": "0.0",
        "input_cached_image_tokens": "0.0",
        "output_image_tokens": "0.0",
    } | fields


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_row_of_openais_export_is_one_record_of_many_calls(
    delimiter: str, org: Organization, tmp_path: Path, imported: Callable[..., str], drained: Drained
) -> None:
    empty = {name: "" if name not in ("start_time", "end_time") else value for name, value in bucket().items()}
    rows = [bucket(), bucket(num_model_requests="1.0"), bucket(batch="TRUE", service_tier=""), empty]
    file = table(tmp_path / "usage.csv", rows, delimiter)
    options = (file, "--format", "openai-usage", "--map-org", "proj_abc=atlas")
    assert "Imported 3 calls of 1 files; known already: 0; no calls: 1; refused: 0." in imported(*options)
    drained()
    by_requests = {record.response_metadata.get("requests", 1): record for record in UsageRecord.objects.all()}
    # 53,440 × 0.40 + 5760 × 0.10 + 10,646 × 1.60; in a batch 53,440 × 0.20 + 5760 × 0.10 + 10,646 × 0.80
    costs = sorted(UsageRecord.objects.values_list("cost_usd", flat=True))
    assert costs == [Decimal("0.0197808"), Decimal("0.0389856"), Decimal("0.0389856")]
    record = by_requests[10]
    assert (record.org_id, record.provider_project, record.prompt_tokens) == (org.pk, "proj_abc", 59_200)
    assert record.request_metadata == {"openai_user": "user-xyz", "openai_api_key": "key_123"}
    assert str(record.created_at) == "2026-11-22 00:00:00+00:00"
    # The same export again, and one with a later day before it:
    later = [bucket(start_time=1795392000, end_time=1795478400), *rows]
    assert "Imported 1 calls of 1 files; known already: 3;" in imported(
        table(tmp_path / "again.csv", later, delimiter), *options[1:]
    )


def test_buckets_of_openais_other_exports(
    org: Organization, tmp_path: Path, imported: Callable[..., str], drained: Drained
) -> None:
    zero = {name: "" for name in bucket() if name.endswith("tokens")}
    rows = [
        bucket(**zero | {"input_tokens": "1000"}, model="text-embedding-3-small"),
        bucket(**zero, model="tts-1", characters="1000"),
        bucket(**zero, model="whisper-1", seconds="3600"),
        bucket(**zero | {"input_tokens": "100", "input_image_tokens": "50"}, model="gpt-4.1-mini"),
    ]
    names = sorted({name for row in rows for name in row})
    file = table(tmp_path / "usage.csv", [{name: row.get(name, "") for name in names} for row in rows])
    imported(file, "--format", "openai-usage", "--org", "atlas")
    drained()
    costs: dict[str, Any] = dict(UsageRecord.objects.values_list("ai_model", "cost_usd"))
    assert costs == {
        "text-embedding-3-small": Decimal("0.00002"),
        "tts-1": Decimal("0.015"),
        "whisper-1": Decimal("0.36"),
        "gpt-4.1-mini": None,
    }


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": ""}, "The row names no model."),
        ({"end_time": int((timezone.now() + timedelta(hours=1)).timestamp())}, "The bucket is not over"),
        ({"input_tokens": "many"}, "input_tokens must be a whole number"),
        ({"input_cached_tokens": "60000"}, "input_tokens must include"),
        ({"start_time": "", "start_time_iso": "x"}, "No moment can be read in start_time, start_time_iso."),
    ],
)
def test_openais_rows_that_are_refused(
    fields: dict[str, Any], told: str, org: Organization, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandError, match="1 rows were refused"):
        call_command(
            "import_usage",
            str(table(tmp_path / "usage.csv", [bucket(**fields)])),
            "--format=openai-usage",
            "--org=atlas",
        )
    assert told in capsys.readouterr().err


# ── Our own export ──


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_is_restored_with_everything(
    form: str, org: Organization, tmp_path: Path, imported: Callable[..., str], drained: Drained, client: Client
) -> None:
    member = factories.member(org)
    attribution = {
        "agent_id": "=legal",
        "request_type": "chat",
        "workflow_id": "w-1",
        "metadata": {"ticket": "A-7"},
        "tags": {"env": "prod"},
    }
    writer.add(
        [
            factories.event(
                org=org, user=member, request_id="a", attribution=attribution, context={"service_tier": "priority"}
            ),
            factories.event(org=org, request_id="b", units={"web_searches": 1}, account={"project": "proj_1"}),
            factories.event(org=org, request_id="c", status="failed", error_code="529", usage={}),
            factories.event(org=org, request_id="d", model="gpt-99"),
        ]
    )
    client.force_login(factories.superadmin())
    answer = client.get("/api/billing/usage/tokens/export", {"format": form})
    file = tmp_path / f"calls.{form}"
    file.write_bytes(b"".join(answer.streaming_content))  # type: ignore[attr-defined]
    same = ["id", "recorded_at", "response_metadata", "org_id"]
    before = {row["request_id"]: row for row in UsageRecord.objects.values()}
    assert "known already: 4;" in imported(file, "--format", "export")
    other = Organization.objects.create(name="Restored", slug="restored", timezone="Europe/Moscow")
    told = imported(file, "--format", "export", "--map-org", f"{org.pk}=restored")
    assert told.startswith("Imported 4 calls of 1 files; known already: 0; no calls: 0; refused: 0. They told ")
    assert drained() == 4
    for row in UsageRecord.objects.filter(org=other).values():
        assert {name: value for name, value in row.items() if name not in same} == {
            name: value for name, value in before[row["request_id"]].items() if name not in same
        }
        kept = row["response_metadata"]
        cost = kept.pop("told_cost_usd", None)
        assert kept.pop("source") == "import"
        assert kept == before[row["request_id"]]["response_metadata"]
        assert (None if cost is None else Decimal(cost)) == row["cost_usd"]


# ── Room ──


def test_an_import_waits_for_the_drain_instead_of_losing(
    org: Organization, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, outbox: Outbox,
    imported: Callable[..., str], drained: Drained
) -> None:  # fmt: skip
    configure(settings, OUTBOX_MAX_MB=1)
    waits = 0

    def drain(_seconds: float) -> None:
        nonlocal waits
        waits += 1
        drained()

    monkeypatch.setattr("usage_billing.ingest.files.importing.time.sleep", drain)
    file = lines(tmp_path / "calls.jsonl", (an_event(number, metadata={"a": "x" * 300}) for number in range(5_000)))
    assert imported(file, "--format", "events", "--org", "atlas").startswith("Imported 5,000 calls")
    assert waits > 1
    drained()
    assert UsageRecord.objects.filter(org=org).count() == 5_000
    assert recorder.health().lost == 0


def test_an_import_gives_up_where_nothing_drains(
    org: Organization, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, outbox: Outbox
) -> None:
    configure(settings, OUTBOX_MAX_MB=1)
    monkeypatch.setattr(importing, "PATIENCE_S", 0)
    monkeypatch.setattr(importing, "LOOK_S", 0)
    file = lines(tmp_path / "calls.jsonl", (an_event(number, metadata={"a": "x" * 300}) for number in range(5_000)))
    with pytest.raises(CommandError, match="nothing drains it"):
        call_command("import_usage", str(file), "--format=events", "--org=atlas")
    assert recorder.health().lost == 0
    assert 1_000 <= len(Recorded(recorder.outbox().path).all()) < 5_000
