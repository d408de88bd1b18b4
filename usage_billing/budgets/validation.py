"""What a budget must be like. Errors are by field, and say what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Count
from django.utils.translation import gettext

from usage_billing import reports
from usage_billing.models import Budget, Membership, TagValue
from usage_billing.models.budget import SCOPE, validate_thresholds
from usage_billing.models.tag_value import KEYS_PER_ORGANIZATION, VALUES_PER_KEY
from usage_billing.recording import tags
from usage_billing.reports.totals import COST_MEASURES
from usage_billing.tenancy.scope import of_organization

REPLACING = ("openai", "anthropic")
"""Providers whose models may replace others: those of the assistants' requests."""

TEXTS = ("name", *(name for name in SCOPE if name != "user_id"), "replacement")


def clean(budget: Budget, before: Mapping[str, Any]) -> None:
    """Raise `ValidationError` unless the budget may be saved. before: its fields as they were; empty for a new one.

    What does not change is not checked again: its user may have been deleted, its tag's key may be full by now.
    """
    problems: dict[str, list[Any]] = {}
    _collect(problems, lambda: _check_org(budget))
    for name in TEXTS:
        setattr(budget, name, str(getattr(budget, name)).strip())
    # Whether the user belongs to the organisation is checked below, without telling whether they exist elsewhere.
    _collect(problems, lambda: budget.full_clean(exclude=["user", "org"], validate_constraints=False))
    checks: dict[str, Callable[[], None]] = {
        "limit": lambda: _check_limit(budget),
        "thresholds": lambda: _check_thresholds(budget),
        "replacement": lambda: _check_replacement(budget),
        "user": lambda: _check_user(budget, before),
        "tag": lambda: _check_tag(budget, before),
    }
    for name, check in checks.items():
        if name not in problems:
            _collect(problems, check)
    if not problems:
        _collect(problems, lambda: check_name(budget))
    if problems:
        raise ValidationError(problems)


def changed_meanwhile() -> ValidationError:
    return ValidationError(
        gettext("The budget was changed by somebody else at the same time. Look at it and try again.")
    )


def _collect(problems: dict[str, list[Any]], check: Callable[[], None]) -> None:
    try:
        check()
    except ValidationError as error:
        for name, texts in error.update_error_dict({}).items():
            problems.setdefault(name, []).extend(texts)


def _check_org(budget: Budget) -> None:
    if budget.org.closed_at is not None:
        raise ValidationError({"org": gettext("This organisation is closed: it makes no calls.")})


def _check_limit(budget: Budget) -> None:
    if budget.limit <= 0:
        raise ValidationError(
            {"limit": gettext("Write an amount above zero. To stop nothing, make the budget inactive.")}
        )
    check_is_whole(budget.limit, budget.unit)


def check_is_whole(limit: Decimal, unit: str) -> None:
    """Refuse parts of tokens and calls."""
    if unit in (Budget.Unit.TOKENS, Budget.Unit.CALLS) and limit != limit.to_integral_value():
        raise ValidationError({"limit": gettext("Tokens and calls are whole numbers.")})


def _check_thresholds(budget: Budget) -> None:
    """Django does not validate empty values, of which only the list is one: it tells nothing."""
    try:
        validate_thresholds(budget.thresholds)
    except ValidationError as error:
        raise ValidationError({"thresholds": error}) from None


def _check_replacement(budget: Budget) -> None:
    if budget.mode != Budget.Mode.DOWNGRADE:
        if budget.replacement:
            text = gettext("Only a budget that uses a cheaper model names one. Choose that mode, or leave this empty.")
            raise ValidationError({"replacement": text})
        return
    provider, _, model = budget.replacement.partition(":")
    if provider not in REPLACING or not model.strip():
        text = gettext(
            "Write provider and model of the cheaper model, such as openai:gpt-6-luna or anthropic:claude-haiku-5-5."
        )
        raise ValidationError({"replacement": text})


def _check_user(budget: Budget, before: Mapping[str, Any]) -> None:
    user_id = budget.user_id
    if user_id is None or (before and before["user_id"] == user_id):
        return
    if Membership.objects.filter(org=budget.org_id, user_id=user_id).exists():
        return
    scope = of_organization(budget.org_id)
    total = reports.totals(scope, filters={"user_id": user_id}, measures=COST_MEASURES)[0]
    if not total["requests_count"]:
        text = gettext("This user is no member of the organisation and has no calls in it.")
        raise ValidationError({"user": text})


def _check_tag(budget: Budget, before: Mapping[str, Any]) -> None:
    key, value = budget.tag_key, budget.tag_value
    if not key and not value:
        return
    if not key or not value:
        raise ValidationError({"tag": gettext("A tag has a key and a value.")})
    if tags.key(key) != key or tags.value(value) != value:
        text = gettext(
            "No call can have this tag. A key has letters, digits and _ - . :, a value printable characters."
        )
        raise ValidationError({"tag": text})
    if not before or (before["tag_key"], before["tag_value"]) != (key, value):
        _check_tag_is_kept_apart(budget)


def _check_tag_is_kept_apart(budget: Budget) -> None:
    """Refuse a tag beyond the bounds: reports count it together with others, so a budget would count their calls."""
    of_org = TagValue.objects.filter(org=budget.org_id)
    if of_org.filter(tag_key=budget.tag_key, tag_value=budget.tag_value).exists():
        return
    sizes = dict(of_org.values_list("tag_key").annotate(Count("tag_value")))
    if sizes.get(budget.tag_key, 0) >= VALUES_PER_KEY:
        text = gettext(
            "Reports keep %(most)d values of a tag apart, and “%(key)s” has as many without this one. Choose one of"
            " them, or another tag."
        )
        raise ValidationError({"tag": text % {"most": VALUES_PER_KEY, "key": budget.tag_key}})
    if budget.tag_key not in sizes and len(sizes) >= KEYS_PER_ORGANIZATION:
        text = gettext(
            "Reports keep %(most)d tags of an organisation apart, and it has as many without “%(key)s”. Choose one of"
            " them."
        )
        raise ValidationError({"tag": text % {"most": KEYS_PER_ORGANIZATION, "key": budget.tag_key}})


def check_name(budget: Budget) -> None:
    """Refuse a name that the organisation has already."""
    same = Budget.objects.filter(org=budget.org_id, name=budget.name).exclude(pk=budget.pk)
    if same.exists():
        raise ValidationError({"name": gettext("The organisation has a budget of this name already.")})
