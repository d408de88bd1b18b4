import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Columns of runs that the admin requests and another process works on."""

    dependencies = [
        ("usage_billing", "0007_indexes_of_lists"),
    ]

    operations = [
        migrations.AddField(
            model_name="repricerun",
            name="continues",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="continued_by",
                to="usage_billing.repricerun",
                verbose_name="continues the repricing",
            ),
        ),
        migrations.AddField(
            model_name="repricerun",
            name="problem",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=500, verbose_name="problem"
            ),
        ),
        migrations.AddField(
            model_name="repricerun",
            name="provider",
            field=models.CharField(blank=True, db_default="", default="", max_length=50, verbose_name="provider"),
        ),
        migrations.AddField(
            model_name="repricerun",
            name="worked_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last batch at"),
        ),
        migrations.AlterField(
            model_name="repricerun",
            name="model",
            field=models.CharField(
                blank=True,
                default="",
                help_text="As recorded, or a pattern in which * matches anything. Empty: all models.",
                max_length=200,
                verbose_name="model",
            ),
        ),
        # A run without `worked_at` waits for a process to begin it: the runs of the past do not.
        migrations.RunSQL("UPDATE usage_reprice_run SET worked_at = started_at", migrations.RunSQL.noop),
    ]
