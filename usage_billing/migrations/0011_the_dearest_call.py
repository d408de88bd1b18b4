"""A bound of what the calls of a daily row cost: none of them cost more.

The database has a default, so that a drain of the version before is not refused what it adds.
"""

from django.db import migrations

from usage_billing.models.fields import money


class Migration(migrations.Migration):
    dependencies = (("usage_billing", "0010_lists_read_backwards"),)
    operations = (migrations.AddField(model_name="dailyusage", name="dearest_usd", field=money(db_default=0)),)
