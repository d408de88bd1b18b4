"""Indexes of a day's calls by cost, in place of those of all calls. People go on reading while they are made."""

from django.db import migrations

from usage_billing.models.fields import NamedIndex

ADDED = {
    "idx_token_usage_day_cost": ["usage_date", "-cost_usd", "-id"],
    "idx_token_usage_org_day_cost": ["org", "usage_date", "-cost_usd", "-id"],
}
REMOVED = ("idx_token_usage_date", "idx_token_usage_cost", "idx_token_usage_org_cost")


class Migration(migrations.Migration):
    dependencies = (("usage_billing", "0012_bounds_of_the_past"),)
    operations = (
        *(
            migrations.AddIndex(model_name="usagerecord", index=NamedIndex(fields=fields, name=name))
            for name, fields in ADDED.items()
        ),
        *(migrations.RemoveIndex(model_name="usagerecord", name=name) for name in REMOVED),
    )
