"""A real site in a real browser: served over HTTP under a strict content security policy, seen by Chromium.

Only where it was asked for, as a browser takes minutes: TEST_BROWSER=1. TEST_CHROMIUM names another one than
/usr/bin/chromium.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

#: Only where it was asked for.
collect_ignore_glob = [] if os.environ.get("TEST_BROWSER") else ["test_*.py"]

# Playwright keeps an event loop in the tests' thread, for which Django refuses the database to that thread. Nothing
# asynchronous runs in that loop while a test's own lines do.
if os.environ.get("TEST_BROWSER"):
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

CHROMIUM = os.environ.get("TEST_CHROMIUM", "/usr/bin/chromium")
OPERATOR = "operator"
#: How long Chromium may take for what a person would wait for, in milliseconds.
PATIENCE_MS = 20_000


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def site(transactional_db: None, settings: Any) -> Iterator[str]:
    """The address at which the test's own site is served, on the test's database."""
    from pytest_django.live_server_helper import LiveServer

    settings.MIDDLEWARE = ["tests.browser.policy.StrictPolicy", *settings.MIDDLEWARE]
    server = LiveServer("127.0.0.1")
    yield server.url
    server.stop()


@pytest.fixture
def operator(transactional_db: None) -> User:
    return User.objects.create_superuser(OPERATOR, password=OPERATOR)


@pytest.fixture
def finder(operator: User) -> Client:
    """A client without a browser, by which pages are found."""
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def open_browser(chromium: Any, site: str, finder: Client) -> Iterator[Callable[..., Any]]:
    """Opens windows of an operator who is logged in; keywords are those of Playwright's `new_context`.

    After the test none of them may have seen an error: of a script, of the content security policy, or a file
    that isn't there.
    """
    contexts: list[Any] = []
    errors: list[str] = []

    def note(page: Any, message: Any) -> None:
        if message.type == "error" and not message.location.get("url", "").endswith("/favicon.ico"):
            errors.append(f"{page.url}: {message.text} ({message.location.get('url')})")

    def open_window(*, logged_in: bool = True, **options: Any) -> Any:
        context = chromium.new_context(base_url=site, **{"locale": "en-GB", "reduced_motion": "reduce", **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if logged_in:
            session = finder.cookies["sessionid"].value
            context.add_cookies([{"name": "sessionid", "value": session, "url": site}])
        page = context.new_page()
        page.on("console", lambda message: note(page, message))
        page.on("pageerror", lambda error: errors.append(f"{page.url}: {error}"))
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert not errors, "\n".join(errors)
