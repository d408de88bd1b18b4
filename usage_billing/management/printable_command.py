"""What all commands share: their output is lines that a terminal only shows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from django.core.management.base import BaseCommand, OutputWrapper

from usage_billing.monitoring.printable import printable


class PrintableOutput(OutputWrapper):
    """Makes one line of each text that is written. Django gives a style to what it has laid out itself, its checks."""

    def write(  # type: ignore[override]  # as Django's own has it, which calls itself a stream of text
        self, msg: str = "", style_func: Callable[[str], str] | None = None, ending: str | None = None
    ) -> None:
        super().write(msg if style_func else printable(msg.removesuffix("\n")), style_func, ending)


class PrintableCommand(BaseCommand):
    """A command that prints what callers, providers and people have named. Its errors are escaped as well."""

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
