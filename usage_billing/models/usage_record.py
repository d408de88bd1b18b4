"""Usage records, one per call. Only `ledger` writes them."""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from usage_billing.models.fields import NamedIndex, money
from usage_billing.models.organization import Organization
from usage_billing.models.usage_block import UsageField


def _word(verbose_name: Any, *, max_length: int = 64, help_text: Any = "") -> "models.CharField[str, str]":
    """A column for a short word of the provider's; empty: not known."""
    return models.CharField(verbose_name, max_length=max_length, default="", db_default="", help_text=help_text)


class UsageRecord(models.Model):
    """The usage and cost of one call.

    `prompt_tokens` includes cached and cache-written tokens, `completion_tokens` includes reasoning. An unknown amount
    is NULL, never zero, and `price_source` says why (`unpriced:…`). `user` has no database constraint: a record
    outlives the user, and survives the rollback of the transaction that created the user.
    """

    class Status(models.TextChoices):
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        ABORTED = "aborted", _("cut short")
        PENDING = "pending", _("pending")
        REFUSED = "refused", _("stopped by a budget")

    id = models.BigAutoField(primary_key=True)
    org = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, verbose_name=_("organisation"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("user"),
    )
    content_id = models.CharField(_("content"), max_length=100, null=True)  # noqa: DJ001 - NULL in the contract: none
    workflow_id = models.CharField(_("workflow"), max_length=100, null=True)  # noqa: DJ001 - NULL: outside a workflow
    agent_id = models.CharField(_("agent"), max_length=100, default="")
    request_type = models.CharField(_("request type"), max_length=100, default="")
    request_id = models.CharField(_("request id"), max_length=200)
    endpoint = models.CharField(_("endpoint"), max_length=200)
    ai_provider = models.CharField(_("provider"), max_length=50)
    ai_model = models.CharField(_("model"), max_length=200)

    prompt_tokens = models.BigIntegerField(_("prompt tokens"), default=0)
    completion_tokens = models.BigIntegerField(_("completion tokens"), default=0)
    total_tokens = models.BigIntegerField(_("tokens"), default=0)
    cached_tokens = models.BigIntegerField(_("cached tokens"), default=0)
    cache_write_tokens = models.BigIntegerField(_("cache write tokens"), default=0)
    reasoning_tokens = models.BigIntegerField(_("reasoning tokens"), default=0)
    usage = UsageField(_("usage"), default=dict, help_text=_("Every unit that the provider reported."))

    cost_usd = money(_("cost, USD"), null=True)
    cost_rub = money(_("cost, RUB"), null=True)
    usd_rub_rate = models.DecimalField(_("USD/RUB exchange rate"), max_digits=18, decimal_places=8, null=True)
    price_source = models.CharField(_("price source"), max_length=200)

    platform = models.CharField(_("platform"), max_length=50, default="")
    content_type = models.CharField(_("content type"), max_length=50, default="")
    task_type = models.CharField(_("task type"), max_length=50, default="")
    execution_time_ms = models.BigIntegerField(_("time, ms"), default=0)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.SUCCEEDED)
    error_code = models.CharField(_("error"), max_length=200, default="")
    request_metadata = models.JSONField(_("request metadata"), default=dict)
    response_metadata = models.JSONField(_("response metadata"), default=dict)

    created_at = models.DateTimeField(_("called at"), default=timezone.now)
    recorded_at = models.DateTimeField(_("recorded at"), default=timezone.now)
    usage_date = models.DateField(_("billing day"))

    # Added after 0.2.0: last, so that the columns of exports keep their positions. The database has their default too,
    # so that a process of 0.2.0 may go on inserting until it is replaced.
    provider_organization = _word(_("provider's organisation"))
    provider_project = _word(_("provider's project"), help_text=_("The project, or the workspace."))
    api_key_fingerprint = _word(
        _("API key"), max_length=16, help_text=_("A fingerprint: it tells keys apart and does not reveal them.")
    )
    provider_user_profile = _word(_("provider's user profile"))
    known_cost_usd = money(
        _("known part of the cost, USD"),
        null=True,
        help_text=_("A lower bound of an unknown cost. No total contains it."),
    )
    tags = models.JSONField(_("tags"), default=dict, db_default={})

    class Meta:
        db_table = "token_usage"
        verbose_name = _("call")
        verbose_name_plural = _("calls")
        constraints = (
            # The request id comes first: an answer is searched in all organisations, for another may fetch it.
            models.UniqueConstraint(fields=("request_id", "org"), name="idx_token_usage_request_id"),
            models.CheckConstraint(
                name="token_usage_tokens",
                condition=models.Q(
                    prompt_tokens__gte=0,
                    completion_tokens__gte=0,
                    cached_tokens__gte=0,
                    cache_write_tokens__gte=0,
                    reasoning_tokens__gte=0,
                    total_tokens=models.F("prompt_tokens") + models.F("completion_tokens"),
                ),
            ),
            # A known cost has no unknown part.
            models.CheckConstraint(
                name="token_usage_known_cost",
                condition=models.Q(known_cost_usd__isnull=True) | models.Q(cost_usd__isnull=True),
            ),
            # RUB without USD could not be explained.
            models.CheckConstraint(
                name="token_usage_rub_has_usd",
                condition=models.Q(cost_rub__isnull=True) | models.Q(cost_usd__isnull=False),
            ),
        )
        indexes = (
            NamedIndex(fields=("user", "usage_date"), name="idx_token_usage_user_date"),
            NamedIndex(fields=("user", "agent_id"), name="idx_token_usage_user_agent"),
            NamedIndex(fields=("user", "ai_provider", "ai_model"), name="idx_token_usage_user_provider_model"),
            NamedIndex(
                fields=("workflow_id",),
                name="idx_token_usage_workflow",
                condition=models.Q(workflow_id__isnull=False),
            ),
            NamedIndex(
                fields=("content_id",), name="idx_token_usage_content", condition=models.Q(content_id__isnull=False)
            ),
            # Lists read these backwards, newest first: an index that grows at its end stays dense on disk.
            NamedIndex(fields=("user", "created_at", "id"), name="idx_token_usage_detailed"),
            NamedIndex(fields=("created_at", "id"), name="idx_token_usage_created_at"),
            NamedIndex(fields=("org", "created_at", "id"), name="idx_token_usage_org_created_at"),
            # The most expensive calls of a day, over all organisations and in one. The first index also serves
            # `check_usage`, `rebuild_daily` and `reprice_usage`, which read the ledger by billing day.
            NamedIndex(fields=("usage_date", "-cost_usd", "-id"), name="idx_token_usage_day_cost"),
            NamedIndex(fields=("org", "usage_date", "-cost_usd", "-id"), name="idx_token_usage_org_day_cost"),
            # The calls with the most tokens and the longest ones, in the same way.
            NamedIndex(fields=("usage_date", "-total_tokens", "-id"), name="idx_token_usage_day_tokens"),
            NamedIndex(fields=("org", "usage_date", "-total_tokens", "-id"), name="idx_token_usage_org_day_tokens"),
            NamedIndex(fields=("usage_date", "-execution_time_ms", "-id"), name="idx_token_usage_day_time"),
            NamedIndex(fields=("org", "usage_date", "-execution_time_ms", "-id"), name="idx_token_usage_org_day_time"),
            # Failed and unpriced calls, newest first, for the insights.
            NamedIndex(
                fields=("-created_at", "-id"),
                name="idx_token_usage_failed_unpriced",
                condition=models.Q(cost_usd__isnull=True) | models.Q(status="failed"),
            ),
            NamedIndex(
                fields=("org", "-created_at", "-id"),
                name="idx_token_usage_org_failed_unpriced",
                condition=models.Q(cost_usd__isnull=True) | models.Q(status="failed"),
            ),
            NamedIndex(
                fields=("user", "-created_at", "-id"),
                name="idx_token_usage_user_failed_unpriced",
                condition=models.Q(cost_usd__isnull=True) | models.Q(status="failed"),
            ),
        )

    def __str__(self) -> str:
        return self.request_id
