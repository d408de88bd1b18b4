"""URLs of the host project. Its own come after those of `usage_billing`, which must not match them."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    return Response("host", status=418)


class HostView(APIView):
    def get(self, request: Request) -> Response:
        return Response({"version": request.version})


def invoices(request: HttpRequest) -> HttpResponse:
    return HttpResponse("host")


urlpatterns = [
    path("", include("usage_billing.urls")),
    path("admin/", admin.site.urls),
    path("api/token", invoices),
    path("api/billing/invoices", invoices),
    path("api/own", HostView.as_view()),
]
