"""The weekly digest becomes opt-in. Owners who got it until now, those who had not declined it, are subscribed."""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def subscribe_owners(apps: Any, schema_editor: Any) -> None:
    """Subscribe each owner who has not declined, also those without an address: their choice said yes."""
    database = schema_editor.connection.alias
    refusals = apps.get_model("ai_assistants", "DigestRefusal").objects.using(database)
    subscription = apps.get_model("ai_assistants", "DigestSubscription")
    _add(_owners(apps, database) - {*refusals.values_list("org_id", "user_id")}, subscription, database)


def decline_for_others(apps: Any, schema_editor: Any) -> None:
    """Note a refusal for each owner who has not subscribed."""
    database = schema_editor.connection.alias
    subscriptions = apps.get_model("ai_assistants", "DigestSubscription").objects.using(database)
    refusal = apps.get_model("ai_assistants", "DigestRefusal")
    _add(_owners(apps, database) - {*subscriptions.values_list("org_id", "user_id")}, refusal, database)


def _owners(apps: Any, database: str) -> set[tuple[Any, Any]]:
    memberships = apps.get_model("usage_billing", "Membership").objects.using(database).filter(role="owner")
    return {*memberships.values_list("org_id", "user_id")}


def _add(rows: set[tuple[Any, Any]], model: Any, database: str) -> None:
    wanted = [model(org_id=org_id, user_id=user_id) for org_id, user_id in sorted(rows)]
    model.objects.using(database).bulk_create(wanted, batch_size=500)


class Migration(migrations.Migration):
    dependencies = [
        ("ai_assistants", "0002_digest_refusal"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="DigestSubscription",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "org",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="usage_billing.organization",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "ai_digest_subscription",
                "constraints": [models.UniqueConstraint(fields=("org", "user"), name="digest_subscription_org_user")],
            },
        ),
        migrations.RunPython(subscribe_owners, decline_for_others),
        migrations.DeleteModel(name="DigestRefusal"),
    ]
