"""Alerts with the web's login, which owns nothing: raised, sent and tested; rows are those of the organisation."""

from __future__ import annotations

import pytest
from django.core import mail
from django.db import transaction
from django.db.utils import ProgrammingError

from tests.support.factories import NOON
from tests.usage_billing.tenancy.conftest import World
from usage_billing import alerts
from usage_billing.models import AlertChannel, AlertDelivery, AlertFiring, AlertRule
from usage_billing.tenancy.scope import EVERYTHING, scoped, within

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def test_alerts_are_raised_and_sent(as_web: World) -> None:
    with within(EVERYTHING):
        AlertRule.objects.create(org=as_web.org, name="unpriced", kind=AlertRule.Kind.UNPRICED, bound=20)
        AlertRule.objects.create(org=None, name="all", kind=AlertRule.Kind.UNPRICED, bound=20, by="org_id")
        AlertDelivery.objects.all().delete()
    told = alerts.check_all(NOON)
    # The world's own alerts are over: no call is among those that they watch.
    fired = {each.name for each in told if each.event == "firing"}
    assert fired == {"all", "unpriced"}
    assert {each.name for each in told if each.event == "firing" and each.deliveries} == {"unpriced"}
    sent = alerts.send_due()
    assert {delivery.state for delivery in sent} == {"sent"}
    assert [delivery.event for delivery in sent].count("firing") == 1
    assert {address for message in mail.outbox for address in message.to} == {"a@example.com"}
    alerts.prune(NOON)


def test_an_owner_tests_a_channel_and_sees_what_came_of_it(as_web: World) -> None:
    with scoped(as_web.owner):
        (channel,) = AlertChannel.objects.all()
    (delivery,) = alerts.send_test(channel)
    assert (delivery.state, delivery.org_id) == ("sent", as_web.org.pk)
    with scoped(as_web.owner):
        assert AlertDelivery.objects.filter(event="test").count() == 1
    for person in (as_web.member, as_web.stranger):
        with scoped(person):
            assert not AlertDelivery.objects.filter(pk=delivery.pk).exists()


def test_an_owner_changes_no_alert(as_web: World) -> None:
    with scoped(as_web.owner):
        assert AlertFiring.objects.exists()
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            AlertFiring.objects.update(state="resolved")
