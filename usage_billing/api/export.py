"""Exports calls as a file of any size, sent while the calls are read."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Any, NoReturn

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import Throttled, ValidationError
from rest_framework.request import Request

from usage_billing import reports
from usage_billing.api import examples, export_slots, sheets
from usage_billing.api.parameters import ExportSerializer, ReportParameters
from usage_billing.api.schema import refusal
from usage_billing.api.views import ReportView
from usage_billing.auth import credentials
from usage_billing.budgets.stopped_calls import told_to
from usage_billing.models import UsageRecord
from usage_billing.tenancy.scope import Scope, scoped

logger = logging.getLogger(__name__)

BATCH_SIZE = 2000
"""Calls read at a time."""
NAME = "ai-calls"
FORMATS: dict[str, tuple[str, Callable[[sheets.Batches], Iterator[bytes]]]] = {
    "csv": (sheets.CONTENT_TYPES["csv"], sheets.csv_lines),
    "jsonl": (sheets.CONTENT_TYPES["jsonl"], sheets.json_lines),
    "xlsx": (sheets.CONTENT_TYPES["xlsx"], sheets.workbook_chunks),
}


class ExportStoppedError(Exception):
    """The caller has lost access. The server closes the connection: half a file must not pass for a whole one."""


class ExportResponse(StreamingHttpResponse):
    """Gives its slot back when it is closed, complete or not."""

    def __init__(self, *args: Any, slot: export_slots.Slot, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._slot = slot

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._slot.close()


class ExportView(ReportView):
    """Export calls as a file.

    Returns all matching calls, newest first, as CSV, JSON Lines or a workbook, sent while they are read. The columns
    are the properties of `Call`. A person, or a service token, may have two exports at a time. An export breaks off,
    and the connection is closed, when its token, session or user is ended or when what the caller may see changes.
    """

    query = ExportSerializer
    tag = "Export"

    @extend_schema(
        responses={
            (200, sheets.CSV): OpenApiResponse(
                OpenApiTypes.STR,
                description="A header, then one line per call. With a request header Accept-Language whose language"
                " writes decimal commas, such as `ru`: semicolons between the cells and commas in the numbers.",
            ),
            (200, sheets.JSON_LINES): OpenApiResponse(OpenApiTypes.STR, description="One object per line."),
            (200, sheets.WORKBOOK): OpenApiResponse(OpenApiTypes.BINARY, description="One sheet."),
            429: refusal(
                "Too many requests or exports; `Retry-After` gives the seconds to wait.",
                examples.TOO_MANY_EXPORTS,
                examples.THROTTLED,
            ),
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        parameters = self.parameters
        kind = parameters.given["format"]
        if kind == "xlsx":
            self._check_size(parameters)
        try:
            slot = export_slots.take(request.user)
        except export_slots.TooManyExportsError as full:
            raise Throttled(export_slots.RETRY_AFTER_S, str(full), "too_many_exports") from None
        content_type, lines = FORMATS[kind]
        if kind == "csv" and "Accept-Language" in request.headers:
            # A browser: the file will be opened in a spreadsheet. Programs send no language.
            lines = partial(sheets.csv_lines, dialect=sheets.dialect_of_language())
        chunks = lines(iter(()) if request.method == "HEAD" else _batches(request, self.scope, parameters))
        is_async = isinstance(request._request, ASGIRequest)
        return ExportResponse(
            _without_blocking(chunks) if is_async else chunks,
            slot=slot,
            content_type=content_type,
            headers={"Content-Disposition": f'attachment; filename="{NAME}.{kind}"'},
        )

    def _check_size(self, parameters: ReportParameters) -> None:
        (total,) = reports.totals(self.scope, filters=parameters.filters, period=parameters.period)
        if total["requests_count"] > sheets.WORKBOOK_ROWS:
            raise ValidationError(
                {
                    "format": _(
                        "A workbook holds %(most)d calls, these are %(count)d. Take csv or jsonl, or fewer days."
                    )
                    % {"most": sheets.WORKBOOK_ROWS, "count": total["requests_count"]}
                }
            )


def _batches(request: Request, scope: Scope, parameters: ReportParameters) -> Iterator[Sequence[UsageRecord]]:
    """Read the calls in batches, so that no transaction stays open during a slow download.

    Raises `ExportStoppedError` once the credentials no longer hold or the caller's scope has changed.
    """
    after: tuple[Any, int] | None = None
    while True:
        user = credentials.user_now(request)
        if user is None:
            _stop(request, "their credentials no longer hold")
        with scoped(user) as scope_now:
            if scope_now != scope:
                _stop(request, "their scope has changed")
            page = reports.page(
                scope, filters=parameters.filters, period=parameters.period, limit=BATCH_SIZE, after=after
            )
        yield told_to(scope, page.calls)
        if page.next is None:
            return
        after = page.next


def _stop(request: Request, why: str) -> NoReturn:
    logger.warning("An export of user %s was stopped: %s.", credentials.ident(request.user), why)
    raise ExportStoppedError


async def _without_blocking(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Make each chunk in Django's thread: ASGI would read a plain iterator to its end before sending."""
    while (chunk := await sync_to_async(lambda: next(chunks, None))()) is not None:
        yield chunk
