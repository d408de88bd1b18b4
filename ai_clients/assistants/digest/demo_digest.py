"""A weekly digest of the demo that has been sent. No e-mail is."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from ai_clients.assistants.digest.delivery import subscribed_owners
from ai_clients.assistants.digest.subscription import subscribe
from ai_clients.assistants.digest.week import last_full_week
from ai_clients.assistants.models import DigestDelivery
from usage_billing.management.demo_data_incidents import RETRYING
from usage_billing.models import Membership, Organization

SENT_AT = time(8, 6)

SUMMARY = {
    "headline": "Почти весь прирост стоимости дала одна среда: агент trends_scout повторял один и тот же отчёт.",
    "observations": [
        "Запросы trend_report на модели gpt-6.1-sol в среду обошлись намного дороже обычного дня; в остальные дни"
        " их стоимость не изменилась.",
        "В четверг утром вызовы моделей Anthropic не прошли: ошибок заметно больше, чем неделей раньше.",
        "Дороже всего, кроме отчётов о трендах, обходится проверка фактов (fact_check) на модели claude-opus-5-5.",
    ],
}


def create(now: datetime) -> str:
    """The digest of the last full week of one organisation, if it has none yet, and its owners' subscriptions."""
    org = Organization.objects.filter(slug=RETRYING).first()
    if org is None or DigestDelivery.objects.filter(org=org).exists():
        return ""
    for owner in org.memberships.filter(role=Membership.Role.OWNER):
        subscribe(user_id=owner.user_id, org_id=org.pk)
    week = last_full_week(org, now)
    sent_at = datetime.combine(week.monday + timedelta(days=7), SENT_AT, org.zone)
    DigestDelivery.objects.create(
        org=org,
        week=week.monday,
        sent_at=min(sent_at, now),
        delivered_to=[owner.pk for owner in subscribed_owners(org)],
        summary=SUMMARY,
    )
    return f"Added the weekly digest of {org.name}, as if it had been sent."
