"""Field types that behave alike on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:  # django-stubs makes it generic; Django itself doesn't
    CharField = models.CharField[Any, Any]
else:
    CharField = models.CharField


LONGEST_EMAIL = 320


class ExactCharField(CharField):
    """Text that is compared byte by byte everywhere: upper case, accents and trailing spaces matter.

    MySQL and MariaDB compare without regard to them unless told otherwise, so two customers "a1" and "A1" would be one.
    PostgreSQL sorts by the rules of a language, and needs an index in the order of the bytes to find beginnings by.
    """

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = super().db_parameters(connection)
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        elif connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
        return parameters


class EmailKeyField(ExactCharField):
    """The e-mail address as a key, without regard to case; follows `email` whenever a row is saved."""

    @staticmethod
    def key_of(email: str) -> str:
        return email.strip().lower()[:LONGEST_EMAIL]  # a few letters become two in lower case

    def pre_save(self, model_instance: Any, add: bool) -> Any:  # noqa: FBT001 - Django's signature
        key = self.key_of(model_instance.email)
        setattr(model_instance, self.attname, key)
        return key
