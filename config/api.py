"""The service's own addresses under `/api/`: the schema, its page, and the answer to an unknown address."""

from __future__ import annotations

import json

from django.urls import re_path
from django.utils import translation
from django.utils.translation import gettext as _
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from usage_billing.api.base import ApiView


class SchemaView(ApiView, SpectacularAPIView):
    """OpenAPI, in English for every caller: programs are written by it."""

    permission_classes = (AllowAny,)
    renderer_classes = [OpenApiJsonRenderer]

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        with translation.override("en"):
            response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
            # The texts are lazy: they are translated here, not when the answer is sent.
            response.data = json.loads(OpenApiJsonRenderer().render(response.data))
            return response


class DocsView(ApiView, SpectacularSwaggerSplitView):
    """Swagger UI within the shell, for everybody; the sidebar is that of the session."""

    title = "API"
    template_name = "usage_billing/api_docs.html"
    url_name = "schema"
    permission_classes = (AllowAny,)
    renderer_classes = [TemplateHTMLRenderer]


class UnknownPathView(ApiView):
    """Answers an unknown address in the API's own shape."""

    schema = None
    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise NotFound(_("There is no such address in this API."))


urlpatterns = [
    re_path(r"^schema/?$", SchemaView.as_view(), name="schema"),
    re_path(r"^docs/?$", DocsView.as_view(), name="docs"),
    re_path(r"", UnknownPathView.as_view()),
]
