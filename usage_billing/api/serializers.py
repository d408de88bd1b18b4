"""What the JSON says, field by field."""

from typing import Any

from rest_framework import serializers


class AmountField(serializers.DecimalField):
    """A sum of money as a decimal string, exact, without trailing zeros. Never a float."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=None, decimal_places=None, normalize_output=True, **kwargs)

    def to_representation(self, value: Any) -> Any:
        return format(value.normalize(), "f")


class TotalsSerializer(serializers.Serializer[dict[str, Any]]):
    """Sums over a period. Amounts cover the calls whose amount is known; `unpriced_count` says how many are not."""

    total_tokens = serializers.IntegerField()
    cost_usd = AmountField()
    cost_rub = AmountField()
    requests_count = serializers.IntegerField()
    unpriced_count = serializers.IntegerField(
        source="unpriced_rub_count", help_text="Calls without a known cost in USD, or without a rate for RUB."
    )


class SummarySerializer(serializers.Serializer[dict[str, Any]]):
    today = TotalsSerializer()
    this_month = TotalsSerializer()
    all_time = TotalsSerializer()
