"""The OpenAPI document is valid, complete, and true of what the endpoints answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from blueshift_sync.api import endpoints, openapi
from blueshift_sync.api import schema as schema_module
from blueshift_sync.api.parsing import LONGEST_BODY
from blueshift_sync.api.requests import KEY_HEADER
from tests.api.helpers import ADDRESSES, ENDPOINTS, client_of, make_user
from tests.factories import make_call, make_customer, make_membership, make_result

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

SCHEMA_URL = "/some/prefix/schema/"


@pytest.fixture(scope="module")
def document() -> Any:
    return openapi.document("/some/prefix/")


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def problems_of(document: Any, schema: Any, value: Any) -> list[str]:
    whole = {**schema, "components": document["components"]}
    checker = Draft202012Validator.FORMAT_CHECKER
    return [error.message for error in Draft202012Validator(whole, format_checker=checker).iter_errors(value)]


def answered_as_documented(document: Any, path: str, response: Any, method: str = "get") -> None:
    answers = document["paths"][path][method]["responses"]
    content = answers[str(response.status_code)]["content"]
    schema = content[response["Content-Type"].partition(";")[0]]["schema"]
    assert problems_of(document, schema, response.json()) == []


def test_the_document_is_valid_and_made_without_a_warning(document: Any) -> None:
    openapi._document.cache_clear()
    made = openapi.document("/some/prefix/")

    assert document["openapi"].startswith("3.1")
    validate_schema(made)
    assert (list(GENERATOR_STATS._warn_cache), list(GENERATOR_STATS._error_cache)) == ([], [])


def test_every_address_and_method_is_in_it(document: Any) -> None:
    described = {(operation["operationId"], method) for _path, method, operation in operations(document)}
    names = {
        (address.name.replace("-detail", "_retrieve").replace("-", "_"), method)
        for address in ADDRESSES
        if address.name != "nothing-here"
        for method in address.methods - {"head", "options"}
    }
    names = {("lists_create" if (name, method) == ("lists_list", "post") else name, method) for name, method in names}
    assert described == names
    assert {operation for operation, _method in described} == openapi.OPERATIONS.keys()


def test_everything_has_a_description_and_an_example_that_fits(document: Any) -> None:
    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        assert operation["security"], (path, method)
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (path, parameter)
            assert problems_of(document, parameter["schema"], parameter["example"]) == [], (path, parameter)
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for code, part in [("body", body) for body in bodies] + list(operation["responses"].items()):
            for content in part["content"].values():
                assert problems_of(document, content["schema"], content["example"]) == [], (path, code)
            assert code == "body" or part["description"]


def test_every_filter_and_parameter_is_in_it(document: Any) -> None:
    for endpoint in ENDPOINTS:
        parameters = {each["name"] for each in document["paths"][f"/{endpoint.name}/"]["get"]["parameters"]}
        assert parameters == {*endpoint.view.filterset_class.base_filters, "ordering", "page_size", "cursor"}
    for _path, method, operation in operations(document):
        if method == "post" and operation["operationId"] != "lists_try_again":
            assert KEY_HEADER in {parameter["name"] for parameter in operation["parameters"]}


def test_errors_are_problems(document: Any) -> None:
    for path, method, operation in operations(document):
        for code, response in operation["responses"].items():
            if int(code) >= 400:
                assert list(response["content"]) == ["application/problem+json"], path
        assert {"400", "401", "403", "404", "429", "500", "503"} <= operation["responses"].keys()
        if method == "post":
            assert {"409", "413", "415"} <= operation["responses"].keys()
        if operation["operationId"] in {"metrics", "schema"}:
            assert "501" in operation["responses"]


def test_rows_are_as_it_says(document: Any, reader: APIClient) -> None:
    full: dict[str, Any] = {"state": "FAILED", "error_code": "x", "source_type": "shop.customer", "source_id": "1"}
    make_result(call=make_call(status_code=None, duration_ms=None), customer=make_customer(**full), membership=None)
    make_membership(synced_is_member=None)
    for endpoint in ENDPOINTS:
        row = endpoint.make()
        answered_as_documented(document, f"/{endpoint.name}/", reader.get(endpoint.list_url))
        detail = reader.get(endpoint.detail_url(row.pk))
        answered_as_documented(document, f"/{endpoint.name}/{{id}}/", detail)
        answered_as_documented(document, f"/{endpoint.name}/{{id}}/", reader.get(endpoint.detail_url(0)))


def test_actions_are_as_it_says(document: Any, reader: APIClient) -> None:
    customer = make_customer()
    url = "/some/prefix/customers/push/"
    for query in ("", "?dry_run=true", "?dry_run=perhaps"):
        response = reader.post(url + query, {"ids": [customer.pk]}, format="json")
        answered_as_documented(document, "/customers/push/", response, "post")


def test_each_refusal_is_described_where_it_can_happen(document: Any, reader: APIClient) -> None:
    """What is sent in another form, or is too long, and each header that answers tell something by."""
    too_long = " " * (LONGEST_BODY + 1)
    for path, method, operation in operations(document):
        url = "/some/prefix" + path.replace("{id}", "0")
        described = operation["responses"]
        if method == "post":
            for body, media_type, code in (("x", "text/plain", 415), (too_long, "application/json", 413)):
                refused = reader.post(url, body, content_type=media_type)
                assert refused.status_code == code, path
                answered_as_documented(document, path, refused, "post")
        assert described["401"]["headers"].keys() == {"WWW-Authenticate"}
        assert described["429"]["headers"].keys() == {"Retry-After"}
        for code in {"201", "202"} & described.keys():
            assert described[code]["headers"]["Location"]["required"]


def test_the_metrics_have_the_forms_that_it_says(document: Any, reader: APIClient) -> None:
    forms = document["paths"]["/metrics/"]["get"]["responses"]["200"]["content"]
    accepted = {reader.get("/some/prefix/metrics/", headers={"Accept": form})["Content-Type"] for form in forms}

    assert {each.partition(";")[0] for each in accepted} == set(forms) == {"text/plain", "application/openmetrics-text"}


def test_the_status_is_as_it_says(document: Any, reader: APIClient) -> None:
    make_customer(state="FAILED")
    for query in ("", "?max_failed=0", "?max_failed=x"):
        answered_as_documented(document, "/status/", reader.get("/some/prefix/status/" + query))


def test_it_is_served_for_the_prefix_that_is_asked(reader: APIClient, document: Any) -> None:
    response = reader.get(SCHEMA_URL)

    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    assert response.json()["servers"] == [{"url": "/some/prefix"}]
    assert reader.get("/elsewhere/schema/").json()["servers"] == [{"url": "/elsewhere"}]
    assert response.json()["paths"].keys() == document["paths"].keys()


def test_it_needs_a_login_and_no_permission() -> None:
    assert client_of(None).get(SCHEMA_URL).status_code in {401, 403}
    assert client_of(make_user()).get(SCHEMA_URL).status_code == 200


def test_the_sites_own_settings_for_schemas_change_nothing(settings: Any, reader: APIClient, document: Any) -> None:
    settings.SPECTACULAR_SETTINGS = {"OAS_VERSION": "3.0.3", "SCHEMA_PATH_PREFIX_INSERT": "/no", "TITLE": "Another"}
    openapi._document.cache_clear()
    try:
        assert reader.get(SCHEMA_URL).json()["paths"].keys() == document["paths"].keys()
    finally:
        openapi._document.cache_clear()


def test_without_the_package_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch, reader: APIClient) -> None:
    monkeypatch.setattr(schema_module, "SCHEMA_IS_INSTALLED", False)

    response = reader.get(SCHEMA_URL)

    assert response.status_code == 501
    assert "blueshift-sync[schema]" in response.json()["detail"]


def test_without_the_package_the_endpoints_describe_themselves_as_drf_does(monkeypatch: pytest.MonkeyPatch) -> None:
    from rest_framework.schemas import DefaultSchema

    monkeypatch.setattr(endpoints, "SCHEMA_IS_INSTALLED", False)

    assert isinstance(endpoints._how_it_describes_itself(), DefaultSchema)
