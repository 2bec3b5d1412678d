"""The demo's site for screenshots.py: a shop that has been sent, and pages that everybody sees as the admin does."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.test import Client
from django.urls import reverse

from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import ApiCall
from project.shop.filling import fill_shop

#: As many as fit into one call; one of them is such that Blueshift rejects it.
CUSTOMERS = 40


def send_shop() -> None:
    """Fills the shop, then sends all of it: the first call carries all customers."""
    settings.BLUESHIFT_SYNC["DEBOUNCE_SECONDS"] = 0
    call_command("migrate", verbosity=0)
    fill_shop(CUSTOMERS)
    drain()


def path_of_partial_call() -> str:
    """The page of the call of which Blueshift took some customers and rejected others."""
    call = ApiCall.objects.get(state=ApiCall.State.PARTIAL, endpoint=ApiCall.Endpoint.CUSTOMERS_BULK)
    return reverse("admin:blueshift_sync_apicall_change", args=[call.pk])


@contextmanager
def served() -> Iterator[str]:
    """Serves the site on a free port and yields its address.

    Chromium's command line takes no cookies, so each request gets the admin's.
    """
    site = StaticFilesHandler(get_wsgi_application())
    cookie = cookie_of_admin()
    logging.getLogger("django.request").setLevel(logging.ERROR)  # there is no favicon.ico
    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietHandler)
    server.set_app(lambda environ, start: site({**environ, "HTTP_COOKIE": cookie}, start))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def cookie_of_admin() -> str:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("admin"))
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Requests are not worth a line."""
