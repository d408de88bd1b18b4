"""Base class of all commands: escapes control characters in their output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from django.core.management.base import BaseCommand, OutputWrapper

from usage_billing.monitoring.printable import printable


class PrintableOutput(OutputWrapper):
    """Writes each text as one line. Text with a style is Django's own layout (its checks) and passes unchanged."""

    def write(  # type: ignore[override]  # as Django's own has it, which calls itself a stream of text
        self, msg: str = "", style_func: Callable[[str], str] | None = None, ending: str | None = None
    ) -> None:
        super().write(msg if style_func else printable(msg.removesuffix("\n")), style_func, ending)


class PrintableCommand(BaseCommand):
    """A command whose output and errors contain names given by callers, providers and people."""

    def __init__(
        self,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        no_color: bool = False,
        force_color: bool = False,
    ) -> None:
        super().__init__(stdout, stderr, no_color, force_color)
        self.stdout = PrintableOutput(stdout or sys.stdout)
        self.stderr = PrintableOutput(stderr or sys.stderr)
        self.stderr.style_func = self.style.ERROR

    def execute(self, *args: Any, **options: Any) -> str | None:
        if stream := options.pop("stdout", None):
            self.stdout = PrintableOutput(stream)
        if stream := options.pop("stderr", None):
            self.stderr = PrintableOutput(stream)
        return super().execute(*args, **options)
