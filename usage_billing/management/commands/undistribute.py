"""`manage.py undistribute`: brings the calls back from the workers of a Citus cluster."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command

from usage_billing.conf import conf
from usage_billing.management.cluster_command import ClusterCommand, alone
from usage_billing.models import database
from usage_billing.models.database import connection
from usage_billing.reports.sql import functions
from usage_billing.tenancy import cluster, distributing, distribution, row_level_security, shards


class Command(ClusterCommand):
    help = (
        "Bring token_usage and token_usage_daily back from the workers of a Citus cluster into this PostgreSQL, which"
        " needs room for them. Run it as the tables' owner while no drain and no job runs."
    )

    def work(self, **options: Any) -> None:
        with connection.cursor() as cursor:
            if not distribution.are_distributed(cursor):
                self.stdout.write("The ledger is not distributed. Nothing was changed.")
                return
        with alone():
            with database.atomic():
                functions.drop_view(connection)
                distributing.undistribute(connection)
                functions.create(connection)
                if conf.ROW_LEVEL_SECURITY:
                    row_level_security.secure(connection)
            with connection.cursor() as cursor:
                shards.forget_key(cursor)
        self.stdout.write(
            "All calls are in this PostgreSQL again. Restart the web, the drains and the jobs. An administrator may"
            f" undo the LOGIN of {', '.join(row_level_security.TAKEN)} on each worker, and here {cluster.SET_COMMANDS}."
        )
        call_command("check_usage", stdout=self.stdout, stderr=self.stderr)
