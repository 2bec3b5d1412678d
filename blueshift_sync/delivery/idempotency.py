"""The same request made twice: the second one gets what the first one made, a run or a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from django.db import router

from ..exceptions import KeyReused
from ..models import CustomerList, SyncRun

REUSED = "This idempotency key was used for another request. Take a new one for each request."
Made = TypeVar("Made", SyncRun, CustomerList)


@dataclass(frozen=True)
class RequestKey:
    """What whoever asks calls a request by, and a digest of all that it asks for.

    The key is unique: it has to name who asks as well.
    """

    key: str
    digest: str

    def run(self) -> SyncRun | None:
        """The run of the same request, made before. Raises KeyReused where it was another request."""
        self._refuse_if_used_for(CustomerList)
        return self._made(SyncRun)

    def customer_list(self) -> CustomerList | None:
        """The list of the same request, made before. Raises KeyReused where it was another request."""
        self._refuse_if_used_for(SyncRun)
        return self._made(CustomerList)

    @property
    def columns(self) -> dict[str, str]:
        """For what is made."""
        return {"idempotency_key": self.key, "request_digest": self.digest}

    def _made(self, model: type[Made]) -> Made | None:
        made = model._default_manager.using(router.db_for_write(model)).filter(idempotency_key=self.key).first()
        if made is not None and made.request_digest != self.digest:
            raise KeyReused(REUSED)
        return made

    def _refuse_if_used_for(self, model: type[SyncRun | CustomerList]) -> None:
        if model._default_manager.using(router.db_for_write(model)).filter(idempotency_key=self.key).exists():
            raise KeyReused(REUSED)
