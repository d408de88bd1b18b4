"""Answers of the bank are read in the documented form only."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support import bank
from tests.support.bank import Bank, Handler, body, rates, record
from usage_billing.exchange_rates import bank_of_russia
from usage_billing.exchange_rates.bank_of_russia import BankError, fetch, read

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)
GOOD = rates(record("19.11.2026"), record("20.11.2026", "80,5"))


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_read_gives_each_day_its_rate() -> None:
    found = read(rates(record("19.11.2026", "80,1234"), record("20.11.2026", "79,9")), FIRST, LAST)
    assert found == {date(2026, 11, 19): Decimal("80.1234"), date(2026, 11, 20): Decimal("79.9")}
    assert {type(rate) for rate in found.values()} == {Decimal}


def test_read_gives_days_in_order_whatever_the_answers_order() -> None:
    assert list(read(rates(record("20.11.2026"), record("03.11.2026")), FIRST, LAST)) == [
        date(2026, 11, 3),
        date(2026, 11, 20),
    ]


@pytest.mark.parametrize(
    ("value", "nominal", "rate"),
    [
        ("801,234", "10", "80.1234"),
        ("8012,3400", "100", "80.1234"),
        ("100", "3", "33.33333333"),
        ("80.1234", "1", "80.1234"),
        (" 80,1234\n", " 1 ", "80.1234"),
    ],
)
def test_read_honours_the_nominal(value: str, nominal: str, rate: str) -> None:
    assert read(rates(record("19.11.2026", value, nominal)), FIRST, LAST) == {date(2026, 11, 19): Decimal(rate)}


def test_read_a_range_without_rates_has_none() -> None:
    assert read(rates(), FIRST, LAST) == {}


def test_read_takes_the_banks_layout_with_and_without_the_newer_rate_of_one_unit() -> None:
    pretty = """<?xml version="1.0" encoding="windows-1251"?>
    <ValCurs ID="R01235" DateRange1="01.09.2018" DateRange2="04.09.2018" name="Foreign Currency Market Dynamic">
        <Record Date="01.09.2018" Id="R01235">
            <Nominal>1</Nominal>
            <Value>68,0447</Value>
        </Record>
    </ValCurs>
    """.strip().encode("cp1251")
    assert read(pretty, date(2018, 9, 1), date(2018, 9, 4)) == {date(2018, 9, 1): Decimal("68.0447")}


def test_read_the_same_rate_twice_is_one() -> None:
    assert read(rates(record("19.11.2026"), record("19.11.2026")), FIRST, LAST) == {
        date(2026, 11, 19): Decimal("80.1234")
    }


@pytest.mark.parametrize("day", ["01.11.2026", "30.11.2026"])
def test_read_first_and_last_day_are_included(day: str) -> None:
    assert len(read(rates(record(day)), FIRST, LAST)) == 1


BOMB = b"""<?xml version="1.0"?><!DOCTYPE ValCurs [<!ENTITY a "80"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><ValCurs ID="R01235">&c;</ValCurs>"""
EXTERNAL = b"""<?xml version="1.0"?><!DOCTYPE ValCurs [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<ValCurs ID="R01235">&a;</ValCurs>"""
DTD = b'<?xml version="1.0"?><!DOCTYPE ValCurs SYSTEM "http://127.0.0.1/x.dtd">' + GOOD.partition(b"?>")[2]
WITHIN = GOOD.replace(b"80,5<", b"80<b/>,5<", 1)
NO_VALUE = GOOD.replace(b"<Value>80,5</Value>", b"")
TWO_VALUES = GOOD.replace(b"<VunitRate>80,5</VunitRate>", b"<Value>79,5</Value>")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "not readable XML"),
        (b"<!DOCTYPE html><html><head><title>DDOS-GUARD</title></head></html>", "begins with “<!DOCTYPE html>"),
        (b"<html><body>Service unavailable</body></html>", "it says “html”"),
        (b"<ValCurs>Error in parameters</ValCurs>", "it says “Error in parameters”"),
        (GOOD[:-1], "not readable XML"),
        (GOOD[: len(GOOD) // 2], "not readable XML"),
        (GOOD.replace(b"windows-1251", b"klingon"), "not readable XML"),
        (GOOD.replace(b"windows-1251", b"utf-8"), "not readable XML"),
        (GOOD.replace(b"windows-1251", b"big5"), "not readable XML"),
        (BOMB, "not readable XML"),
        (EXTERNAL, "not readable XML"),
        (DTD, "not readable XML"),
        (b"\x1b]0;owned\x07", r"begins with '\x1b]0;owned\x07'"),
        (rates(record("19.11.2026"), code="R01239"), "not about US dollars (R01235); it says “R01239”"),
        (rates(record("19.11.2026", code="R01239")), "not only about US dollars: “R01239”"),
        (GOOD.replace(b"<Record ", b"<Rekord ", 1).replace(b"</Record>", b"</Rekord>", 1), "not only about US"),
        (rates(record("31.10.2026")), "a rate for 2026-10-31, outside 2026-11-01 to 2026-11-30"),
        (rates(record("19.11.2026"), record("01.12.2026")), "a rate for 2026-12-01, outside"),
        (rates(record("19.11.2126")), "a rate for 2126-11-19, outside"),
        (rates(record("19.11.2026", "80"), record("19.11.2026", "81")), "two rates for 2026-11-19: 80 and 81"),
        (rates(record("31.11.2026")), "a record without a date: “31.11.2026”"),
        (rates(record("2026-11-19")), "a record without a date: “2026-11-19”"),
        (rates(record("19.11.2026")).replace(b' Date="19.11.2026"', b""), "a record without a date: “”"),
        (rates(record("19.11.2026", nominal="0")), "80,1234 RUB for 0 USD on 19.11.2026"),
        (rates(record("19.11.2026", nominal="-1")), "Nominal of 19.11.2026 is not a positive number: “-1”"),
        (rates(record("19.11.2026", nominal="1,5")), "Nominal of 19.11.2026 is not a positive number: “1,5”"),
        (rates(record("19.11.2026", nominal="")), "Nominal of 19.11.2026 is not a positive number: “”"),
        (rates(record("19.11.2026", "0,0000")), "0,0000 RUB for 1 USD on 19.11.2026"),
        (rates(record("19.11.2026", "0,00000001", "1000")), "0,00000001 RUB for 1000 USD"),
        (rates(record("19.11.2026", "-80,1234")), "Value of 19.11.2026 is not a positive number: “-80,1234”"),
        (rates(record("19.11.2026", "NaN")), "not a positive number: “NaN”"),
        (rates(record("19.11.2026", "Infinity")), "not a positive number: “Infinity”"),
        (rates(record("19.11.2026", "8e1")), "not a positive number: “8e1”"),
        (rates(record("19.11.2026", "8_0")), "not a positive number: “8_0”"),
        (rates(record("19.11.2026", "1\N{NO-BREAK SPACE}080,12")), r"not a positive number: '1\xa0080,12'"),
        (rates(record("19.11.2026", "9999999999")), "not a positive number: “9999999999”"),
        (rates(record("19.11.2026", "9" * 5000)), "not a positive number: “999"),
        (NO_VALUE, "Value of 20.11.2026 is not a positive number: “”"),
        (WITHIN, "Value of 20.11.2026 is not a positive number"),
        (TWO_VALUES, "Value of 20.11.2026 is not a positive number"),
    ],
)
def test_read_refuses(answer: bytes, why: str) -> None:
    with pytest.raises(BankError) as refused:
        read(answer, FIRST, LAST)
    assert why in str(refused.value)
    assert len(str(refused.value)) < 200


def test_read_survives_an_answer_that_is_all_depth() -> None:
    depth = bank_of_russia.LARGEST_ANSWER // len("<ValCurs></ValCurs>")
    with pytest.raises(BankError):
        read(b"<ValCurs>" * depth + b"</ValCurs>" * depth, FIRST, LAST)


def check_answer(answer: bytes) -> None:
    """Check that the answer is refused, or that its rates can be saved."""
    try:
        found = read(answer, FIRST, LAST)
    except BankError:
        return
    for day, rate in found.items():
        assert FIRST <= day <= LAST
        assert rate.is_finite()
        assert 0 < rate < 10**10
        assert rate == round(rate, 8)


@given(st.binary(max_size=300))
def test_read_any_bytes(answer: bytes) -> None:
    check_answer(answer)


@given(st.data())
def test_read_a_good_answer_with_bytes_changed(data: st.DataObject) -> None:
    changed = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(changed)))
        end = data.draw(st.integers(start, min(len(changed), start + 20)))
        changed[start:end] = data.draw(st.binary(max_size=8))
    check_answer(bytes(changed))


@given(
    day=st.text(st.characters(codec="cp1251", exclude_characters='<>&"'), max_size=12) | st.just("19.11.2026"),
    value=st.text("0123456789,.-+eE_ NaInfty", max_size=30) | st.decimals().map(str),
    nominal=st.text("0123456789,.-+eE_ ", max_size=12) | st.integers().map(str),
)
@example(day="19.11.2026", value="999999999,99999999", nominal="1")
@example(day="19.11.2026", value="0,00000001", nominal="9999999")
def test_read_any_text_in_a_record(day: str, value: str, nominal: str) -> None:
    check_answer(rates(record(day, value, nominal)))


# ── Asking ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def the_bank() -> Iterator[Bank]:
    with bank.running() as running:
        yield running


def refusal(url: str) -> str:
    with pytest.raises(BankError) as refused:
        fetch(url, FIRST, LAST)
    return str(refused.value)


def test_fetch_asks_for_the_dollar_over_the_range(the_bank: Bank) -> None:
    the_bank.answer = body(GOOD)
    assert fetch(the_bank.url, FIRST, LAST) == GOOD
    asked = {"date_req1": "01/11/2026", "date_req2": "30/11/2026", "VAL_NM_RQ": "R01235"}
    assert the_bank.asked == [("/scripts/XML_dynamic.asp", asked)]
    assert the_bank.headers[0]["user-agent"] == "Mozilla/5.0 (compatible; django-ai-costs)"


def test_fetch_address_may_end_in_a_slash(the_bank: Bank) -> None:
    fetch(f"{the_bank.url}/", FIRST, LAST)
    assert the_bank.asked[0][0] == "/scripts/XML_dynamic.asp"


@pytest.mark.parametrize("status", [204, 403, 404, 500, 503])
def test_fetch_refuses_any_status_but_ok(the_bank: Bank, status: int) -> None:
    the_bank.answer = body(b"" if status == 204 else GOOD, status)
    assert refusal(the_bank.url) == f"The bank answered with status {status}."


def test_fetch_takes_a_megabyte(the_bank: Bank) -> None:
    the_bank.answer = body(b"x" * bank_of_russia.LARGEST_ANSWER)
    assert len(fetch(the_bank.url, FIRST, LAST)) == bank_of_russia.LARGEST_ANSWER


def test_fetch_refuses_more_than_a_megabyte(the_bank: Bank) -> None:
    the_bank.answer = body(b"x" * 10_000_000)
    assert refusal(the_bank.url) == "The answer has more than 1,000,000 bytes."


def test_fetch_stops_reading_an_answer_without_end(the_bank: Bank) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65536)

    the_bank.answer = endless
    assert refusal(the_bank.url) == "The answer has more than 1,000,000 bytes."


def test_fetch_refuses_an_answer_that_decompresses_to_more_than_a_megabyte(the_bank: Bank) -> None:
    the_bank.answer = body(gzip.compress(b"0" * 100_000_000), Content_Encoding="gzip")
    assert refusal(the_bank.url) == "The answer has more than 1,000,000 bytes."


def test_fetch_refuses_an_answer_that_ends_early(the_bank: Bank) -> None:
    the_bank.answer = body(GOOD, Content_Length=str(len(GOOD) + 1))
    assert refusal(the_bank.url).startswith("The bank did not answer: “peer closed connection")


def test_fetch_of_a_server_that_is_not_there() -> None:
    with bank.running() as gone:
        pass
    assert refusal(gone.url) == "The bank did not answer: “[Errno 111] Connection refused”."


@pytest.mark.parametrize("url", ["", "www.cbr.ru/scripts", "ftp://127.0.0.1/scripts", "http://[", "http://:x/"])
def test_fetch_of_no_address(url: str) -> None:
    assert refusal(url).startswith("The bank did not answer: “")


def drip_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    drip(handler)


def drip(handler: Handler) -> None:
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.02)


def test_fetch_gives_up_on_an_answer_that_comes_byte_by_byte(the_bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_of_russia, "ANSWER_S", 0.3)
    the_bank.answer = drip_body
    assert refusal(the_bank.url) == "The bank did not finish its answer within 0.3 seconds."


def test_fetch_gives_up_on_silence(the_bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_of_russia, "SILENCE_S", 0.2)
    the_bank.answer = lambda handler: time.sleep(1)
    assert refusal(the_bank.url) == "The bank did not answer: “timed out”."


def redirect(location: str, **headers: str) -> bank.Answer:
    return body(b"", 302, Location=location, **headers)


def test_fetch_follows_a_redirect_and_keeps_its_cookie(the_bank: Bank) -> None:
    the_bank.answer = bank.in_turn(redirect("/elsewhere", Set_Cookie="guard=passed; Path=/"), body(GOOD))
    assert fetch(the_bank.url, FIRST, LAST) == GOOD
    assert [path for path, _ in the_bank.asked] == ["/scripts/XML_dynamic.asp", "/elsewhere"]
    assert the_bank.headers[1]["cookie"] == "guard=passed"


def test_fetch_follows_to_no_other_server(the_bank: Bank) -> None:
    the_bank.answer = redirect(f"http://localhost:{the_bank.port}/")
    assert refusal(the_bank.url) == "“127.0.0.1” redirects to another server, “http://localhost”."
    with bank.running() as other:
        the_bank.answer = redirect(other.url)
        assert "redirects to another server" in refusal(the_bank.url)
        assert other.asked == []
    the_bank.answer = redirect(f"https://127.0.0.1:{the_bank.port}/")
    assert refusal(the_bank.url) == "“127.0.0.1” redirects to another server, “https://127.0.0.1”."
    the_bank.answer = redirect("file:///etc/passwd")
    assert refusal(the_bank.url) != ""


def test_fetch_does_not_follow_for_ever(the_bank: Bank) -> None:
    the_bank.answer = redirect("/scripts/XML_dynamic.asp")
    assert "redirects" in refusal(the_bank.url)
