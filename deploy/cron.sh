#!/bin/sh
# Runs the jobs on a machine without cron, such as a container. A job that fails prints why and runs again next time.
set -u

job() {
    python manage.py "$@" || echo "manage.py $* failed; it runs again later." >&2
}

last_day=
while true; do
    job fetch_exchange_rates
    # Each digest goes out once.
    job send_weekly_digests
    today=$(date -u +%F)
    if [ "$today" != "$last_day" ]; then
        last_day=$today
        job update_prices
        job check_usage
        job update_participant_roles
        job clearsessions
    fi
    # In the background, so that SIGTERM ends the wait.
    sleep 10800 &
    wait $!
done
