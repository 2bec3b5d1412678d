"""The operator's console: the mirror, its lists and the audit in the Django admin."""

from .calls import ApiCallAdmin, RecordResultAdmin
from .customers import CustomerAdmin
from .lists import CustomerListAdmin, ListMembershipAdmin
from .runs import SyncRunAdmin

__all__ = [
    "ApiCallAdmin",
    "CustomerAdmin",
    "CustomerListAdmin",
    "ListMembershipAdmin",
    "RecordResultAdmin",
    "SyncRunAdmin",
]
