"""The same request made twice: the second one gets the run of the first."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import router

from ..exceptions import KeyReused
from ..models import SyncRun


@dataclass(frozen=True)
class RequestKey:
    """What whoever asks calls a request by, and a digest of all that it asks for.

    The key is unique: it has to name who asks as well.
    """

    key: str
    digest: str

    def run(self) -> SyncRun | None:
        """The run of the same request, made before. Raises KeyReused where it was another request."""
        run = SyncRun.objects.using(router.db_for_write(SyncRun)).filter(idempotency_key=self.key).first()
        if run is not None and run.request_digest != self.digest:
            raise KeyReused("This idempotency key was used for another request. Take a new one for each request.")
        return run
