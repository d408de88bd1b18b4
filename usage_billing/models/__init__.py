"""One model a file; import them from here."""

from usage_billing.models.alert import AlertChannel, AlertDelivery, AlertFiring, AlertRoute, AlertRule
from usage_billing.models.archive_file import ArchiveFile
from usage_billing.models.archived_usage import ArchivedUsage
from usage_billing.models.budget import Budget, BudgetLease, BudgetLock, SettledHold
from usage_billing.models.budget_history import BudgetChange, BudgetRequest
from usage_billing.models.daily_tag_usage import DailyTagUsage
from usage_billing.models.daily_usage import DailyUsage
from usage_billing.models.deleted_user import DeletedUser
from usage_billing.models.exchange_rate import ExchangeRate
from usage_billing.models.installation import Installation
from usage_billing.models.job_part import JobPart
from usage_billing.models.organization import Membership, Organization
from usage_billing.models.price_override import PriceOverride
from usage_billing.models.provider_key import ProviderKey
from usage_billing.models.reported_call import ReportedCall
from usage_billing.models.reprice_run import RepriceRun
from usage_billing.models.saved_view import SavedView
from usage_billing.models.service_token import ServiceToken, ServiceTokenChange
from usage_billing.models.session import Session
from usage_billing.models.tag_value import TagValue
from usage_billing.models.throttle_count import ThrottleCount
from usage_billing.models.usage_record import UsageRecord

__all__ = [
    "AlertChannel",
    "AlertDelivery",
    "AlertFiring",
    "AlertRoute",
    "AlertRule",
    "ArchiveFile",
    "ArchivedUsage",
    "Budget",
    "BudgetChange",
    "BudgetLease",
    "BudgetLock",
    "BudgetRequest",
    "DailyTagUsage",
    "DailyUsage",
    "DeletedUser",
    "ExchangeRate",
    "Installation",
    "JobPart",
    "Membership",
    "Organization",
    "PriceOverride",
    "ProviderKey",
    "ReportedCall",
    "RepriceRun",
    "SavedView",
    "ServiceToken",
    "ServiceTokenChange",
    "Session",
    "SettledHold",
    "TagValue",
    "ThrottleCount",
    "UsageRecord",
]
