"""PostgreSQL alone: what Django's models cannot say. Other databases skip it."""

from typing import Any

from django.db import migrations

AMOUNT = r"[0-9]{1,6}(\.[0-9]{1,12})?"
PRICE = rf'"[a-z0-9_]+": "{AMOUNT}"'

FORWARDS = (
    # Every unique key contains the tenant, as Citus demands of a table that is distributed by `org_id`.
    "ALTER TABLE token_usage DROP CONSTRAINT token_usage_pkey, ADD CONSTRAINT token_usage_pkey PRIMARY KEY (id, org_id)",
    # A user calls for one organisation. Taken as independent, the two conditions seem to leave next to no call.
    "CREATE STATISTICS token_usage_org_of_user (dependencies) ON org_id, user_id FROM token_usage",
    # Prices are USD as strings, not less than 0. SQLite has no regular expressions of its own: a CHECK with one would
    # make the database unreadable to every other program.
    "ALTER TABLE usage_price_override ADD CONSTRAINT price_override_prices"
    rf" CHECK (prices::text ~ '^\{{{PRICE}(, {PRICE})*\}}$')",
)
BACKWARDS = (
    "ALTER TABLE usage_price_override DROP CONSTRAINT price_override_prices",
    "DROP STATISTICS token_usage_org_of_user",
    "ALTER TABLE token_usage DROP CONSTRAINT token_usage_pkey, ADD CONSTRAINT token_usage_pkey PRIMARY KEY (id)",
)


def forwards(apps: Any, schema_editor: Any) -> None:
    _execute(schema_editor, FORWARDS)


def backwards(apps: Any, schema_editor: Any) -> None:
    _execute(schema_editor, BACKWARDS)


def _execute(schema_editor: Any, statements: tuple[str, ...]) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for statement in statements:
            schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = (("usage_billing", "0001_initial"),)

    operations = (migrations.RunPython(forwards, backwards),)
