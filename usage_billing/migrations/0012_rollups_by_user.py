"""An index of the daily totals by user.

PostgreSQL builds it beside the writers (`CONCURRENTLY`), so no lock waits for a large table. If that is interrupted, it
leaves an invalid index: drop `idx_token_usage_daily_org_user`, and migrate again.
"""

from typing import Any

from django.db import migrations, models

import usage_billing.models.fields


class AddIndexBesideWriters(migrations.AddIndex):
    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            schema_editor.execute(self.index.create_sql(model, schema_editor, concurrently=True))


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("usage_billing", "0011_ways_in")]

    operations = [
        AddIndexBesideWriters(
            model_name="dailyusage",
            index=usage_billing.models.fields.NamedIndex(
                fields=["user", "usage_date"],
                name="idx_token_usage_daily_org_user",
                condition=models.Q(grain="org_user"),
            ),
        ),
    ]
