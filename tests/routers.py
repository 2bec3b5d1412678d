"""Which tables the suite's other database has."""

from __future__ import annotations

from typing import Any


class OtherDatabase:
    """The database "elsewhere" has the tables of the test sites, and none of ours."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return app_label in {"site", "club"} if db == "elsewhere" else None


class VisitorsElsewhere(OtherDatabase):
    """The club keeps its visitors apart, and the site its devices."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "elsewhere" if model._meta.label in {"club.Visitor", "club.Stamp", "site.Device"} else None

    db_for_read = db_for_write
