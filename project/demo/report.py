"""What the demo tells people: totals, rejections and their reasons, and where to look."""

from collections.abc import Iterator

from django.db.models import Count, Min, QuerySet
from django.urls import reverse

from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, SyncState

State = SyncState.State


def totals() -> Iterator[str]:
    """What became of the records, a line each."""
    for name, records in (
        ("customers", Customer.objects.all()),
        ("list memberships", ListMembership.objects.all()),
    ):
        yield f"  {name:<17} {_counts(records)}"
    calls = ApiCall.objects.count()
    failed = ApiCall.objects.exclude(state__in=[ApiCall.State.SUCCEEDED, ApiCall.State.PARTIAL]).count()
    yield f"  {'calls':<17} {calls:,}, of which {failed:,} failed and were repeated"


def rejections() -> Iterator[str]:
    """Why customers were rejected: a line for each reason, with an example."""
    reasons = (
        Customer.objects.filter(state=State.FAILED)
        .values("error_code")
        .annotate(customers=Count("pk"), example=Min("pk"))
        .order_by("-customers", "error_code")
    )
    for reason in reasons:
        example = Customer.objects.get(pk=reason["example"])
        yield f"  {reason['customers']:>4} × {reason['error_code']}, for example {example}: {example.error_message}"


def stopped_lists() -> Iterator[str]:
    """The lists that Blueshift refuses as a whole: a line each, with how many wait for it and why."""
    for row in CustomerList.objects.exclude(stopped_at=None).order_by("list_id"):
        waiting = row.memberships.filter(state=State.PENDING).count()
        yield f"  {row}: {waiting:,} memberships wait. {row.error_message}"


def addresses(site: str) -> Iterator[str]:
    """Where to look, with the whole address, so that a terminal makes links of them."""
    customers = reverse("admin:blueshift_sync_customer_changelist")
    pages = [
        ("The shop", reverse("home")),
        ("Blueshift, an overview", reverse("admin:app_list", args=["blueshift_sync"])),
        ("every call", reverse("admin:blueshift_sync_apicall_changelist")),
        ("rejected customers", f"{customers}?state__exact={State.FAILED}"),
        ("a shop's customers", reverse("admin:shop_customer_changelist")),
        ("the queue", reverse("django_rq:home")),
    ]
    for name, path in pages:
        yield f"  {name:<23} {site}{path}"


def _counts(records: QuerySet[Customer] | QuerySet[ListMembership]) -> str:
    words = {
        State.SYNCED: "accepted",
        State.FAILED: "rejected",
        State.EXCLUDED: "excluded",
        State.PENDING: "waiting for their customer or their list",
        State.SENDING: "being sent",
    }
    counted = dict(records.order_by().values_list("state").annotate(Count("pk")))
    return ", ".join(f"{counted[state]:,} {word}" for state, word in words.items() if state in counted)
