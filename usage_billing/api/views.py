"""The JSON API: parse, ask `reports` within the caller's scope, answer."""

from django.utils import timezone
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from usage_billing import reports
from usage_billing.api.base import ScopedView
from usage_billing.api.serializers import SummarySerializer


class SummaryView(ScopedView):
    """Totals of today, this month and all time, of the calls that the caller may see."""

    def get(self, request: Request) -> Response:
        return Response(SummarySerializer(reports.summary(self.scope, self.scope.today(timezone.now()))).data)


class UnknownPathView(APIView):
    """Answers an unknown address in the API's own shape."""

    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise NotFound("There is no such address in this API.")
