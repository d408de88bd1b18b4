#!/bin/sh
# What a new version needs of its database, run by its owner: tables, roles, policies; and log-ins for web and drain.
set -eu
: "${USAGE_WEB_PASSWORD:?must be the password that usage_web shall have}"
: "${USAGE_DRAIN_PASSWORD:?must be the password that usage_drain shall have}"
python manage.py migrate --noinput
python manage.py shell --no-imports --command '
import os
from django.db import connection
from psycopg import sql
from usage_billing.tenancy.roles import DRAIN, WEB
with connection.cursor() as cursor:
    for role, variable in ((WEB, "USAGE_WEB_PASSWORD"), (DRAIN, "USAGE_DRAIN_PASSWORD")):
        statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), os.environ[variable])
        cursor.execute(statement)
'
echo "The database is ready."
