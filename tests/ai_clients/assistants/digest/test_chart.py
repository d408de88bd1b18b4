"""The chart is a picture of the days, the same for the same days."""

from __future__ import annotations

import io
import struct
from decimal import Decimal

import matplotlib.image as mpimg
import pytest
from django.utils import translation

from ai_clients.assistants.digest import chart
from ai_clients.assistants.digest.figures import Totals

PURPLE, GREY = (0x7C, 0x3A, 0xED), (0xCB, 0xD5, 0xE1)


def week(*amounts: str | None) -> list[Totals]:
    days = [Totals(cost_usd=None if amount is None else Decimal(amount)) for amount in amounts]
    return days + [Totals()] * (7 - len(days))


def pixels(png: bytes, colour: tuple[int, int, int]) -> int:
    """How much of the picture has this colour."""
    picture = (mpimg.imread(io.BytesIO(png))[:, :, :3] * 255).round()
    return int((abs(picture - colour).sum(axis=2) < 3).sum())


def test_picture_has_its_size() -> None:
    png = chart.draw(week("1"), week("2"), "usd")
    assert png.startswith(b"\x89PNG\r\n")
    assert struct.unpack(">II", png[16:24]) == (2 * chart.WIDTH, 2 * chart.HEIGHT)


def test_bars_are_as_high_as_their_amounts() -> None:
    png = chart.draw(week("4", None), week("2"), "usd")
    legend = pixels(chart.draw(week(), week(), "usd"), PURPLE)
    now, before = pixels(png, PURPLE) - legend, pixels(png, GREY) - legend
    assert now / before == pytest.approx(2, rel=0.03)


def test_words_are_of_the_active_language() -> None:
    with translation.override("ru"):
        russian = chart.draw(week("1"), week("2"), "usd")
        assert russian == chart.draw(week("1"), week("2"), "usd")
    with translation.override("en"):
        assert chart.draw(week("1"), week("2"), "usd") != russian


def test_cyrillic_letters_are_in_the_font() -> None:
    """A letter that is not would be drawn as a box, with a warning, which is an error here."""
    with translation.override("ru"):
        chart.draw(week("0.000001"), week("1000000"), "rub")
