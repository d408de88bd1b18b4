"""The cube keeps the status apart too, so that a filter by it needs no look at single calls.

The totals follow from `token_usage`, and a key cannot be altered everywhere: the table is made anew and filled again.
"""

from typing import Any

from django.db import migrations, models

import usage_billing.models.fields

KEY = ("grain", "org_id", "usage_date", "user_id", "agent_id", "request_type", "ai_provider", "ai_model", "status")
DIMENSIONS = {
    "org_id": ("org_id", "0"),
    "user_id": ("coalesce(user_id, 0)", "0"),
    "agent_id": ("agent_id", "''"),
    "request_type": ("request_type", "''"),
    "ai_provider": ("ai_provider", "''"),
    "ai_model": ("ai_model", "''"),
    "status": ("status", "''"),
}
"""Column → what it holds where the grain keeps the dimension, and where it leaves it out."""
GRAINS: dict[str, tuple[str, ...]] = {
    "total": (),
    "agent": ("agent_id",),
    "type": ("request_type",),
    "model": ("ai_provider", "ai_model"),
    "org": ("org_id",),
    "org_user": ("org_id", "user_id"),
    "org_agent": ("org_id", "agent_id"),
    "org_type": ("org_id", "request_type"),
    "org_model": ("org_id", "ai_provider", "ai_model"),
    "cube": tuple(DIMENSIONS),
}
COUNTS = {
    "requests_count": "count(*)",
    "failed_count": "sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END)",
    "unpriced_usd_count": "sum(CASE WHEN cost_usd IS NULL THEN 1 ELSE 0 END)",
    "unpriced_rub_count": "sum(CASE WHEN cost_rub IS NULL THEN 1 ELSE 0 END)",
}
SUMS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "execution_time_ms",
    "cost_usd",
    "cost_rub",
)


def fill(apps: Any, schema_editor: Any) -> None:
    columns = ", ".join(["grain", "usage_date", *DIMENSIONS, *COUNTS, *SUMS])
    for grain, kept in GRAINS.items():
        dimensions = {name: there if name in kept else left_out for name, (there, left_out) in DIMENSIONS.items()}
        values = ", ".join([*dimensions.values(), *COUNTS.values(), *(f"coalesce(sum({name}), 0)" for name in SUMS)])
        grouped = ", ".join(["usage_date", *(dimensions[name] for name in kept)])
        schema_editor.execute(
            f"INSERT INTO token_usage_daily ({columns}) SELECT '{grain}', usage_date, {values} FROM token_usage GROUP BY {grouped}"  # noqa: S608 - built of the names above
        )


def daily_usage() -> Any:
    return migrations.CreateModel(
        name="DailyUsage",
        fields=[
            ("pk", models.CompositePrimaryKey(*KEY, blank=True, editable=False, primary_key=True, serialize=False)),
            ("grain", models.CharField(max_length=10)),
            ("usage_date", models.DateField()),
            ("org_id", models.BigIntegerField()),
            ("user_id", models.BigIntegerField()),
            ("agent_id", models.CharField(max_length=100)),
            ("request_type", models.CharField(max_length=100)),
            ("ai_provider", models.CharField(max_length=50)),
            ("ai_model", models.CharField(max_length=200)),
            ("status", models.CharField(max_length=10)),
            *((name, models.BigIntegerField()) for name in [*COUNTS, *SUMS[:-2]]),
            *((name, models.DecimalField(decimal_places=12, max_digits=24)) for name in SUMS[-2:]),
        ],
        options={
            "db_table": "token_usage_daily",
            "indexes": [
                usage_billing.models.fields.NamedIndex(
                    fields=["grain", "usage_date"], name="idx_token_usage_daily_grain_date"
                )
            ],
        },
    )


class Migration(migrations.Migration):
    dependencies = (("usage_billing", "0003_prices_of_our_own"),)

    operations = (
        migrations.DeleteModel(name="DailyUsage"),
        daily_usage(),
        migrations.RunPython(fill, migrations.RunPython.noop),
    )
