"""The Python calls of this app: for the site's own code, and for the admin, the API and the commands alike."""

from ..delivery.selections import AnySelection as AnySelection
from ..delivery.selections import ObjectSelection, Selection
from ..sources.behind import first_records, leads_to
from ..sources.receivers import disabled
from .files import cancel_import, import_members, prepare_import, start_import
from .files import go_on_matching as go_on_matching
from .lists import (
    add_to_list,
    change_memberships,
    create_list,
    may_be_renumbered,
    read_list,
    remove_from_list,
    renumber_list,
    send_list,
    take_on_list,
    try_list_again,
)
from .mirror import capture, erase_person, forget_types, save_edited
from .rehearsals import rehearse_list_change, rehearse_new_list, rehearse_push, rehearse_resend, rehearse_retry
from .removals import approve_removals, cancel_removals, retry_removals
from .runs import go_on as go_on
from .sending import (
    cancel,
    cancel_many,
    check_key,
    exclude,
    include,
    preview,
    push,
    push_objects,
    resend,
    retry,
    retry_cause,
    retry_failed,
    retry_many,
)

__all__ = [
    "ObjectSelection",
    "Selection",
    "add_to_list",
    "approve_removals",
    "cancel",
    "cancel_import",
    "cancel_many",
    "cancel_removals",
    "capture",
    "change_memberships",
    "check_key",
    "create_list",
    "disabled",
    "erase_person",
    "exclude",
    "first_records",
    "forget_types",
    "import_members",
    "include",
    "leads_to",
    "may_be_renumbered",
    "prepare_import",
    "preview",
    "push",
    "push_objects",
    "read_list",
    "rehearse_list_change",
    "rehearse_new_list",
    "rehearse_push",
    "rehearse_resend",
    "rehearse_retry",
    "remove_from_list",
    "renumber_list",
    "resend",
    "retry",
    "retry_cause",
    "retry_failed",
    "retry_many",
    "retry_removals",
    "save_edited",
    "send_list",
    "start_import",
    "take_on_list",
    "try_list_again",
]
