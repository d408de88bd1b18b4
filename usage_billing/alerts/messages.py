"""The text of an alert: what crossed, how much of what, when, and where to look; in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import translation
from django.utils.formats import date_format
from django.utils.translation import gettext

from usage_billing.alerts import links, sentences
from usage_billing.alerts.amounts import NBSP
from usage_billing.alerts.sentences import Facts
from usage_billing.models import AlertDelivery, AlertFiring, Organization

LONGEST_SUBJECT = 200


@dataclass(frozen=True)
class Message:
    """subject: one line. sentences: the text, a sentence or two each. url: empty if there is no page. body: the same
    for programs."""

    subject: str
    sentences: tuple[str, ...]
    url: str
    language: str
    body: Mapping[str, Any]

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


def language_of(delivery: AlertDelivery) -> str:
    """The channel's, else the organisation's, else the project's."""
    channel = delivery.channel
    own = channel.language if channel else ""
    known = dict(settings.LANGUAGES)
    of_org = delivery.org.language if delivery.org else ""
    return next((each for each in (own, of_org) if each in known), settings.LANGUAGE_CODE)


def compose(delivery: AlertDelivery, now: datetime) -> Message:
    """The message of a delivery; its alert, rule, budget and organisation are read in the scope of the caller."""
    language = language_of(delivery)
    with translation.override(language):
        firing = delivery.firing
        subject, text = _test(delivery) if firing is None else _about(delivery, firing)
        url = links.address_of(firing)
        body = _body(delivery, firing, subject, text, url, now)
        return Message(one_line(subject, LONGEST_SUBJECT), tuple(one_line(each) for each in text), url, language, body)


def one_line(text: str, longest: int = 2000) -> str:
    """Names come from people: no line breaks and control characters."""
    line = " ".join("".join(each if each.isprintable() or each == NBSP else " " for each in text).split(" "))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def org_name(org: Organization | None) -> str:
    return org.name if org else gettext("All organisations")


def _test(delivery: AlertDelivery) -> tuple[str, list[str]]:
    subject = gettext("%(org)s: a test of alerts") % {"org": org_name(delivery.org)}
    return subject, [gettext("This is a test: alerts about AI costs arrive here.")]


def _about(delivery: AlertDelivery, firing: AlertFiring) -> tuple[str, list[str]]:
    facts = Facts.of(firing, delivery)
    title, sentence = sentences.written(facts)
    since = gettext("Since %(moment)s.") % {"moment": _moment(firing.began_at, delivery.org)}
    match delivery.event:
        case AlertDelivery.Event.RESOLVED:
            title, text = gettext("Over: %(title)s") % {"title": title}, [sentence, _why_over(firing, facts)]
        case AlertDelivery.Event.STILL_FIRING:
            title, text = gettext("Still: %(title)s") % {"title": title}, [sentence, since]
        case _:
            text = [sentence, since]
    return f"{org_name(delivery.org)}: {title}", text


def _why_over(firing: AlertFiring, facts: Facts) -> str:
    if firing.ended == AlertFiring.Ended.WINDOW:
        return gettext("The period has ended.")
    if facts.now is None:
        return gettext("It is over.")
    return gettext("It is over: now %(value)s.") % {"value": facts.amount(facts.now)}


def _moment(moment: datetime, org: Organization | None) -> str:
    local = moment.astimezone(org.zone if org else ZoneInfo(settings.TIME_ZONE))
    return date_format(local, "j E Y, H:i")


TYPES = {each.value: f"alert.{each.value}" for each in AlertDelivery.Event}


def _body(
    delivery: AlertDelivery, firing: AlertFiring | None, subject: str, text: list[str], url: str, now: datetime
) -> Mapping[str, Any]:
    """What programs get. Amounts are texts, exact; moments are in UTC (docs: “Signed webhooks”)."""
    content: dict[str, Any] = {
        "org": delivery.org.slug if delivery.org else None,
        "title": subject,
        "text": " ".join(text),
        "url": url,
    }
    if firing is not None:
        is_over = delivery.event == AlertDelivery.Event.RESOLVED
        content |= {
            "id": firing.pk,
            "state": AlertFiring.State.RESOLVED.value if is_over else AlertFiring.State.FIRING.value,
            "rule": _named(firing.rule),
            "budget": _named(firing.budget),
            "kind": firing.rule.kind if firing.rule else sentences.kind_of_key(firing.key),
            "key": firing.key,
            "unit": Facts.of(firing, delivery).unit,
            "value": _exact(delivery.value if delivery.value is not None else firing.value),
            "bound": _exact(firing.bound),
            "began_at": firing.began_at.isoformat(),
            "resolved_at": firing.resolved_at.isoformat() if is_over and firing.resolved_at else None,
            "ended": firing.ended if is_over else None,
        }
    return {"type": TYPES[delivery.event], "timestamp": now.isoformat(), "data": content}


def _named(thing: Any) -> Mapping[str, Any] | None:
    return {"id": thing.pk, "name": thing.name} if thing else None


def _exact(value: Decimal | None) -> str | None:
    return None if value is None else f"{value.normalize():f}"
