"""The calls as a file of any size: CSV and JSON Lines as they are read, a workbook up to its limit."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from usage_billing import reports
from usage_billing.access import scoped
from usage_billing.api import parameters, sheets
from usage_billing.api.parameters import Question
from usage_billing.api.views import ReportView
from usage_billing.models import UsageRecord

A_READ = 2000
"""Calls read at a time."""
NAME = "ai-calls"


class ExportView(ReportView):
    """All calls that match, the newest first, as a file."""

    query = parameters.ExportSerializer

    @extend_schema(
        responses={
            (200, sheets.CSV): OpenApiResponse(OpenApiTypes.STR, description="A header, then a line a call."),
            (200, sheets.JSON_LINES): OpenApiResponse(OpenApiTypes.STR, description="An object a line."),
            (200, sheets.WORKBOOK): OpenApiResponse(OpenApiTypes.BINARY, description="One sheet."),
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = self.question
        kind = asked.given["format"]
        batches = iter(()) if request.method == "HEAD" else _batches(request.user, asked)
        if kind == "xlsx":
            return self._workbook(asked, batches)
        content_type, lines = {
            "csv": (sheets.CSV, sheets.csv_lines),
            "jsonl": (sheets.JSON_LINES, sheets.json_lines),
        }[kind]
        chunks = lines(batches)
        is_async = isinstance(request._request, ASGIRequest)
        return StreamingHttpResponse(
            _without_blocking(chunks) if is_async else chunks,
            content_type=f"{content_type}; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{NAME}.{kind}"'},
        )

    def _workbook(self, asked: Question, batches: Iterator[Sequence[UsageRecord]]) -> FileResponse:
        (total,) = reports.totals(self.scope, filters=asked.filters, period=asked.period)
        if total["requests_count"] > sheets.WORKBOOK_ROWS:
            raise ValidationError(
                {
                    "format": _(
                        "A workbook holds %(most)d calls, these are %(count)d. Take csv or jsonl, or fewer days."
                    )
                    % {"most": sheets.WORKBOOK_ROWS, "count": total["requests_count"]}
                }
            )
        self.leave_scope()
        with ExitStack() as unless_done:
            file = unless_done.enter_context(tempfile.TemporaryFile())
            sheets.write_workbook(file, batches)
            file.seek(0)
            unless_done.pop_all()
        return FileResponse(file, as_attachment=True, filename=f"{NAME}.xlsx", content_type=sheets.WORKBOOK)


def _batches(user: Any, asked: Question) -> Iterator[Sequence[UsageRecord]]:
    """The calls, some at a time, each time in the scope that the user has then.

    No transaction stays open while somebody downloads slowly, and who leaves an organisation, or is shut out, gets no
    more of its calls.
    """
    after: tuple[Any, int] | None = None
    while True:
        user.refresh_from_db(fields=["is_active", "is_superuser"])
        with scoped(user) as scope:
            page = reports.page(scope, filters=asked.filters, period=asked.period, limit=A_READ, after=after)
        yield page.calls
        if page.next is None:
            return
        after = page.next


async def _without_blocking(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Under ASGI each chunk is made in Django's thread. A plain iterator would be read to its end before it is sent."""
    while (chunk := await sync_to_async(lambda: next(chunks, None))()) is not None:
        yield chunk
