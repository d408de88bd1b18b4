"""Text for terminals and logs."""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from usage_billing.monitoring.printable import NBSP, OneLineFormatter, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gpt-4.1-mini", "gpt-4.1-mini"),
        ("Расходы: 1 000 ₽ 👍", "Расходы: 1 000 ₽ 👍"),
        (f"80{NBSP}₽", f"80{NBSP}₽"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2J\x07\x00\x7f\x9b", "\\u001b[2J\\u0007\\u0000\\u007f\\u009b"),
        ("gpt\u202etxt\u2066", "gpt\\u202etxt\\u2066"),
        ("\u2028\u200b\ufeff", "\\u2028\\u200b\\ufeff"),
        ("\ud800 \U000e0041", "\\ud800 \\udb40\\udc41"),
        ('"quoted" \\n', '"quoted" \\n'),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_any_text_becomes_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert shown.replace(NBSP, " ").isprintable()


def test_json_stays_json_of_the_same_value() -> None:
    value = {"model": "a\x7f\u202e\x9b\U000e0041\u2028"}
    assert json.loads(printable(json.dumps(value, ensure_ascii=False))) == value


HOSTILE = "m\x1b[2J\n2026-11-28 10:00:00 ERROR usage_billing: forged\u202e\ud800"


def formatted(message: str, *args: Any, **fields: Any) -> str:
    formatter = OneLineFormatter("{levelname} {name}: {message}", style="{")
    record = logging.LogRecord("usage_billing", logging.ERROR, __file__, 1, message, args, None)
    vars(record).update(fields)
    return formatter.format(record)


def test_a_record_is_one_line() -> None:
    line = formatted("Event of %s was refused.", HOSTILE)
    assert line == (
        "ERROR usage_billing: Event of m\\u001b[2J\\n2026-11-28 10:00:00 ERROR usage_billing: forged\\u202e\\ud800"
        " was refused."
    )


def test_a_traceback_is_indented_and_escaped() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        text = formatted("It failed.", exc_info=sys.exc_info(), stack_info="Stack:\n\x1b")
    first, *below = text.split("\n")
    assert first == "ERROR usage_billing: It failed."
    assert [line for line in below if not line.startswith("  ")] == []
    assert "  ValueError: m\\u001b[2J" in below
    assert all(line.isprintable() for line in below)
    assert below[-1] == "  \\u001b"
    assert formatted("Sent on.", exc_text="a\nb\x1b").split("\n")[1:] == ["  a", "  b\\u001b"]


LOGGING: dict[str, Any] = settings.LOGGING


def test_the_service_logs_by_it(capsys: pytest.CaptureFixture[str]) -> None:
    """As the settings say, through the loggers of both apps and of Django."""
    handlers = {**LOGGING["handlers"]["console"], "stream": "ext://sys.stderr"}
    loggers = {name: {"handlers": ["console"], "propagate": False} for name in ("usage_billing.x", "ai_clients.x")}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": LOGGING["formatters"],
            "handlers": {"console": handlers},
            "loggers": loggers,
        }
    )
    for name in loggers:
        logging.getLogger(name).error("Of %s", HOSTILE)
        logging.getLogger(name).handlers.clear()
    lines = capsys.readouterr().err.split("\n")
    assert [line.partition(" ERROR ")[2] for line in lines] == [
        *(f"{name}: Of {printable(HOSTILE)}" for name in loggers),
        "",
    ]
