"""What the dearest call of each daily row cost, of the rows that are there.

Where calls of a row are archived their sum stands in: none of them cost more. A transaction of its own, because the one
that adds the column keeps everybody from reading. A million calls of 200 organisations take about a minute.
"""

from typing import Any

from django.db import migrations

KEY = ("grain", "org_id", "usage_date", "user_id", "agent_id", "request_type", "ai_provider", "ai_model", "status")
MIX = ("agent_id", "request_type", "ai_provider", "ai_model", "status")
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
    "mix": MIX,
    "org_mix": ("org_id", *MIX),
}
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
    """The cube's rows from the calls, the others' from the cube's. No row is made: there is one for each already."""
    of_calls = {name: name for name in KEY[1:]} | {"user_id": "coalesce(user_id, 0)"}
    zeroes = dict.fromkeys(MEASURES, "0") | {"requests_count": "count(*)"}
    _set(
        schema_editor,
        {"grain": "'cube'", **of_calls, **zeroes, "dearest_usd": "coalesce(max(cost_usd), 0)"},
        "token_usage WHERE 1 = 1",
        tuple(of_calls.values()),
        "WHERE token_usage_daily.requests_count = excluded.requests_count",
    )
    schema_editor.execute(
        "UPDATE token_usage_daily SET dearest_usd = cost_usd WHERE grain = 'cube' AND dearest_usd = 0 AND cost_usd <> 0"
    )
    for grain, kept in GRAINS.items():
        named = ("usage_date", *kept)
        keys = {name: name if name in named else "0" if name in ("org_id", "user_id") else "''" for name in KEY[1:]}
        sums = {name: f"sum({name})" for name in MEASURES}
        _set(
            schema_editor,
            {"grain": f"'{grain}'", **keys, **sums, "dearest_usd": "max(dearest_usd)"},
            "token_usage_daily WHERE grain = 'cube'",
            named,
        )


def _set(
    schema_editor: Any, values: dict[str, str], source: str, grouped: tuple[str, ...], condition: str = ""
) -> None:
    schema_editor.execute(
        f"INSERT INTO token_usage_daily ({', '.join(values)}) SELECT {', '.join(values.values())}"  # noqa: S608 - built of the names above
        f" FROM {source} GROUP BY {', '.join(grouped)}"
        f" ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET dearest_usd = excluded.dearest_usd {condition}"
    )


class Migration(migrations.Migration):
    dependencies = (("usage_billing", "0011_the_dearest_call"),)
    operations = (migrations.RunPython(fill, migrations.RunPython.noop),)
