"""What it takes to send, by the full names of permissions, as `User.has_perm` takes them: in the admin and the API."""

from __future__ import annotations

from .delivery.runs import SentModel
from .models import Customer, CustomerRemoval, ListMembership

RESEND = "blueshift_sync.resend_apicall"
READ_BODIES = "blueshift_sync.view_apicall_body"
DECIDE_ON_REMOVALS = "blueshift_sync.approve_customerremoval"
ERASE = "blueshift_sync.erase_customer"
PUSH_PERMISSIONS: dict[SentModel, str] = {
    Customer: "blueshift_sync.push_customer",
    ListMembership: "blueshift_sync.push_listmembership",
    CustomerRemoval: DECIDE_ON_REMOVALS,
}
#: To say who is on a list, where rows may come to be for it, and to send it.
CHANGE_LISTS = (
    PUSH_PERMISSIONS[ListMembership],
    "blueshift_sync.add_listmembership",
    "blueshift_sync.change_listmembership",
)
