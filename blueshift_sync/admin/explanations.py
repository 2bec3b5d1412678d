"""What an error code means, and what to do about it, in plain words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as Text


class Explanation(NamedTuple):
    """What happened, and what somebody can do about it."""

    meaning: Text
    advice: Text


def explain(code: str) -> Explanation:
    """Of a code that isn't one of this package's: Blueshift named it, as the message says."""
    if code in EXPLANATIONS:
        return EXPLANATIONS[code]
    status = re.fullmatch(r"http_([1-9])\d\d", code)
    if status:
        return _OF_STATUSES.get(status[1], _OTHER_STATUS)
    return _of_field(code) if code else _BLUESHIFTS_OWN


def in_words(code: str, message: str) -> str:
    """What is told of an error. Stored sentences are English: in another language ours for the code stands before."""
    if code not in EXPLANATIONS or (get_language() or "en").startswith("en"):
        return message
    return f"{EXPLANATIONS[code].meaning} {message}".rstrip()


def _of_field(name: str) -> Explanation:
    """Blueshift names the field that it doesn't take, or has a name of its own for what is wrong."""
    return Explanation(
        _("Blueshift refused this record because of “%(field)s”, for the reason in the message.") % {"field": name},
        _("Correct “%(field)s” on the site; saving the object sends it again.") % {"field": name},
    )


_TEMPORARY = _("It is tried again by itself. Where it failed for good: send it again once that is over.")
_NETWORK = _(
    "Check the network, the proxy and the firewall of the machine that the worker runs on; then send it again."
)
_NOTHING = _("There is nothing to do.")
_MEND_THE_SOURCE = _("Correct the object on the site or the code of its source. It is sent again when it is saved.")
_MEND_THE_RECORD = _("Correct on the site what the message names; saving the object sends it again.")
_RESEND = _("Send it again: that does no harm should Blueshift have taken it the first time.")

EXPLANATIONS: dict[str, Explanation] = {
    # What the site itself says
    "source_error": Explanation(
        _("The source of this site raised an error while it read the object."), _MEND_THE_SOURCE
    ),
    "value_not_sendable": Explanation(
        _("A value has no form that can be sent: of another type, too long, or nested too deeply."), _MEND_THE_SOURCE
    ),
    "type_changed": Explanation(
        _("An attribute has a value of another JSON type than it was first sent as, which Blueshift keeps to."),
        _(
            "Let the source return the type that was sent before. Where Blueshift has changed its own: delete the "
            "attribute's type in the list of attribute types."
        ),
    ),
    "identifier_missing": Explanation(
        _("There is neither a customer ID nor an e-mail address that Blueshift could know the customer by."),
        _("Give the customer one on the site. On a list it has to be the one that the list goes by."),
    ),
    "duplicate_customer_id": Explanation(
        _("Two objects of the site have the same customer ID. The first one keeps it."),
        _("Give one of them another ID, or delete one. The other is then read again by itself."),
    ),
    "excluded": Explanation(_("The source leaves this customer out."), _NOTHING),
    "excluded_by_operator": Explanation(
        _("Somebody excluded this record in the admin."), _("Include it there should it be sent after all.")
    ),
    "erased": Explanation(_("Somebody had this customer's personal data erased; it isn't sent any more."), _NOTHING),
    "source_deleted": Explanation(_("The object on the site was deleted; it isn't sent any more."), _NOTHING),
    "cancelled": Explanation(
        _("Somebody cancelled the run before this was sent."),
        _("Send it again if it should be in Blueshift after all."),
    ),
    # What Blueshift says of a record or a call
    "rejected": Explanation(_("Blueshift refused this record, for the reason in the message."), _MEND_THE_RECORD),
    "bad_request": Explanation(_("Blueshift found something in this record that it doesn't take."), _MEND_THE_RECORD),
    "unprocessable": Explanation(_("Blueshift could read this, and yet can't do anything with it."), _MEND_THE_RECORD),
    "too_large": Explanation(
        _("This record alone is larger than what Blueshift takes in one call."),
        _("Let the source send less of it: shorter texts, fewer attributes."),
    ),
    "batch_refused": Explanation(
        _("Blueshift refused a whole call because of one of its records. They go again in smaller calls."), _NOTHING
    ),
    "not_found": Explanation(
        _("Blueshift doesn't know what the call was about: the list, the customer or the address."),
        _("Check that the list still exists in Blueshift, and that BLUESHIFT_SYNC[“REGION”] is the account's."),
    ),
    "conflict": Explanation(_("Blueshift was busy with the same customer or list at that moment."), _TEMPORARY),
    "rate_limited": Explanation(
        _("Blueshift had more calls than it takes at a time, from this site or from others with the same key."),
        _("It is tried again by itself. Should it happen often: lower BLUESHIFT_SYNC[“CALLS_PER_SECOND”]."),
    ),
    "unauthorized": Explanation(
        _("Blueshift doesn't know the key. Nothing is sent until it does."),
        _("Set the User API key of the account, and its region; then let the key be checked on the list of calls."),
    ),
    "forbidden": Explanation(
        _("Blueshift knows the key, but doesn't let it do this. Nothing is sent until it does."),
        _("Have the key's rights extended in Blueshift; then let the key be checked on the list of calls."),
    ),
    "accepted_for_processing": Explanation(_("Blueshift has taken it on, and will see to it later."), _NOTHING),
    "unreadable_answer": Explanation(
        _("Blueshift answered something that proves nothing, so nobody knows whether it took the records."), _RESEND
    ),
    "unmatched_errors": Explanation(
        _("Blueshift reported errors without saying of which records. They go again one by one, to find out."),
        _("Look at the answer in the call. Sent alone, the record that is at fault says why."),
    ),
    "answer_too_long": Explanation(
        _("The answer was longer than what is read of one, so nobody knows whether Blueshift took the records."),
        _RESEND,
    ),
    # The way to Blueshift
    "not_sent": Explanation(_("No connection was made: nothing has reached Blueshift."), _NETWORK),
    "name_not_resolved": Explanation(
        _("The name of Blueshift's server could not be looked up: nothing was sent."),
        _("Check the name servers of the worker's machine, and BLUESHIFT_SYNC[“BASE_URL”]; then send it again."),
    ),
    "connect_timeout": Explanation(_("Blueshift's server took no connection in time: nothing was sent."), _NETWORK),
    "connection_refused": Explanation(_("Blueshift's server refused the connection: nothing was sent."), _NETWORK),
    "connection_failed": Explanation(_("No connection could be made: nothing was sent."), _NETWORK),
    "proxy_failed": Explanation(
        _("The proxy made no connection: nothing was sent."),
        _("Check the proxy, and the variables HTTPS_PROXY and NO_PROXY of the worker; then send it again."),
    ),
    "tls_failed": Explanation(
        _("The secure connection failed: nothing was sent."),
        _("Check the address, the clock and the certificates of the worker's machine; then send it again."),
    ),
    "no_answer": Explanation(_("No answer came, so nobody knows whether Blueshift took the records."), _RESEND),
    "timeout": Explanation(
        _("No whole answer came in time, so nobody knows whether Blueshift took the records."),
        _("Send it again: that does no harm. Should it happen often: raise BLUESHIFT_SYNC[“TIMEOUT”]."),
    ),
    "connection_lost": Explanation(
        _("The connection broke before the answer came, so nobody knows whether Blueshift took the records."), _RESEND
    ),
    # The workers
    "worker_died": Explanation(
        _("The worker ended before the answer came, so nobody knows whether Blueshift took the records."),
        _("They go again by themselves. Should it happen often: look into the worker's log, and at its memory."),
    ),
    "redis_unavailable": Explanation(
        _("Redis couldn't be reached, and without it nobody knows whose turn it is: nothing was sent."),
        _("See that Redis runs. It is tried again by itself."),
    ),
    "paused": Explanation(_("Sending was paused when the call's turn came: nothing was sent."), _TEMPORARY),
    "lease_over": Explanation(
        _("The worker was held up for too long, and didn't send any more what may be old: nothing was sent."),
        _TEMPORARY,
    ),
    # What waits for something
    "list_unread": Explanation(_("The list is read from Blueshift first, to know its identifier."), _NOTHING),
    "list_creating": Explanation(_("The list is being created in Blueshift."), _NOTHING),
    "list_not_created": Explanation(
        _("Blueshift refused to create the list."),
        _("The list's page says why. Choose another name or enter the number of a list that is there; then try again."),
    ),
    "identifier_differs": Explanation(
        _("In Blueshift the list knows its customers by another identifier than here."),
        _("The list's page says which. Let the list be tried again: Blueshift's identifier is taken over."),
    ),
    "list_deleted": Explanation(
        _("The list was deleted in Blueshift."),
        _("Make a new list in Blueshift, and let the source name that."),
    ),
    "list_unsupported": Explanation(
        _("Blueshift doesn't support changing this old list."),
        _("Make a new list in Blueshift, and let the source name that."),
    ),
    "list_source_unknown": Explanation(
        _("Blueshift doesn't say by which identifier this list knows its customers."),
        _("Look at the list in Blueshift: it has to be one of customer IDs or of e-mail addresses."),
    ),
    "customer_waiting": Explanation(_("The customer goes first; the membership follows when it is in step."), _NOTHING),
    "customer_failed": Explanation(
        _("The customer failed; the membership follows when it is in step."), _("See what is wrong with the customer.")
    ),
    "customer_excluded": Explanation(
        _("The customer is excluded; the membership follows should it be sent one day."), _NOTHING
    ),
    "approval_needed": Explanation(
        _("There are suspiciously many removals at once: they wait for somebody's yes."),
        _("Approve or cancel them on the list of customer removals."),
    ),
    "customer_sending": Explanation(
        _("A call that carries the customer is on its way; the removal follows it."), _NOTHING
    ),
    "lists_first": Explanation(_("The customer is taken off its lists first; the removal follows."), _NOTHING),
    "identifier_in_use": Explanation(
        _("The identifier belongs to another customer by now, who is to stay: the removal isn't done."), _NOTHING
    ),
}

_OF_STATUSES = {
    "3": Explanation(
        _("Blueshift's address answered with a redirection, which isn't followed: the key would go with it."),
        _("Check BLUESHIFT_SYNC[“BASE_URL”] and [“REGION”], and whether a proxy answers instead of Blueshift."),
    ),
    "4": EXPLANATIONS["bad_request"],
    "5": Explanation(_("Blueshift had trouble of its own."), _TEMPORARY),
}
_OTHER_STATUS = Explanation(_("Blueshift's address answered something that isn't expected."), _NETWORK)
_BLUESHIFTS_OWN = EXPLANATIONS["rejected"]
