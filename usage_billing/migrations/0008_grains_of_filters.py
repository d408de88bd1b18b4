"""Totals for any filter and any breakdown, of everything and of an organisation; indexes for members and for troubles.

The new grains leave out what the cube has, so that they are added up from it: also of calls that are archived.
"""

from typing import Any

from django.conf import settings
from django.db import migrations, models

import usage_billing.models.fields

DIMENSIONS = ("org_id", "user_id", "agent_id", "request_type", "ai_provider", "ai_model", "status")
MIX = ("agent_id", "request_type", "ai_provider", "ai_model", "status")
GRAINS = {"mix": MIX, "org_mix": ("org_id", *MIX)}
MEASURES = (
    "requests_count",
    "failed_count",
    "unpriced_usd_count",
    "unpriced_rub_count",
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
    columns = ", ".join(["grain", "usage_date", *DIMENSIONS, *MEASURES])
    for grain, kept in GRAINS.items():
        values = ", ".join(
            [*(name if name in kept else "0" for name in DIMENSIONS), *(f"sum({name})" for name in MEASURES)]
        )
        grouped = ", ".join(["usage_date", *kept])
        schema_editor.execute(
            f"INSERT INTO token_usage_daily ({columns}) SELECT '{grain}', usage_date, {values}"  # noqa: S608 - built of the names above
            f" FROM token_usage_daily WHERE grain = 'cube' GROUP BY {grouped}"
        )


def empty(apps: Any, schema_editor: Any) -> None:
    for grain in GRAINS:
        schema_editor.execute(f"DELETE FROM token_usage_daily WHERE grain = '{grain}'")  # noqa: S608 - a name from above


def tell_the_planner(apps: Any, schema_editor: Any) -> None:
    """A user calls for one organisation. Taken for independent, the two conditions seem to leave next to no call."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE STATISTICS token_usage_org_of_user (dependencies) ON org_id, user_id FROM token_usage"
        )


def tell_it_no_more(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP STATISTICS token_usage_org_of_user")


TROUBLED = models.Q(("cost_usd__isnull", True), ("status", "failed"), _connector="OR")


class Migration(migrations.Migration):
    dependencies = (
        ("usage_billing", "0007_what_to_look_at"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    )

    operations = (
        migrations.RunPython(fill, empty),
        migrations.RunPython(tell_the_planner, tell_it_no_more),
        migrations.AddIndex(
            model_name="dailyusage",
            index=usage_billing.models.fields.NamedIndex(
                condition=models.Q(("grain", "cube")),
                fields=["user_id", "org_id", "usage_date"],
                name="idx_token_usage_daily_user",
            ),
        ),
        *(
            migrations.AddIndex(
                model_name="usagerecord",
                index=usage_billing.models.fields.NamedIndex(
                    condition=TROUBLED, fields=[field, "-created_at", "-id"], name=f"idx_token_usage_{field}_troubled"
                ),
            )
            for field in ("org", "user")
        ),
    )
