"""Both forms of the e-mail say the same, in the organisation's language."""

from __future__ import annotations

import re
from datetime import date, timedelta
from html.parser import HTMLParser

import pytest
from django.utils import translation
from django.utils.translation import gettext
from pytest_django import Settings

from ai_clients.assistants.digest.email import period, render
from ai_clients.assistants.digest.figures import WeeklyDigest, weekly_digest_data
from ai_clients.assistants.digest.summary import DigestSummary
from ai_clients.assistants.digest.week import Week
from tests.support import factories
from tests.support.configure import configure
from tests.support.factories import event
from usage_billing.ledger import writer
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db

WEEK = Week(factories.TODAY - timedelta(days=2))
SUMMARY = DigestSummary(headline="Расходы <b>выросли</b>.", observations=["Почти всё — trend_report."])


class Text(HTMLParser):
    """The words of a page, and its pictures."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.pictures.append(dict(attrs))

    def __str__(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def digest(org: Organization) -> WeeklyDigest:
    return weekly_digest_data(org, WEEK)


def test_amounts_are_those_of_the_data_in_both_forms(digest: WeeklyDigest) -> None:
    rendered = render(digest, None)
    page = Text(rendered.html)
    # 0.00112 USD and 0.0896 RUB, after 0.00056 and 0.0448: twice as much.
    for text in (" ".join(rendered.text.split()), str(page)):
        assert "0,0896 ₽" in text
        assert "0,0448 ₽" in text
        assert "0,00112 $" in text
        assert "+100 %" in text
        assert "trend_report" in text
        assert "gpt-99" in text
    (picture,) = page.pictures
    assert picture["src"] == "cid:chart@weekly-digest"
    assert " ".join(str(picture["alt"]).split()).startswith("Пн 0 ₽, Вт 0 ₽, Ср 0,0448 ₽")


def test_what_is_not_known_is_a_dash_and_said(digest: WeeklyDigest) -> None:
    text = " ".join(render(digest, None).text.split())
    assert "gpt-99: —" in text
    with translation.override("ru"):
        assert gettext("unknown") != ""
    digest.org.language = "en"
    assert "The cost of 1 call is not known in full" in render(digest, None).text


def test_language_is_the_organisations_whoever_asks(digest: WeeklyDigest) -> None:
    with translation.override("en"):
        russian = render(digest, None)
    assert "16–22 ноября 2026" in russian.subject
    assert russian.subject.startswith("Северный ветер: ")
    assert '<html lang="ru">' in russian.html
    digest.org.language = "en"
    with translation.override("ru"):
        english = render(digest, None)
    assert english.subject == "Северный ветер: AI costs, 16–22 November 2026, $0.00112"
    assert "You get this e-mail once a week" in " ".join(english.text.split())
    assert not re.search("[а-я]", english.text.replace("Северный ветер", ""))


def test_dollars_where_a_call_has_no_roubles(org: Organization) -> None:
    writer.add(
        [event(org=org, at=factories.NOON - timedelta(days=9), url="https://api.openai.com/v1/chat/completions")]
    )
    digest = weekly_digest_data(org, WEEK)
    assert digest.before.unpriced_rub_count == 1
    assert render(digest, None).subject.endswith("0,00112 $")


def test_the_models_words_are_text_and_not_markup(digest: WeeklyDigest) -> None:
    rendered = render(digest, SUMMARY)
    assert "Расходы &lt;b&gt;выросли&lt;/b&gt;." in rendered.html
    assert "Расходы <b>выросли</b>." in rendered.text
    assert "- Почти всё — trend_report." in rendered.text
    assert "trend_report." not in render(digest, None).text


def test_names_cannot_break_the_page_or_the_header(digest: WeeklyDigest) -> None:
    digest.org.name = "A<script>\r\nBcc: all@example.com"
    rendered = render(digest, None)
    assert "<script>" not in rendered.html
    assert "\n" not in rendered.subject
    assert rendered.subject.startswith("A<script> Bcc: all@example.com: ")


def test_plain_text_is_trusted_by_no_page(digest: WeeklyDigest) -> None:
    """Django marks every rendered template as safe HTML; plain text is not."""
    rendered = render(digest, SUMMARY)
    for text in (rendered.text, rendered.subject):
        assert not hasattr(text, "__html__")


def test_names_take_no_line_of_their_own_and_are_escaped_once(org: Organization) -> None:
    name = "R&D\r\n\r\nTotal: 0\u2028\u202ednuora\x1b[2J"
    org.name = name
    writer.add([event(org=org, user=factories.user("root"), model=name, attribution={"agent_id": name})])
    rendered = render(weekly_digest_data(org, WEEK), DigestSummary(headline=name, observations=[name]))
    for text in (rendered.text, str(Text(rendered.html)), rendered.subject):
        assert "R&D Total: 0 dnuora [2J" in text
        assert "&amp;" not in text
        assert [letter for letter in text if not letter.isprintable() and letter not in "\n\xa0"] == []
    assert [line for line in rendered.text.splitlines() if line.startswith("Total")] == []
    assert rendered.html.count("R&amp;D") > 3
    assert "&amp;amp;" not in rendered.html


@pytest.mark.parametrize(("address", "expected"), [("https://costs.example.com", 1), ("", 0)])
def test_link_leads_to_the_page_if_its_address_is_known(
    digest: WeeklyDigest, settings: Settings, address: str, expected: int
) -> None:
    configure(settings, PUBLIC_URL=address)
    rendered = render(digest, None)
    links = re.findall(r'href="([^"]*)"', rendered.html)
    assert links == [f"{address}/usage/", f"{address}/account/#e-mails"][: 2 * expected]
    assert rendered.text.count(f"{address}/usage/") == expected


def test_a_browser_gets_the_chart_within_the_page(digest: WeeklyDigest) -> None:
    page = render(digest, None).html_with_chart
    assert "cid:" not in page
    assert Text(page).pictures[0]["src"] is not None
    assert str(Text(page).pictures[0]["src"]).startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize(
    ("monday", "expected"),
    [
        (date(2026, 11, 9), "9–15 ноября 2026"),
        (date(2026, 11, 30), "30 ноября – 6 декабря 2026"),
        (date(2026, 12, 28), "28 декабря 2026 – 3 января 2027"),
    ],
)
def test_period(monday: date, expected: str) -> None:
    with translation.override("ru"):
        assert period(Week(monday)) == expected


def test_many_kinds_are_shortened_and_counted(org: Organization) -> None:
    writer.add([event(org=org, attribution={"agent_id": f"agent_{number}"}) for number in range(10)])
    org.language = "en"
    text = render(weekly_digest_data(org, WEEK), None).text
    by_agent = text[text.index("By agent") : text.index("By model")]
    assert by_agent.count("\n- ") == 6
    assert "and 6 more" in by_agent
