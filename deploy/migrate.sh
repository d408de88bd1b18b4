#!/bin/sh
# What a new version needs of its database, run by its owner: tables, roles, policies; and a log-in for the web's role.
set -eu
: "${USAGE_WEB_PASSWORD:?must be the password that usage_web shall have}"
python manage.py migrate --noinput
python manage.py shell --no-imports --command '
import os
from django.db import connection
from psycopg import sql
from usage_billing.database.roles import WEB
with connection.cursor() as cursor:
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(WEB), os.environ["USAGE_WEB_PASSWORD"])
    cursor.execute(statement)
'
echo "The database is ready."
