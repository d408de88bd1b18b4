"""Price overrides: prices of the customer, which take precedence over the price list."""

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from genai_prices.units import UnitRegistry, _get_registry

from usage_billing.models.organization import Organization

AMOUNT = r"[0-9]{1,6}(\.[0-9]{1,12})?"
"""A price in USD, below a million, so that a call's cost fits its column."""
EXAMPLE = '{"input_mtok": "2.5", "output_mtok": "10", "cache_read_mtok": "0.25"}'
NEAREST = 3
COMMON = ("input_mtok", "output_mtok", "cache_read_mtok")


def validate_prices(prices: object) -> None:
    """Raise `ValidationError` unless `prices` maps price keys to USD as strings, and can price a call."""
    if not isinstance(prices, dict) or not prices:
        raise ValidationError(_("Write at least one price, such as %(example)s."), params={"example": EXAMPLE})
    problems = list(_problems(prices)) or [
        gettext("“%(missing)s” is needed too: without it, these prices do not cover every call.") % {"missing": key}
        for key in missing(prices)
    ]
    if problems:
        raise ValidationError([ValidationError(problem) for problem in problems])


def _problems(prices: dict[str, object]) -> Iterator[str]:
    known = _registry()._all_price_keys
    for key, value in prices.items():
        if key not in known:
            nearest = difflib.get_close_matches(key, sorted(known), NEAREST) or COMMON
            yield gettext("“%(key)s” is not a price key. The nearest keys: %(nearest)s.") % {
                "key": key,
                "nearest": ", ".join(nearest),
            }
        elif not isinstance(value, str) or not re.fullmatch(AMOUNT, value, re.ASCII):
            yield gettext(
                '“%(key)s”: write the USD in quotation marks, such as "2.5"; from 0 to 999999, at most 12 places.'
            ) % {"key": key}


def missing(keys: Iterable[str]) -> list[str]:
    """Return the price keys that genai-prices requires beside these.

    They are the containing unit of each (`input_mtok` for `cache_read_mtok`), and the common part of two
    (`cache_audio_read_mtok` for `cache_read_mtok` and `input_audio_mtok`).
    """
    registry = _registry()
    units = [registry.unit_for_price_key(key) for key in keys]
    needed = {key for unit in units for key in registry.ancestor_usage_keys(unit.usage_key)}
    joins = (registry.find_join(one, other) for one, other in itertools.combinations(units, 2))
    needed |= {join.usage_key for join in joins if join is not None}
    return sorted(registry.units[key].price_key for key in needed - {unit.usage_key for unit in units})


def _registry() -> UnitRegistry:
    registry: UnitRegistry = _get_registry()
    return registry


class PriceOverride(models.Model):
    """The price of a provider's model, for one organisation or all, from a day on.

    Recorded calls keep their cost. A changed price applies to later calls, and to earlier ones after `reprice_usage`.
    """

    provider = models.CharField(
        _("provider"),
        max_length=50,
        help_text=_("As in the list of calls: openai, anthropic; or the host, such as llm.example.com."),
    )
    model_pattern = models.CharField(
        _("model"),
        max_length=200,
        help_text=_("The model's name, or a pattern in which * matches anything: gpt-4.1*. Case does not matter."),
    )
    org = models.ForeignKey(
        Organization,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="price_overrides",
        verbose_name=_("organisation"),
        help_text=_("Empty: all organisations. A price for one organisation takes precedence."),
    )
    valid_from = models.DateField(
        _("valid from"), help_text=_("Applies to calls from the start of this day (UTC) until a later price.")
    )
    prices = models.JSONField(
        _("prices, USD"),
        validators=[validate_prices],
        help_text=_(
            "Per million tokens (…_mtok), thousand searches or requests (…_kcount), hour (…_hours): "
            '{"input_mtok": "2.5", "output_mtok": "10", "cache_read_mtok": "0.25"}. '
            "“0” means free. If a call uses a unit without a price here, its cost is unknown."
        ),
    )
    note = models.TextField(_("note"), blank=True, help_text=_("Where the price comes from: a contract, a page."))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("created by"),
    )

    class Meta:
        db_table = "usage_price_override"
        ordering = ("provider", "model_pattern", "org", "-valid_from")
        verbose_name = _("price override")
        verbose_name_plural = _("price overrides")
        constraints = (
            models.UniqueConstraint(
                Lower("provider"),
                Lower("model_pattern"),
                "org",
                "valid_from",
                condition=models.Q(org__isnull=False),
                name="price_override_of_an_org",
                violation_error_message=_("A price for this model, organisation and day already exists."),
            ),
            models.UniqueConstraint(
                Lower("provider"),
                Lower("model_pattern"),
                "valid_from",
                condition=models.Q(org__isnull=True),
                name="price_override_of_all",
                violation_error_message=_("A price for this model and day already exists."),
            ),
            models.CheckConstraint(
                name="price_override_named", condition=~models.Q(provider="") & ~models.Q(model_pattern="")
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider} / {self.model_pattern}, {self.valid_from}"

    def clean(self) -> None:
        """Normalise the provider: hosts and the price list's ids are lower case."""
        self.provider = self.provider.strip().lower()
        self.model_pattern = self.model_pattern.strip()
