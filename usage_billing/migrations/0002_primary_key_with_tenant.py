"""PostgreSQL: let the ledger's primary key contain the tenant, as every unique key must once Citus shards by `org_id`."""

from typing import Any

from django.db import migrations


def with_tenant(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "ALTER TABLE token_usage DROP CONSTRAINT token_usage_pkey,"
            " ADD CONSTRAINT token_usage_pkey PRIMARY KEY (id, org_id)"
        )


def without_tenant(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "ALTER TABLE token_usage DROP CONSTRAINT token_usage_pkey, ADD CONSTRAINT token_usage_pkey PRIMARY KEY (id)"
        )


class Migration(migrations.Migration):
    dependencies = [("usage_billing", "0001_initial")]

    operations = [migrations.RunPython(with_tenant, without_tenant)]
