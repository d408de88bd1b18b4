"""A digest as an e-mail: HTML with the chart inside, plain text beside it, in the organisation's language."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.formats import date_format
from django.utils.translation import get_language, gettext, ngettext

from ai_clients.assistants.content.wording import one_line, plain_text
from ai_clients.assistants.digest import chart
from ai_clients.assistants.digest.figures import Currency, Line, Totals, WeeklyDigest
from ai_clients.assistants.digest.subscription import account_address
from ai_clients.assistants.digest.summary import DigestSummary
from ai_clients.assistants.digest.week import Week
from usage_billing.conf import conf
from usage_billing.templatetags.amounts import style_of, write_amount, write_number

MOST_LINES = 6
CHART_ID = "chart@weekly-digest"
CHART_FILE = "chart.png"
LONGEST_NAME = 100
LONGEST_SUBJECT = 200


@dataclass(frozen=True)
class Rendered:
    """One digest, ready for any number of owners; `html` has its chart under `cid:` `CHART_ID`.

    Only `html` is HTML; a page has to escape `subject` and `text`.
    """

    subject: str
    text: str
    html: str
    chart: bytes

    @property
    def html_with_chart(self) -> str:
        """The HTML for a browser, with the chart inside."""
        encoded = base64.b64encode(self.chart).decode("ascii")
        return self.html.replace(f"cid:{CHART_ID}", f"data:image/png;base64,{encoded}")


class DigestMessage(EmailMultiAlternatives):
    """An e-mail whose one attachment is the picture in its HTML.

    Django 5.2 builds legacy MIME parts and Django 6.0 modern ones; the methods used here are common to both.
    """

    def message(self, **options: Any) -> Any:
        built: Any = super().message(**options)
        built.set_type("multipart/related")
        picture = built.get_payload()[-1]
        picture.replace_header("Content-Disposition", f'inline; filename="{CHART_FILE}"')
        picture["Content-ID"] = f"<{CHART_ID}>"
        return built


def render(digest: WeeklyDigest, summary: DigestSummary | None) -> Rendered:
    """The e-mail's parts; without a summary the numbers stand alone."""
    with translation.override(digest.org.language):
        currency = _currency(digest)
        context = _context(digest, summary, currency)
        return Rendered(
            subject=_subject(digest, currency),
            text=plain_text("ai_assistants/digest.txt", context),
            html=render_to_string("ai_assistants/digest.html", context),
            chart=chart.draw(digest.by_day, digest.by_day_before, currency),
        )


def message_to(owner: User, rendered: Rendered, digest: WeeklyDigest) -> DigestMessage:
    """The e-mail for one owner. Its Message-ID stays the same if it is sent again."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    message = DigestMessage(
        subject=rendered.subject,
        body=rendered.text,
        to=[owner.email],
        headers={
            "Message-ID": f"<weekly-digest.{digest.org.pk}.{digest.week.monday}.{owner.pk}@{domain}>",
            "Auto-Submitted": "auto-generated",
            "Content-Language": digest.org.language,
            **({"List-Unsubscribe": f"<{address}>"} if (address := account_address()) else {}),
        },
    )
    message.attach_alternative(rendered.html, "text/html")
    message.attach(CHART_FILE, rendered.chart, "image/png")
    return message


def _currency(digest: WeeklyDigest) -> Currency:
    """RUB for readers of Russian, unless a call has a cost in USD only."""
    missing = digest.now.unpriced_rub_count - digest.now.unpriced_usd_count
    missing += digest.before.unpriced_rub_count - digest.before.unpriced_usd_count
    return "rub" if (get_language() or "").startswith("ru") and not missing else "usd"


def _subject(digest: WeeklyDigest, currency: Currency) -> str:
    subject = gettext("%(org)s: AI costs, %(period)s, %(cost)s") % {
        "org": digest.org.name,
        "period": period(digest.week),
        "cost": _amount(digest.now, currency),
    }
    return one_line(subject, LONGEST_SUBJECT)


def period(week: Week) -> str:
    """9–15 November 2026; 30 November – 6 December 2026."""
    last = date_format(week.sunday, "j E Y")
    if week.monday.month == week.sunday.month:
        return f"{week.monday.day}–{last}"
    first = date_format(week.monday, "j E" if week.monday.year == week.sunday.year else "j E Y")
    return f"{first} – {last}"


def _context(digest: WeeklyDigest, summary: DigestSummary | None, currency: Currency) -> dict[str, Any]:
    other: Currency = "usd" if currency == "rub" else "rub"
    return {
        "org_name": one_line(digest.org.name, LONGEST_NAME),
        "language": digest.org.language,
        "period": period(digest.week),
        "summary": summary,
        "cost": _amount(digest.now, currency),
        "cost_before": _amount(digest.before, currency),
        "cost_change": _cost_change(digest.now, digest.before, currency),
        "other_cost": _amount(digest.now, other),
        "figures": [
            _figure(gettext("Requests"), digest.now.requests_count, digest.before.requests_count),
            _figure(gettext("Tokens"), digest.now.total_tokens, digest.before.total_tokens),
            _figure(gettext("Failed"), digest.now.failed_count, digest.before.failed_count),
        ],
        "unknown": _unknown(digest),
        "tables": [
            table
            for table in (
                _table(gettext("By request type"), digest.by_request_type, gettext("no type"), digest, currency),
                _table(gettext("By agent"), digest.by_agent, gettext("no agent"), digest, currency),
                _table(gettext("By model"), digest.by_model, gettext("unknown"), digest, currency),
                _table(gettext("By user"), digest.by_user, gettext("system"), digest, currency),
            )
            if table["rows"]
        ],
        "chart_src": f"cid:{CHART_ID}",
        "chart_size": (chart.WIDTH, chart.HEIGHT),
        "chart_text": _chart_text(digest, currency),
        "account_address": account_address(),
        "page": f"{conf.PUBLIC_URL}{reverse('usage_billing:usage')}" if conf.PUBLIC_URL else "",
    }


def _figure(label: str, now: int, before: int) -> dict[str, str]:
    style = style_of(get_language())
    return {
        "label": label,
        "now": write_number(now, style),
        "before": write_number(before, style),
        "change": _change(Decimal(now), Decimal(before)),
    }


def _unknown(digest: WeeklyDigest) -> str:
    """The sentence about calls that no amount includes; empty if all costs are known."""
    number = max(digest.now.unpriced_usd_count, digest.now.unpriced_rub_count)
    if not number:
        return ""
    return ngettext(
        "The cost of %(number)s call is not known in full; the amounts do not include it.",
        "The cost of %(number)s calls is not known in full; the amounts do not include them.",
        number,
    ) % {"number": write_number(number, style_of(get_language()))}


def _table(title: str, lines: Iterable[Line], unnamed: str, digest: WeeklyDigest, currency: Currency) -> dict[str, Any]:
    """The most expensive lines of this week, each with its share of the cost; `more` counts the others."""
    called = [line for line in lines if line.now.requests_count]
    total = digest.now.cost(currency)
    rows = [
        {
            "name": one_line(line.name, LONGEST_NAME) or unnamed,
            "requests": write_number(line.now.requests_count, style_of(get_language())),
            "cost": _amount(line.now, currency),
            "change": _cost_change(line.now, line.before, currency),
            "share": _share(line.now.cost(currency), total),
        }
        for line in called[:MOST_LINES]
    ]
    more = len(called) - len(rows)
    return {
        "title": title,
        "rows": rows,
        "more": ngettext("and %(number)s more", "and %(number)s more", more) % {"number": more} if more else "",
    }


def _share(part: Decimal | None, whole: Decimal | None) -> int:
    """The width of a bar, in per cent."""
    return round(100 * part / whole) if part and whole else 0


def _chart_text(digest: WeeklyDigest, currency: Currency) -> str:
    """The chart's values as text, for readers who do not see it."""
    days = zip(digest.week.days, digest.by_day, strict=True)
    return ", ".join(f"{date_format(day, 'D')} {_amount(totals, currency)}" for day, totals in days)


def _amount(totals: Totals, currency: Currency) -> str:
    value = totals.cost(currency)
    return "—" if value is None else write_amount(value, currency.upper(), style_of(get_language()))


def _cost_change(now: Totals, before: Totals, currency: Currency) -> str:
    """The change of the cost; empty if either amount is unknown."""
    cost, cost_before = now.cost(currency), before.cost(currency)
    return "" if cost is None or cost_before is None else _change(cost, cost_before)


def _change(now: Decimal, before: Decimal) -> str:
    """The change in per cent with its sign; “new” if there was nothing before; empty if nothing changed."""
    if now == before:
        return ""
    if not before:
        return gettext("new")
    style = style_of(get_language())
    percent = (100 * (now - before) / before).quantize(Decimal(1), ROUND_HALF_UP)
    sign = "+" if percent > 0 else ""
    return sign + style.percent.format(number=write_number(percent, style))
