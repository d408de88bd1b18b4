#!/bin/sh
# manage.py as the systemd units run it, with their user and their environment. For root.
# `check` is about what the web has; the other commands have the login of the jobs.
environment=/etc/ai-costs.drain.env
if [ "${1:-}" = check ]; then environment=/etc/ai-costs.env; fi
exec systemd-run --quiet --collect --wait --pipe --pty \
    --uid=ai-costs --gid=ai-costs --working-directory=/srv/ai-costs \
    --property=EnvironmentFile=/etc/ai-costs.env --property=EnvironmentFile="$environment" \
    --property=StateDirectory=ai-costs --property=StateDirectoryMode=0700 --property=UMask=0077 \
    --property=NoNewPrivileges=yes \
    /srv/ai-costs/.venv/bin/python manage.py "$@"
