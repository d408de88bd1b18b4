#!/bin/sh
# Runs manage.py as the systemd units do, with their user and their environment. Run it as root.
# `check` looks at the web's settings; the other commands use the log-in of the jobs.
environment=/etc/ai-costs.drain.env
if [ "${1:-}" = check ]; then environment=/etc/ai-costs.env; fi
exec systemd-run --quiet --collect --wait --pipe --pty \
    --uid=ai-costs --gid=ai-costs --working-directory=/srv/ai-costs \
    --property=EnvironmentFile=/etc/ai-costs.env --property=EnvironmentFile="$environment" \
    --property=StateDirectory=ai-costs --property=StateDirectoryMode=0700 --property=UMask=0077 \
    --property=NoNewPrivileges=yes \
    /srv/ai-costs/.venv/bin/python manage.py "$@"
