"""Kinds of indexes that behave alike on every database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import Q


class PartialIndex(models.Index):
    """An index of those rows only that fulfil `where`, so that the others cost nothing.

    Of all rows on MySQL and MariaDB, which know no such thing. Django makes that of an index with a `condition` too,
    but warns of it at each migration.
    """

    def __init__(self, *, where: Q, fields: Sequence[str], name: str) -> None:
        super().__init__(fields=fields, name=name)
        self.where = where

    def create_sql(self, model: type[models.Model], schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        can = schema_editor.connection.features.supports_partial_indexes
        index = models.Index(fields=self.fields, name=self.name, condition=self.where if can else None)
        return index.create_sql(model, schema_editor, using, **kwargs)

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        path, expressions, kwargs = super().deconstruct()
        return path, expressions, {**kwargs, "where": self.where}
