"""Client of the Bank of Russia's official USD/RUB exchange rates.

Its page “Получение данных, используя XML” (https://cbr.ru/development/sxml/) describes `XML_dynamic.asp`: one currency
over a range of days, with a record for each day that has a rate of its own:

    <?xml version="1.0" encoding="windows-1251"?>
    <ValCurs ID="R01235" DateRange1="19.11.2026" DateRange2="20.11.2026" name="Foreign Currency Market Dynamic">
        <Record Date="19.11.2026" Id="R01235">
            <Nominal>1</Nominal><Value>80,1234</Value><VunitRate>80,1234</VunitRate>
        </Record>
    </ValCurs>
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from xml.etree.ElementTree import Element, ParseError

import httpx2
from defusedxml import ElementTree

US_DOLLAR = "R01235"
"""The bank's code of the currency."""
PLACES = 8
"""Decimal places of a stored rate; the bank publishes four."""
SILENCE_S = 10.0
"""Longest silence of the bank while connecting and answering."""
ANSWER_S = 30.0
"""Longest time for the whole answer: a byte a second must not hold the command."""
MOST_REDIRECTS = 3
LARGEST_ANSWER = 1_000_000
"""Bytes, decompressed; thirty years of rates."""

_HEADERS = {"User-Agent": "Mozilla/5.0 (compatible; django-ai-costs)"}
"""The bank refuses the default names of HTTP libraries."""


class BankError(Exception):
    """Raised when the bank gives no rates, or not in the documented form. The message is a sentence."""


def fetch(base_url: str, first: date, last: date) -> bytes:
    """Return the bank's answer for the days `first` to `last`, both included. Raises `BankError`."""
    url = f"{base_url.rstrip('/')}/XML_dynamic.asp"
    params = {"date_req1": f"{first:%d/%m/%Y}", "date_req2": f"{last:%d/%m/%Y}", "VAL_NM_RQ": US_DOLLAR}
    deadline = time.monotonic() + ANSWER_S
    body = bytearray()
    try:
        with (
            httpx2.Client(
                follow_redirects=True, max_redirects=MOST_REDIRECTS, event_hooks={"request": [_same_server()]}
            ) as client,
            client.stream("GET", url, params=params, headers=_HEADERS, timeout=SILENCE_S) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise BankError(f"The bank answered with status {response.status_code}.")
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise BankError(f"The answer has more than {LARGEST_ANSWER:,} bytes.")
                if time.monotonic() > deadline:
                    raise BankError(f"The bank did not finish its answer within {ANSWER_S:g} seconds.")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise BankError(f"The bank did not answer: {_printable(str(error) or type(error).__name__)}.") from error
    return bytes(body)


def _same_server() -> Callable[[httpx2.Request], None]:
    """Return a hook that raises `BankError` for a request to another server than that of the first request.

    The bank's guard sets a cookie and redirects to the same address once.
    """
    servers: list[tuple[str, str, int | None]] = []

    def check(request: httpx2.Request) -> None:
        to = request.url
        servers.append((to.scheme, to.host, to.port))
        if servers[-1] != servers[0]:
            raise BankError(f"“{servers[0][1]}” redirects to another server, {_printable(f'{to.scheme}://{to.host}')}.")

    return check


def read(body: bytes, first: date, last: date) -> dict[date, Decimal]:
    """Return RUB per USD for each day that has a rate of its own, in the order of days; empty if none has.

    Raises `BankError`: one unreadable record invalidates the whole answer.
    """
    rates: dict[date, Decimal] = {}
    for record in _records(body):
        day, rate = _day(record), _rate(record)
        if not first <= day <= last:
            raise BankError(f"The answer has a rate for {day}, outside {first} to {last}.")
        if rates.setdefault(day, rate) != rate:
            raise BankError(f"The answer has two rates for {day}: {rates[day].normalize():f} and {rate.normalize():f}.")
    return dict(sorted(rates.items()))


_NOMINAL = re.compile(r"[0-9]{1,7}")
_VALUE = re.compile(r"[0-9]{1,9}(?:[.,][0-9]{1,8})?")


def _records(body: bytes) -> list[Element]:
    try:
        root: Element = ElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, ValueError, LookupError) as error:  # ValueError: forbidden constructs, impossible encodings
        start = body[:40].decode("cp1251", errors="replace")
        raise BankError(f"The answer is not readable XML; it begins with {_printable(start)}.") from error
    if root.tag != "ValCurs" or root.get("ID") != US_DOLLAR:
        said = root.get("ID") or (root.text or "").strip() or root.tag
        raise BankError(f"The answer is not about US dollars ({US_DOLLAR}); it says {_printable(said)}.")
    for record in root:
        if record.tag != "Record" or record.get("Id") != US_DOLLAR:
            raise BankError(f"The answer is not only about US dollars: {_printable(record.get('Id') or record.tag)}.")
    return list(root)


def _day(record: Element) -> date:
    text = record.get("Date", "")
    try:
        return datetime.strptime(text, "%d.%m.%Y").date()  # noqa: DTZ007 - a date
    except ValueError as error:
        raise BankError(f"The answer has a record without a date: {_printable(text)}.") from error


def _rate(record: Element) -> Decimal:
    nominal, value = _text(record, "Nominal", _NOMINAL), _text(record, "Value", _VALUE)
    units = Decimal(nominal)
    rate = round(Decimal(value.replace(",", ".")) / units, PLACES) if units else Decimal(0)
    if not rate:
        raise BankError(f"The answer gives {value} RUB for {nominal} USD on {record.get('Date')}.")
    return rate


def _text(record: Element, name: str, shape: re.Pattern[str]) -> str:
    """Return the text of the record's only element of that name. No sign, exponent or NaN passes `shape`."""
    found = record.findall(name)
    text = (found[0].text or "").strip() if len(found) == 1 and not len(found[0]) else ""
    if not shape.fullmatch(text):
        raise BankError(f"The answer's {name} of {record.get('Date')} is not a positive number: {_printable(text)}.")
    return text


def _printable(text: str) -> str:
    """Quote foreign text, cut to 60 characters, without control characters."""
    return ascii(text[:60]) if not text.isprintable() else f"“{text[:60]}”"
