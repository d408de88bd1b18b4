#!/bin/sh
# Prepares the database for a new version, as its owner: tables, roles, policies, and the passwords of web and drain.
set -eu
: "${USAGE_WEB_PASSWORD:?set it to the password of usage_web}"
: "${USAGE_DRAIN_PASSWORD:?set it to the password of usage_drain}"
python manage.py migrate --noinput
python manage.py secure_database
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
