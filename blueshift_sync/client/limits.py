"""What Blueshift documents about sizes, rates and addresses, each with the page that says so.

Nothing here is a setting: a site may stay below these numbers, never above them.
"""

from dataclasses import dataclass
from typing import Final

#: Customers in one call of `customers/bulk` ("Bulk create/update customer" page, "Batch limit").
CUSTOMERS_PER_CALL: Final = 50

#: Identifiers in one bulk call of a list, by mode ("Bulk add users to list" page, "Batch limit").
LIST_MEMBERS_PER_CALL: Final[dict[str, int]] = {"sync": 25, "async": 500}

#: What a list can be keyed by ("Bulk add users to list" page, "Identifier types").
IDENTIFIER_KEYS: Final = ("email", "customer_id")

#: Calls per second that Blueshift recommends for `customers/bulk` ("Rate limit"). The list pages name no rate;
#: the same is used there.
CALLS_PER_SECOND: Final = 5

#: Characters of an e-mail address ("Customer object fields"). Other pages say 128 and 256: the strictest counts.
EMAIL_LENGTH: Final = 64

#: Characters of a customer ID, as Blueshift documents it; the endpoint's own page names no limit.
CUSTOMER_ID_LENGTH: Final = 128

#: Characters of a first name, and of a last name; documented likewise.
NAME_LENGTH: Final = 64

#: What the names of Blueshift's own attributes begin with: a site's may not.
RESERVED_PREFIXES: Final = ("bsft_", "_bsft_")


@dataclass(frozen=True, slots=True)
class Region:
    """The two addresses of a Blueshift region: of the REST API, and of the pages that people see."""

    api: str
    app: str


#: The documented regions ("API - Select Region"). There are no others.
REGIONS: Final[dict[str, Region]] = {
    "us": Region(api="https://api.getblueshift.com", app="https://app.getblueshift.com"),
    "eu": Region(api="https://api.eu.getblueshift.com", app="https://app.eu.getblueshift.com"),
}
