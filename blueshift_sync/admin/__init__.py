"""The operator's console: the mirror, its lists and the audit in the Django admin."""

from .attribute_types import AttributeTypeAdmin
from .calls import ApiCallAdmin, RecordResultAdmin
from .customers import CustomerAdmin
from .failures import FailuresByCauseAdmin
from .lists import CustomerListAdmin, ListMembershipAdmin
from .overview import OverviewAdmin
from .removals import CustomerRemovalAdmin
from .runs import SyncRunAdmin

__all__ = [
    "ApiCallAdmin",
    "AttributeTypeAdmin",
    "CustomerAdmin",
    "CustomerListAdmin",
    "CustomerRemovalAdmin",
    "FailuresByCauseAdmin",
    "ListMembershipAdmin",
    "OverviewAdmin",
    "RecordResultAdmin",
    "SyncRunAdmin",
]
