"""A bound of what the calls of a daily row cost: none of them cost more."""

from django.db import migrations

from usage_billing.models.fields import money


class Migration(migrations.Migration):
    dependencies = (("usage_billing", "0010_lists_read_backwards"),)
    operations = (migrations.AddField(model_name="dailyusage", name="dearest_usd", field=money(default=0)),)
