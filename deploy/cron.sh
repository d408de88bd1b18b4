#!/bin/sh
# The jobs of a machine without cron, such as a container. A job that fails says why, and has its next turn.
set -u

job() {
    python manage.py "$@" || echo "manage.py $* failed; its next turn comes." >&2
}

while true; do
    job fetch_exchange_rates
    case $(date -u +%H) in
    02 | 03 | 04)
        job check_usage
        job flushexpiredtokens
        job clearsessions
        ;;
    esac
    # In the background, so that SIGTERM ends the wait.
    sleep 10800 &
    wait $!
done
