"""A project that only records: SQLite, two of Django's own apps, and not one setting of ours."""

from __future__ import annotations

from decimal import Decimal

from tests.support.foreign_project import ForeignProject

SETTINGS = """
    from pathlib import Path

    SECRET_KEY = "of a foreign project, and long enough to sign what it signs"
    USE_TZ = True
    INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "usage_billing"]
    DATABASES = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).with_name("db.sqlite3")}
    }
"""
CALL = """
    from ai_clients import OpenAI
    from usage_billing import usage_context

    with usage_context(agent_id="greeter", request_type="greeting"):
        OpenAI().chat.completions.create(
            model="gpt-4.1-mini", messages=[{"role": "user", "content": "Say hello."}]
        )
"""
RECORDS = """
    import json

    from usage_billing.models import UsageRecord

    fields = ("agent_id", "request_type", "ai_model", "total_tokens", "cost_usd", "price_source", "status")
    print(json.dumps(list(UsageRecord.objects.values(*fields)), default=str))
"""


def test_a_call_is_recorded_and_priced(project: ForeignProject) -> None:
    expect_a_call_recorded_and_priced(project)


def test_a_call_is_recorded_and_priced_on_django_6(django_6_project: ForeignProject) -> None:
    assert django_6_project.run("-m", "django", "--version").startswith("6.0")
    expect_a_call_recorded_and_priced(django_6_project)


def expect_a_call_recorded_and_priced(project: ForeignProject) -> None:
    project.write({"settings.py": SETTINGS})
    project.manage("check")
    project.manage("migrate")
    project.shell(CALL)
    project.manage("drain_usage")
    (record,) = project.json(RECORDS)
    assert Decimal(record.pop("cost_usd")) > 0
    assert record.pop("total_tokens") > 0
    assert record.pop("price_source")
    assert record.pop("ai_model").startswith("gpt-4.1-mini")
    assert record == {"agent_id": "greeter", "request_type": "greeting", "status": "succeeded"}
