"""The admin of repricing: the log of runs, a form that shows first what a run would change, and its progress."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from usage_billing.admin.repricing_form import RUN, RepriceForm, active_text
from usage_billing.admin.scoped import SuperadminAdmin, request_scope
from usage_billing.admin.suggestions import model_input, provider_input
from usage_billing.admin.theme import ModelAdmin
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.ledger import archived, repricing, repricing_requests, repricing_thread
from usage_billing.ledger.repricing import Scope
from usage_billing.models import RepriceRun
from usage_billing.models.database import on_commit
from usage_billing.templatetags import amounts

REFRESH_S = 3
"""How often the page of an unfinished run loads itself again."""
DEFAULT_DAYS = 30
SHOWN = 5
"""Number of models in the list of largest changes."""


@admin.register(RepriceRun)
class RepriceRunAdmin(SuperadminAdmin, ModelAdmin[RepriceRun]):
    """Runs are added and looked at. A process that may write the ledger works on them."""

    accusative = pgettext_lazy("accusative", "repricing")
    form = RepriceForm
    list_display = ("started_at", "state_text", "which_calls", "by", "reason", "changed", "usd", "rub")
    list_filter = ("started_at",)
    list_select_related = ("org",)
    search_fields = ("reason", "by")
    autocomplete_fields = ("org",)
    add_form_template = "admin/usage_billing/reprice_form.html"
    change_form_template = "admin/usage_billing/reprice_run.html"

    class Media:
        css = {"all": ("usage_billing/admin_forms.css",)}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        address = path(
            "<int:pk>/continue/",
            self.admin_site.admin_view(self.continue_view),
            name="usage_billing_repricerun_continue",
        )
        return [address, *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: RepriceRun | None = None) -> Any:
        days, models = ("date_from", "date_to"), ("provider", "model")
        if obj is None:
            which = (days, models, "org", ("only_unpriced", "with_rates"))
            return ((_("Which calls"), {"fields": which}), (None, {"fields": ("reason",)}))
        log = (("by", "reason"), ("started_at", "finished_at"))
        return ((_("Which calls"), {"fields": (days, models, ("org", "options"))}), (None, {"fields": log}))

    def get_readonly_fields(self, request: HttpRequest, obj: RepriceRun | None = None) -> tuple[str, ...]:
        return () if obj is None else ("options",)

    def get_form(
        self, request: HttpRequest, obj: RepriceRun | None = None, change: bool = False, **options: Any
    ) -> Any:
        if obj is not None:  # the page only shows the run: it needs no advice on how to fill in the fields
            options = {"form": forms.ModelForm, "help_texts": dict.fromkeys(RepriceForm.Meta.fields, ""), **options}
        return super().get_form(request, obj, change, **options)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        today = request_scope(request).today(timezone.now())
        days = {"date_from": today - timedelta(days=DEFAULT_DAYS - 1), "date_to": today}
        return {**days, **super().get_changeform_initial_data(request)}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "provider":
            options["widget"] = provider_input(request)
        elif db_field.name == "model":
            options["widget"] = model_input(request)
        field = super().formfield_for_dbfield(db_field, request, **options)
        if db_field.name == "reason" and field is not None:
            field.widget.attrs["rows"] = 2
        return field

    # ── A new run ────────────────────────────────────────────────────────────────────────────────────────────────

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        try:
            response = super().add_view(request, form_url, extra_context)
        except repricing_requests.RunActiveError as error:
            return self._refused(request, error)
        if isinstance(response, TemplateResponse) and response.context_data is not None:
            response.context_data |= self._dry_run(request, response.context_data["adminform"].form)
        return response

    def _dry_run(self, request: HttpRequest, form: RepriceForm) -> dict[str, Any]:
        """Return the context of the panel below the fields: what the run would change."""
        context: dict[str, Any] = {"active": repricing_requests.active_run(timezone.now())}
        if form.is_sound:
            scope = form.scope
            context |= {
                "sample": (sample := repricing.rehearse_some(scope, PriceOverrides.load())),
                "measures": sample.tally.measures,
                "largest_changes": sample.tally.largest_changes(SHOWN),
                "archived": archived.months(scope.first, scope.last + timedelta(days=1)),
                "token": form.token,
                "is_changed": RUN in request.POST,
            }
        return context

    def save_model(self, request: HttpRequest, obj: RepriceRun, form: RepriceForm, change: bool) -> None:
        made = repricing_requests.request_run(
            form.scope, by=request.user.get_username(), reason=obj.reason.strip(), at=timezone.now()
        )
        obj.pk = made.pk
        obj.refresh_from_db()
        _work_after_commit()

    def response_add(self, request: HttpRequest, obj: RepriceRun, post_url_continue: str | None = None) -> HttpResponse:
        return HttpResponseRedirect(_address(obj))

    def _refused(self, request: HttpRequest, error: repricing_requests.RunActiveError) -> HttpResponse:
        messages.error(request, active_text(error.run))
        return HttpResponseRedirect(_address(error.run))

    # ── A run's page ─────────────────────────────────────────────────────────────────────────────────────────────

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        now, run = timezone.now(), self.get_object(request, object_id)
        context = {} if run is None else self._progress(run, now)
        response = super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})
        if run is not None and run.state(now) in UNFINISHED:
            # The browser loads the page again, with or without scripts; the run does not need the page.
            response["Refresh"] = str(REFRESH_S)
        return response

    def _progress(self, run: RepriceRun, now: datetime) -> dict[str, Any]:
        state = run.state(now)
        if state == RepriceRun.State.WAITING and repricing_thread.is_in_this_process():
            repricing_thread.start()  # the process that was to begin it has ended
        expected = (
            max(Scope.of_run(run).expected_records(), run.records_seen) if state != FINISHED else run.records_seen
        )
        return {
            "run": run,
            "state": state,
            "state_text": state.label,
            "expected": expected,
            "percent": 100 * run.records_seen // expected if expected else 0,
            "continued_by": run.continued_by.first(),
            "is_worked_on_elsewhere": not repricing_thread.is_in_this_process(),
            "is_unfinished": state in UNFINISHED,
            "may_be_continued": state in STOPPED and not run.continued_by.exists(),
        }

    def continue_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Go on with a run that was interrupted or stopped by an error: as a new run, from where it ended."""
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:usage_billing_repricerun_change", args=[pk]))
        if not self.has_add_permission(request):
            raise PermissionDenied
        run, now = get_object_or_404(RepriceRun.objects.select_related("org"), pk=pk), timezone.now()
        if run.state(now) not in STOPPED or run.continued_by.exists():
            messages.warning(request, gettext("This repricing does not need to be continued."))
            return HttpResponseRedirect(_address(run))
        try:
            made = repricing_requests.request_run(
                Scope.of_run(run), by=request.user.get_username(), reason=run.reason, at=now, continues=run
            )
        except repricing_requests.RunActiveError as error:
            return self._refused(request, error)
        self.log_addition(request, made, gettext("Continues repricing %(number)s.") % {"number": run.pk})
        _work_after_commit()
        return HttpResponseRedirect(_address(made))

    # ── Columns ──────────────────────────────────────────────────────────────────────────────────────────────────

    @admin.display(description=_("state"))
    def state_text(self, run: RepriceRun) -> str:
        return str(run.state(timezone.now()).label)

    @admin.display(description=_("which calls"))
    def which_calls(self, run: RepriceRun) -> str:
        days = f"{amounts.written_day(run.date_from)} – {amounts.written_day(run.date_to)}"
        models = " / ".join(filter(None, (run.provider, run.model)))
        return " · ".join(filter(None, (days, models, str(run.org or ""), self._options(run))))

    @admin.display(description=_("options"))
    def options(self, run: RepriceRun) -> str:
        return self._options(run) or "—"

    def _options(self, run: RepriceRun) -> str:
        chosen = ((run.only_unpriced, gettext("unpriced calls only")), (run.with_rates, gettext("exchange rates too")))
        return ", ".join(text for is_chosen, text in chosen if is_chosen)

    @admin.display(description=_("calls changed"))
    def changed(self, run: RepriceRun) -> str:
        numbers = {"changed": amounts.grouped(run.records_changed), "seen": amounts.grouped(run.records_seen)}
        return gettext("%(changed)s of %(seen)s") % numbers

    @admin.display(description="USD")
    def usd(self, run: RepriceRun) -> str:
        return format_html(
            '<span class="ub-nowrap">{} → {}</span>', amounts.usd(run.usd_before), amounts.usd(run.usd_after)
        )

    @admin.display(description="RUB")
    def rub(self, run: RepriceRun) -> str:
        return format_html(
            '<span class="ub-nowrap">{} → {}</span>', amounts.rub(run.rub_before), amounts.rub(run.rub_after)
        )


FINISHED = RepriceRun.State.FINISHED
UNFINISHED = (RepriceRun.State.WAITING, RepriceRun.State.RUNNING)
STOPPED = (RepriceRun.State.INTERRUPTED, RepriceRun.State.FAILED)


def _address(run: RepriceRun) -> str:
    return reverse("admin:usage_billing_repricerun_change", args=[run.pk])


def _work_after_commit() -> None:
    if repricing_thread.is_in_this_process():
        on_commit(repricing_thread.start)
