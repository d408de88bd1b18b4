"""A program that spends a budget with many threads, and one that sets the scene. Run as modules, in their own process.

Each call costs one US cent at the provider of `tests.support.spending`, and may cost a little more by its bound.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import timedelta

import django

LIFE = timedelta(seconds=15)
"""The life of a lease: shorter than it is, so that the test need not wait a minute for the leases of the dead."""
PAUSE_S = 0.5
"""How long a thread waits after a refusal: others may give something back."""


def main() -> None:
    django.setup()
    command, *arguments = sys.argv[1:]
    {"prepare": prepare, "spend": spend, "look": look, "tell": tell}[command](*arguments)


def prepare(limit: str, webhook: str) -> None:
    """Make an organisation with a budget and a channel for its alerts. Prints their ids."""
    from tests.support.spending import budget
    from usage_billing.models import AlertChannel, Organization
    from usage_billing.tenancy.scope import EVERYTHING, within

    with within(EVERYTHING):
        org = Organization.objects.create(name="Spenders", slug=f"spenders-{os.getpid()}")
        AlertChannel.objects.create(org=org, name="hook", kind=AlertChannel.Kind.SLACK, target=webhook)
        made = budget(org, limit, window="total", when_unavailable="closed")
    say(org.pk, made.pk)


def spend(org: str, threads: str, seconds: str) -> None:
    """Call until the time is over, and go on asking when refused. Prints how many calls were answered and refused."""
    from openai import APIError, RateLimitError

    from ai_clients import OpenAI
    from tests.support.spending import CENT, MODEL
    from usage_billing import usage_context
    from usage_billing.budgets import holdings, leases

    leases.LIFE = holdings.LIFE = LIFE
    holdings.MARGIN_S, holdings.IDLE_S = 2.0, 2.0
    client, until = OpenAI(api_key="sk-test", max_retries=0), time.monotonic() + float(seconds)
    answered, refused, failed = [], [], []

    def run() -> None:
        with usage_context(org=int(org), agent_id="spender"):
            while time.monotonic() < until:
                try:
                    messages = [{"role": "user", "content": "Hi"}]
                    made = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=CENT)
                    answered.append(made.id)
                except RateLimitError as error:
                    refused.append(error.code)
                    time.sleep(PAUSE_S)
                except APIError as error:
                    failed.append(error)

    running = [threading.Thread(target=run) for _ in range(int(threads))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    say(len(answered), refused.count("budget_exceeded"), len(failed))


def look(budget_id: str) -> None:
    """Print what is spent and reserved."""
    from usage_billing.budgets.spending import spending
    from usage_billing.budgets.windows import window_of
    from usage_billing.models import Budget
    from usage_billing.tenancy.scope import EVERYTHING, within

    with within(EVERYTHING):
        budget = Budget.objects.select_related("org").get(pk=budget_id)
        day = django.utils.timezone.now().astimezone(budget.org.zone).date()
        found = spending(budget, window_of(budget, day))
    say(found.spent, found.reserved)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def tell() -> None:
    """Evaluate alerts and send their messages, as often as the drain's thread would in an hour."""
    from django.utils import timezone

    from usage_billing.alerts import delivering, firings

    for _ in range(60):
        firings.check_all(timezone.now())
        delivering.send_due()


if __name__ == "__main__":
    main()
