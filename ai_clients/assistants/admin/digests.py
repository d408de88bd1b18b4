"""The admin of the weekly digests: the log of those sent, and a preview of the next."""

from __future__ import annotations

from datetime import date
from typing import Any

from csp.decorators import csp_replace, csp_update
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST

from ai_clients.assistants.admin.call_links import calls_address
from ai_clients.assistants.admin.problems import problems_shown
from ai_clients.assistants.digest.delivery import subscribed_owners
from ai_clients.assistants.digest.email import Rendered, period
from ai_clients.assistants.digest.email import render as render_email
from ai_clients.assistants.digest.figures import weekly_digest_data
from ai_clients.assistants.digest.subscription import account_address
from ai_clients.assistants.digest.summary import DigestSummary, write_summary
from ai_clients.assistants.digest.week import Week, last_full_week
from ai_clients.assistants.models import DigestDelivery
from usage_billing import reports
from usage_billing.admin.read_only import ReadOnlyAdmin
from usage_billing.admin.scoped import ScopedAdmin, request_scope
from usage_billing.admin.theme import ModelAdmin
from usage_billing.auth.run_throttling import count_run
from usage_billing.models import Organization
from usage_billing.reports import Period
from usage_billing.tenancy.scope import Scope, of_organization, outside_scope, scoped, within

FIRST_DAY = date(2000, 1, 3)
"""The first Monday of which a digest is shown."""


@admin.register(DigestDelivery)
class DigestDeliveryAdmin(ReadOnlyAdmin, ScopedAdmin, ModelAdmin[DigestDelivery]):
    """The log of what was sent, and a preview of last week's digest of any organisation."""

    list_display = ("week", "org", "state", "sent_at", "recipients", "error")
    list_filter = ("week", ("org", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("org",)
    change_list_template = "ai_assistants/digest_change_list.html"
    change_form_template = "ai_assistants/digest_change_form.html"
    fields = ("org", "period", "state", "sent_at", "recipients", "summary_text", "error")
    readonly_fields = ("period", "state", "recipients", "summary_text")

    def in_scope(self, rows: QuerySet[DigestDelivery], scope: Scope) -> QuerySet[DigestDelivery]:
        """Only owners: a digest adds up calls that members may not see."""
        return rows.filter(org_id__in=scope.owned_org_ids)

    @admin.display(description=_("status"))
    def state(self, delivery: DigestDelivery) -> str:
        if delivery.sent_at:
            return gettext("sent")
        if delivery.claimed_at:
            return gettext("being sent")
        return gettext("failed, to be sent again") if delivery.error else gettext("not sent")

    @admin.display(description=_("week"))
    def period(self, delivery: DigestDelivery) -> str:
        return period(Week(delivery.week))

    @admin.display(description=_("sent to"))
    def recipients(self, delivery: Any) -> str:
        names = getattr(delivery, "recipient_names", None) or reports.user_names(delivery.delivered_to)
        return ", ".join(names.get(user_id, f"#{user_id}") for user_id in delivery.delivered_to) or "—"

    @admin.display(description=_("summary"))
    def summary_text(self, delivery: DigestDelivery) -> str:
        if delivery.summary is None:
            return "—"
        summary = DigestSummary.model_validate(delivery.summary)
        lines = format_html_join("", "<li>{}</li>", ((line,) for line in summary.observations))
        return format_html("<p>{}</p><ul>{}</ul>", summary.headline, lines)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list, with the names of all recipients looked up at once."""
        listed: Any = super().get_changelist_instance(request)
        names = reports.user_names({user_id for row in listed.result_list for user_id in row.delivered_to})
        for row in listed.result_list:
            row.recipient_names = names
        return listed

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        delivery = self.get_object(request, unquote(object_id))
        more: dict[str, Any] = {}
        if delivery is not None:
            more = _cost(request_scope(request), delivery.org_id, Week(delivery.week))
            more["email_address"] = _email_address(delivery.org_id, Week(delivery.week))
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **more})

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("preview/", wrap(self.preview), name="ai_assistants_digestdelivery_preview"),
            path("<int:org_id>/email/", wrap(email_view), name="ai_assistants_digest_email"),
            path(
                "<int:org_id>/summary/",
                wrap(outside_scope(require_POST(self._summary))),
                name="ai_assistants_digest_summary",
            ),
            *super().get_urls(),
        ]

    def preview(self, request: HttpRequest) -> HttpResponse:
        """Show last week's digest of the chosen organisation, by default the first. It sends and spends nothing."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        orgs = list(_organizations(request))
        asked = request.GET.get("org", "")
        org = next((org for org in orgs if str(org.pk) == asked), None) if asked else next(iter(orgs), None)
        if asked and org is None:
            raise Http404
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": gettext("Weekly digest: preview"),
            "orgs": orgs,
            "chosen": org,
        }
        if org is not None:
            week = last_full_week(org, timezone.now())
            delivery = DigestDelivery.objects.filter(org=org, week=week.monday).first()
            context |= {
                "rendered": _rendered(org, week),
                "owners": [owner.email for owner in subscribed_owners(org)],
                "delivery": delivery,
                "account_address": account_address(),
                "email_address": _email_address(org.pk, week),
                **_cost(request_scope(request), org.pk, week),
                "may_summarize": self._may_summarize(request) and not (delivery and delivery.summary),
            }
        return render(request, "ai_assistants/digest_preview.html", context)

    def _summary(self, request: HttpRequest, org_id: int) -> HttpResponse:
        """Let the model write the summary now. The e-mail will go out with it, and not pay for another."""
        if not self._may_summarize(request):
            raise PermissionDenied
        with scoped(request.user):
            org = _organizations(request).filter(pk=org_id).first()
        if org is None:
            raise Http404
        digest = weekly_digest_data(org)
        with problems_shown(request):
            count_run(user_id=request.user.pk, org_id=org.pk)
            summary = write_summary(digest)
            with within(of_organization(org.pk)):
                delivery, _created = DigestDelivery.objects.get_or_create(org=org, week=digest.week.monday)
                DigestDelivery.objects.filter(pk=delivery.pk, org=org).update(summary=summary.model_dump())
            messages.success(request, gettext("The summary is written; the e-mail will go out with it."))
        return HttpResponseRedirect(f"{reverse('admin:ai_assistants_digestdelivery_preview')}?org={org.pk}")

    def _may_summarize(self, request: HttpRequest) -> bool:
        return request.user.has_perm("ai_assistants.change_digestdelivery")


def _organizations(request: HttpRequest) -> QuerySet[Organization]:
    """The open organisations that this person owns; all of them for a superadmin."""
    scope = request_scope(request)
    orgs = Organization.objects.filter(closed_at=None)
    return orgs if scope.everything else orgs.filter(pk__in=scope.owned_org_ids)


def _cost(scope: Scope, org_id: int, week: Week) -> dict[str, Any]:
    """The organisation's total of the week as the ledger has it now, and the address of its calls."""
    (total,) = reports.totals(scope, filters={"org_id": org_id}, period=Period(week.monday, week.until))
    days = {"from": week.monday, "to": week.sunday}
    return {"week": period(week), "total": total, "calls_address": calls_address(scope, org=org_id, **days)}


def _email_address(org_id: int, week: Week) -> str:
    return f"{reverse('admin:ai_assistants_digest_email', args=[org_id])}?week={week.monday}"


def _asked_week(request: HttpRequest, org: Organization) -> Week:
    """The week of the address, by default the last full one. Raises 404 for a day that is no Monday of the past."""
    last = last_full_week(org, timezone.now())
    if (given := request.GET.get("week")) is None:
        return last
    try:
        week = Week(date.fromisoformat(given))
    except ValueError:
        raise Http404 from None
    if week.monday.weekday() or not FIRST_DAY <= week.monday <= last.monday:
        raise Http404
    return week


def _rendered(org: Organization, week: Week) -> Rendered:
    delivery = DigestDelivery.objects.filter(org=org, week=week.monday, summary__isnull=False).first()
    summary = DigestSummary.model_validate(delivery.summary) if delivery else None
    return render_email(weekly_digest_data(org, week), summary)


@xframe_options_sameorigin
@csp_update({"style-src": ["'unsafe-inline'"], "img-src": ["data:"]})
@csp_replace({"frame-ancestors": ["'self'"], "script-src": ["'none'"]})  # type: ignore[arg-type]  # its stubs know of no view with arguments
def email_view(request: HttpRequest, org_id: int) -> HttpResponse:
    """Show the e-mail for the preview, with its styles in attributes and its chart in the page."""
    if not request.user.has_perm("ai_assistants.view_digestdelivery"):
        raise PermissionDenied
    org = _organizations(request).filter(pk=org_id).first()
    if org is None:
        raise Http404
    return HttpResponse(_rendered(org, _asked_week(request, org)).html_with_chart)
