"""The pages: what AI calls cost, one call's record, and the way in."""

from usage_billing.pages.costs import own_costs, superadmin_costs
from usage_billing.pages.hooks import SIMULATOR, content_sources, destination_sources
from usage_billing.pages.record import own_record
from usage_billing.pages.shell import LogIn, home

__all__ = [
    "SIMULATOR",
    "LogIn",
    "content_sources",
    "destination_sources",
    "home",
    "own_costs",
    "own_record",
    "superadmin_costs",
]
