"""The operator's console: the mirror, its lists and the audit in the Django admin."""

from .attribute_types import AttributeTypeAdmin
from .calls import ApiCallAdmin
from .customers import CustomerAdmin
from .failures import FailuresByCauseAdmin
from .imports import ListImportAdmin
from .lists import CustomerListAdmin, ListMembershipAdmin
from .overview import OverviewAdmin
from .removals import CustomerRemovalAdmin
from .results import RecordResultAdmin
from .runs import SyncRunAdmin
from .site_models import BlueshiftAdminMixin

__all__ = [
    "ApiCallAdmin",
    "AttributeTypeAdmin",
    "BlueshiftAdminMixin",
    "CustomerAdmin",
    "CustomerListAdmin",
    "CustomerRemovalAdmin",
    "FailuresByCauseAdmin",
    "ListImportAdmin",
    "ListMembershipAdmin",
    "OverviewAdmin",
    "RecordResultAdmin",
    "SyncRunAdmin",
]
