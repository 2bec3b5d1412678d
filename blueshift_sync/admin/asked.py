"""What a run was asked for, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db.models import Field
from django.utils.formats import number_format
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import CustomerList, SyncRun
from .bulk_actions import RecordActions
from .display import indented_json, link, preformatted
from .removals import CustomerRemovalAdmin

#: What is in a run's scope besides what was asked for: how far it is.
_BOOKS = frozenset({"do", "rows", "of", "gathering", "looked_at", "changed", "only_changed", "list", "is_member"})


def what_was_asked_for(run: SyncRun) -> SafeString | str:
    """Sentences on the run's scope; empty where that says nothing."""
    if "do" not in run.scope:
        return preformatted(indented_json(run.scope)) if run.scope else ""
    rest = {name: value for name, value in run.scope.items() if name not in _BOOKS}
    sentences = [*_sentences(run.scope), preformatted(indented_json(rest)) if rest else ""]
    return format_html_join("", "<div>{}</div>", ((sentence,) for sentence in sentences if sentence))


def _sentences(scope: dict[str, Any]) -> Iterator[str]:
    rows = ", ".join(filter(None, map(_rows, scope.get("rows", ()))))
    action = _action(scope)
    yield _("%(action)s: %(rows)s") % {"action": action, "rows": rows} if rows else action
    if "list" in scope and (chosen := CustomerList.objects.filter(pk=scope["list"]).first()):
        yield link(chosen)
    looked_at = ngettext("%(count)s row was looked at.", "%(count)s rows were looked at.", scope["looked_at"])
    yield looked_at % {"count": number_format(scope["looked_at"], force_grouping=True)}
    if scope["changed"]:
        changed = ngettext("%(count)s record was changed.", "%(count)s records were changed.", scope["changed"])
        yield changed % {"count": number_format(scope["changed"], force_grouping=True)}


def _action(scope: dict[str, Any]) -> str:
    """What the action is called in the lists."""
    is_member = scope.get("is_member")
    texts = {"import_members": _("From a file"), "send_anew": _("Another number")}
    if scope["do"] in texts:
        return texts[scope["do"]]
    actions: dict[str, Any] = {
        "send": RecordActions.push_changed if scope.get("only_changed") else RecordActions.push,
        "retry": RecordActions.retry_failed,
        "exclude": RecordActions.leave_out,
        "include": RecordActions.take_in,
        "set_members": RecordActions.add_to_list if is_member else RecordActions.remove_from_list,
        "approve": CustomerRemovalAdmin.approve,
        "cancel_removals": CustomerRemovalAdmin.cancel,
        "change_memberships": RecordActions.put_on if is_member else RecordActions.take_off,
    }
    return str(getattr(actions.get(scope["do"]), "short_description", scope["do"]))


def _rows(rows: dict[str, Any]) -> str:
    """As "customers (state: Failed)". Objects of the site may be of a model that there isn't any more."""
    try:
        model: Any = apps.get_model(rows["model"])
    except (LookupError, ValueError):
        return str(rows["model"])
    conditions = [
        f"{model._meta.get_field(name).verbose_name}: {_shown(model._meta.get_field(name), value)}"
        for name, value in rows["where"].items()
    ]
    name = str(model._meta.verbose_name_plural)
    return f"{name} ({', '.join(conditions)})" if conditions else name


def _shown(field: Field[Any, Any], value: Any) -> str:
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    return capfirst(str(dict(field.flatchoices).get(value, value)))
