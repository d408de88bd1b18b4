"""The Bank of Russia's official rates of the US dollar: asking for them, and believing only an answer that is sound.

Its page “Получение данных, используя XML” (https://cbr.ru/development/sxml/) names two services. `XML_daily.asp` gives
all currencies of one day, and on a day without rates those of another; `XML_dynamic.asp`, used here, gives one currency
over a range, with a record only for the days that have a rate of their own:

    <?xml version="1.0" encoding="windows-1251"?>
    <ValCurs ID="R01235" DateRange1="19.11.2026" DateRange2="20.11.2026" name="Foreign Currency Market Dynamic">
        <Record Date="19.11.2026" Id="R01235">
            <Nominal>1</Nominal><Value>80,1234</Value><VunitRate>80,1234</VunitRate>
        </Record>
    </ValCurs>
"""

from __future__ import annotations

import asyncio
import re
from datetime import date
from decimal import Decimal
from xml.etree.ElementTree import Element, ParseError

import httpx2
from defusedxml import ElementTree

US_DOLLAR = "R01235"
"""The bank's own code of it."""
PLACES = 8
"""Decimal places that a rate is kept with; the bank publishes four."""

LARGEST_ANSWER = 1_000_000
"""Bytes; thirty years of rates."""
SILENCE_S = 10.0
"""How long the bank may be silent while it is connected to, or while it answers."""
ANSWER_S = 30.0
"""How long all of it may take, so that a byte a second is no way to hold us."""
REDIRECTS = 3

_HEADERS = {
    # The bank turns away the names that HTTP libraries give themselves.
    "User-Agent": "Mozilla/5.0 (compatible; ai-cost-ledger)",
    # A megabyte of compressed zeros is a gigabyte.
    "Accept-Encoding": "identity",
}


class BankError(Exception):
    """No rates could be had, or not such as can be believed. Says why, in a sentence."""


def fetch(base_url: str, first: date, last: date) -> bytes:
    """The bank's answer for the days `first` to `last`, both included, as it came. Raises `BankError`."""
    address = f"{base_url.rstrip('/')}/XML_dynamic.asp"
    asked = {"date_req1": f"{first:%d/%m/%Y}", "date_req2": f"{last:%d/%m/%Y}", "VAL_NM_RQ": US_DOLLAR}
    try:
        return asyncio.run(_fetch(address, asked))
    except TimeoutError as error:
        raise BankError(f"The bank had not finished its answer after {ANSWER_S:g} seconds.") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise BankError(f"The bank could not be asked: {_shown(str(error) or type(error).__name__)}.") from error


def read(body: bytes, first: date, last: date) -> dict[date, Decimal]:
    """RUB for a USD on each day that has a rate of its own, in the order of days; empty if none has.

    Raises `BankError`; any doubt about one record is doubt about them all.
    """
    rates: dict[date, Decimal] = {}
    for record in _records(body):
        day, rate = _day(record), _rate(record)
        if not first <= day <= last:
            raise BankError(f"The answer has a rate for {day}; asked were {first} to {last}.")
        if rates.setdefault(day, rate) != rate:
            raise BankError(f"The answer has two rates for {day}: {rates[day].normalize():f} and {rate.normalize():f}.")
    return dict(sorted(rates.items()))


# ── Asking ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def _fetch(address: str, asked: dict[str, str]) -> bytes:
    # The client is asynchronous because only so can one deadline hold for name, connection, headers and body alike.
    async with asyncio.timeout(ANSWER_S), httpx2.AsyncClient(timeout=SILENCE_S, headers=_HEADERS) as client:
        request = client.build_request("GET", address, params=asked)
        for _ in range(REDIRECTS + 1):
            response = await client.send(request, stream=True)
            try:
                if response.next_request is None:
                    return await _body(response)
                request = _followed(request, response.next_request)
            finally:
                await response.aclose()
    raise BankError(f"The bank redirects more than {REDIRECTS} times.")


def _followed(request: httpx2.Request, redirected: httpx2.Request) -> httpx2.Request:
    here, there = ((each.url.scheme, each.url.host, each.url.port) for each in (request, redirected))
    if here != there:
        raise BankError(f"{_shown(here[1])} redirects to another server, {_shown(f'{there[0]}://{there[1]}')}.")
    return redirected


async def _body(response: httpx2.Response) -> bytes:
    if response.status_code != httpx2.codes.OK:
        raise BankError(f"The bank answered with status {response.status_code}.")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise BankError("The bank sent a compressed answer, which was not asked for.")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise BankError(f"The answer has more than {LARGEST_ANSWER:,} bytes.")
    return bytes(body)


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

_DATE = re.compile(r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})")
_NOMINAL = re.compile(r"[0-9]{1,7}")
_VALUE = re.compile(r"[0-9]{1,9}(?:[.,][0-9]{1,8})?")


def _records(body: bytes) -> list[Element]:
    try:
        root: Element = ElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, ValueError, LookupError) as error:  # ValueError: forbidden constructs, impossible encodings
        start = body[:40].decode("cp1251", errors="replace")
        raise BankError(f"The answer is no XML that can be read; it begins with {_shown(start)}.") from error
    if root.tag != "ValCurs":
        raise BankError(f"The answer is {_shown(root.tag)}, not ValCurs.")
    if root.get("ID") != US_DOLLAR:
        said = root.get("ID") or (root.text or "").strip() or "nothing"
        raise BankError(f"The answer is not about US dollars ({US_DOLLAR}); it says {_shown(said)}.")
    for record in root:
        if record.tag != "Record" or record.get("Id") != US_DOLLAR:
            raise BankError(f"The answer has more in it than US dollars: {_shown(record.get('Id') or record.tag)}.")
    return list(root)


def _day(record: Element) -> date:
    text = record.get("Date", "")
    if match := _DATE.fullmatch(text):
        day, month, year = map(int, match.groups())
        try:
            return date(year, month, day)
        except ValueError:
            pass
    raise BankError(f"The answer has a record of no date: {_shown(text)}.")


def _rate(record: Element) -> Decimal:
    nominal, value = _text(record, "Nominal", _NOMINAL), _text(record, "Value", _VALUE)
    units = Decimal(nominal)
    rate = round(Decimal(value.replace(",", ".")) / units, PLACES) if units else Decimal(0)
    if not rate:
        raise BankError(f"The answer gives {value} RUB for {nominal} USD on {record.get('Date')}.")
    return rate


def _text(record: Element, name: str, shape: re.Pattern[str]) -> str:
    """What the record's one element of that name says, if it looks like a number: no sign, no exponent, no NaN."""
    found = record.findall(name)
    text = (found[0].text or "").strip() if len(found) == 1 and not len(found[0]) else ""
    if not shape.fullmatch(text):
        raise BankError(f"The answer's {name} of {record.get('Date')} is no positive number: {_shown(text)}.")
    return text


def _shown(text: str) -> str:
    """What others wrote, short and with nothing in it that a terminal would obey."""
    return ascii(text[:60]) if not text.isprintable() else f"“{text[:60]}”"
