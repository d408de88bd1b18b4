"""Alerts: what crosses a bound (readings), the state of each alert (firings), and how it is told (delivering).

    from usage_billing import alerts

`links.page_sources` is where pages say which address an alert's message links to.
"""

from usage_billing.alerts.delivering import prune, send_due, send_test
from usage_billing.alerts.evaluation import readings_of
from usage_billing.alerts.firings import Told, check_all
from usage_billing.alerts.validation import clean_channel, clean_rule

__all__ = ["Told", "check_all", "clean_channel", "clean_rule", "prune", "readings_of", "send_due", "send_test"]
