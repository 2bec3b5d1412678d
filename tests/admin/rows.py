"""One row of each model, for tests that go through all of their pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model

from blueshift_sync.models import (
    ApiCall,
    AttributeType,
    Customer,
    CustomerList,
    CustomerRemoval,
    ListImport,
    ListMembership,
    RecordResult,
    SyncRun,
    SyncState,
)
from blueshift_sync.services import disabled
from project.shop.models import Customer as Shopper
from project.shop.models import Newsletter, NewsletterSignup
from tests.factories import (
    make_call,
    make_customer,
    make_import,
    make_list,
    make_membership,
    make_removal,
    make_result,
    make_run,
)


def make_one_of_each(**fields: dict[str, Any]) -> dict[type[Model], Model]:
    """The rows hang together: the call is of the run, the result of the call and of the membership.

    `fields` are by model name, in lower case.
    """
    run = make_run(total=1, rejected=1, **fields.get("syncrun", {}))
    customer = make_customer(run=run, **fields.get("customer", {}))
    customer_list = make_list(**fields.get("customerlist", {}))
    membership = make_membership(
        customer=customer, customer_list=customer_list, run=run, **fields.get("listmembership", {})
    )
    call = make_call(run=run, customer_list=customer_list, **fields.get("apicall", {}))
    result = make_result(call=call, customer=customer, membership=membership, **fields.get("recordresult", {}))
    attribute_type = AttributeType.objects.create(
        **{"name": f"age-{AttributeType.objects.count()}", "json_type": "number", **fields.get("attributetype", {})}
    )
    removal = make_removal(**{"customer": customer, "run": run, **fields.get("customerremoval", {})})
    make_customer(state=SyncState.State.FAILED, error_code="x", error_message="No.", run=run)
    problems = [(2, "nobody@example.com", "unknown")]
    list_import = make_import(
        make_customer(), problems=problems, **{"customer_list": customer_list, **fields.get("listimport", {})}
    )
    return {
        **make_one_of_each_of_the_shop(),
        CustomerRemoval: removal,
        ListImport: list_import,
        AttributeType: attribute_type,
        SyncRun: run,
        Customer: customer,
        CustomerList: customer_list,
        ListMembership: membership,
        ApiCall: call,
        RecordResult: result,
    }


def make_many_more(rows: Mapping[type[Model], Model], sets: int) -> None:
    """More of everything that the pages of `rows` show, in `sets` sets that have each state and outcome once."""
    run, customer, customer_list = rows[SyncRun], rows[Customer], rows[CustomerList]
    for _ in range(sets):
        for state in SyncState.State:
            problem = {"error_code": "x", "error_message": "No."} if state == SyncState.State.FAILED else {}
            someone = make_customer(state=state, run=run, **problem)
            make_membership(customer=someone, customer_list=customer_list, state=state, run=run, **problem)
            make_membership(customer=customer, state=state, **problem)
            make_removal(customer=customer, state=state, run=run, **problem)
        for state in ApiCall.State:
            make_call(run=run, customer_list=customer_list, state=state)
        for outcome in RecordResult.Outcome:
            make_result(call=rows[ApiCall], customer=make_customer(), outcome=outcome, code=outcome, message="No.")
            make_result(
                call=make_call(run=run), customer=customer, membership=rows[ListMembership], outcome=outcome, code="x"
            )
        for state in SyncRun.State:
            make_run(
                state=state, retry_of=run, requested_by=User.objects.create(username=f"user {User.objects.count()}")
            )
        for import_state in ListImport.State:
            problems = [(number, f"nobody{number}@example.com", "unknown") for number in range(2, 60)]
            make_import(make_customer(), problems=problems, customer_list=customer_list, state=import_state, run=run)
        AttributeType.objects.create(name=f"more-{AttributeType.objects.count()}", json_type="text")


def make_one_of_each_of_the_shop() -> dict[type[Model], Model]:
    """Rows of the site's own models in whose admin the app has a part."""
    with disabled():
        shopper = Shopper.objects.create(customer_number=f"C-{Shopper.objects.count()}")
        newsletter = Newsletter.objects.create(name="News", blueshift_list_id=1000 + Newsletter.objects.count())
        signup = NewsletterSignup.objects.create(customer=shopper, newsletter=newsletter)
    return {Shopper: shopper, NewsletterSignup: signup}
