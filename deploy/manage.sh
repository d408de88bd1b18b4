#!/bin/sh
# manage.py as the systemd units run it, with their user and their environment. For root.
exec systemd-run --quiet --collect --wait --pipe --pty \
    --uid=ai-costs --gid=ai-costs --working-directory=/srv/ai-costs \
    --property=EnvironmentFile=/etc/ai-costs.env --property=StateDirectory=ai-costs \
    --property=StateDirectoryMode=0700 --property=UMask=0077 --property=NoNewPrivileges=yes \
    /srv/ai-costs/.venv/bin/python manage.py "$@"
