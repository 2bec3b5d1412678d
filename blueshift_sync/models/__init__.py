"""The mirror of the site's customers and lists, and the audit of what was sent."""

from .alerts import Alert
from .attribute_types import AttributeType
from .audit import ApiCall, RecordResult, SyncRun
from .customers import Customer
from .figures import CallSum, StateCount, SweepRecord
from .imports import ListImport, ListImportChunk, ListImportMatch, ListImportPart
from .lists import CustomerList, ListMembership
from .pages import FailuresByCause, Overview
from .removals import CustomerRemoval
from .sending import SendingStop
from .state import SyncState

__all__ = [
    "Alert",
    "ApiCall",
    "AttributeType",
    "CallSum",
    "Customer",
    "CustomerList",
    "CustomerRemoval",
    "FailuresByCause",
    "ListImport",
    "ListImportChunk",
    "ListImportMatch",
    "ListImportPart",
    "ListMembership",
    "Overview",
    "RecordResult",
    "SendingStop",
    "StateCount",
    "SweepRecord",
    "SyncRun",
    "SyncState",
]
