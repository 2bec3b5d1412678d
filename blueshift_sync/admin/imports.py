"""Files of identifiers: uploading one for a list, and the page that shows what it would do before it does it."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import services
from ..delivery import identifier_files, imports
from ..delivery.identifier_files import CUSTOMER_ID, EMAIL
from ..exceptions import UnusableFile
from ..models import Customer, CustomerList, ListImport, SyncRun
from .actions import PageActionsAdmin, bare, tell_sending, telling_errors
from .bulk import calls_of_list, duration_text
from .bulk_actions import SOURCES_DECIDE
from .changelists import LargeListAdmin, LinkedFilter, ModelAdmin
from .display import Table, admin_url, badge, facts, link, list_link, list_url, moment, numbered_link
from .export import Echo, cell
from .history import note_in_history
from .mixins import ObjectPageAdmin, ReadOnlyAdmin
from .permissions import may_change_lists, may_view
from .runs import REFRESHED_EVERY, Progress

State = ListImport.State

UPLOAD = "blueshift_sync_customerlist_import"
PROBLEMS = "blueshift_sync_listimport_problems"
#: Bytes of a file: several million lines.
LARGEST_FILE = 100 * 1024 * 1024
#: Of the lines that mean nobody, the page shows the first.
PROBLEMS_SHOWN = 50
#: Of a list's files, its page shows the latest.
IMPORTS_SHOWN = 5

ADD, REMOVE = "add", "remove"

#: What is said of a line.
PROBLEM_TEXTS = {
    imports.UNKNOWN: gettext_lazy("No customer of this site has this identifier."),
    imports.REPEATED: gettext_lazy("The customer was given on an earlier line."),
    identifier_files.EMPTY: gettext_lazy("The line has no identifier."),
    identifier_files.LONG: gettext_lazy("That is too long for an identifier."),
    identifier_files.MALFORMED: gettext_lazy("That is no e-mail address."),
    identifier_files.INVISIBLE: gettext_lazy(
        "There are characters in it that can’t be seen; is a quotation mark missing?"
    ),
    identifier_files.ENCODING: gettext_lazy(
        "The line isn’t written in UTF-8. Save the file as “CSV UTF-8” and upload it again to have it read."
    ),
    identifier_files.QUOTES: gettext_lazy("The quotation marks in the line don’t fit together."),
}


# Uploading


class FileForm(forms.Form):
    """A file, and what is to become of the customers in it."""

    file = forms.FileField(
        label=gettext_lazy("File"),
        help_text=format_lazy(
            gettext_lazy("CSV in UTF-8, up to {megabytes} MB."), megabytes=LARGEST_FILE // (1024 * 1024)
        ),
    )
    direction = forms.ChoiceField(
        label=gettext_lazy("What to do"),
        choices=[(ADD, gettext_lazy("Add these customers to the list")), (REMOVE, gettext_lazy("Remove them from it"))],
        initial=ADD,
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if (file.size or 0) > LARGEST_FILE:
            text = _("The file has %(size)s MB, and may have %(largest)s MB. Split it, and upload the parts.")
            megabytes = math.ceil((file.size or 0) / 1024**2)
            raise forms.ValidationError(text % {"size": megabytes, "largest": LARGEST_FILE // 1024**2})
        return file


class FilesAdmin(ModelAdmin):
    """For lists: "Add from a file…"."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.upload)
        return [path("<path:object_id>/import/", view, name=UPLOAD), *super().get_urls()]

    def upload(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks for a file; posted, it keeps the file and leads to what it would do."""
        customer_list = self.get_object(request, object_id)
        # What becomes of the lines tells which customers there are.
        may_upload = may_change_lists(request) and may_view(request, Customer)
        if not (may_upload and self.has_view_permission(request, customer_list)):
            raise PermissionDenied
        if customer_list is None:
            raise Http404
        form = FileForm(request.POST or None, request.FILES or None, initial={"direction": _direction(request)})
        if customer_list.status != CustomerList.Status.ACTIVE:
            text = _("Nothing can be sent to this list: %(status)s.")
            messages.warning(request, text % {"status": customer_list.get_status_display()})
        if form.is_valid():
            file = form.cleaned_data["file"]
            try:
                kept = services.prepare_import(
                    customer_list,
                    file,
                    requested_by=request.user,
                    is_member=form.cleaned_data["direction"] == ADD,
                    filename=file.name,
                )
            except UnusableFile as error:
                form.add_error("file", str(error))
            else:
                return HttpResponseRedirect(admin_url(kept))
        return TemplateResponse(
            request, "blueshift_sync/admin/import.html", self._context(request, customer_list, form)
        )

    def _context(self, request: HttpRequest, customer_list: CustomerList, form: FileForm) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Customers from a file"),
            "media": self.media,
            "customer_list": customer_list,
            "identifier": customer_list.get_identifier_key_display(),
            "form": form,
            "customers_url": list_url(Customer),
        }


def _direction(request: HttpRequest) -> str:
    return REMOVE if request.GET.get("direction") == REMOVE else ADD


def upload_url(customer_list: CustomerList, direction: str) -> str:
    """The address of the page that asks for a file."""
    return f"{reverse(f'admin:{UPLOAD}', args=[customer_list.pk])}?direction={direction}"


# What it would do, and what became of it


@admin.register(ListImport)
class ListImportAdmin(PageActionsAdmin, ReadOnlyAdmin, ObjectPageAdmin, LargeListAdmin):
    change_form_template = "blueshift_sync/admin/live.html"
    actions = ("start", "throw_away")
    list_display = (
        "number",
        "state_badge",
        "linked_list",
        "direction",
        "filename",
        "lines",
        "customers",
        "problem_count",
        "linked_run",
        "created",
        "requested_by",
    )
    list_display_links = ("number",)
    list_select_related = ("customer_list", "run", "requested_by")
    list_filter = ("state", ("customer_list", LinkedFilter))
    sortable_by = ("number", "created")
    search_fields = ("id",)
    search_help_text = gettext_lazy("An import's number.")

    class Media:
        js = [Script("blueshift_sync/refresh.js", defer=True)]

    @admin.display(description=gettext_lazy("import"), ordering="id")
    def number(self, row: ListImport) -> str:
        return f"#{row.pk}"

    @admin.display(description=gettext_lazy("state"))
    def state_badge(self, row: ListImport) -> SafeString:
        return badge(row.state, row.get_state_display())

    @admin.display(description=gettext_lazy("customer list"))
    def linked_list(self, row: ListImport) -> SafeString | str:
        return link(row.customer_list)

    @admin.display(description=gettext_lazy("what to do"))
    def direction(self, row: ListImport) -> str:
        return _("Add") if row.is_member else _("Remove")

    @admin.display(description=gettext_lazy("problems"))
    def problem_count(self, row: ListImport) -> str:
        return _number(row.problems)

    @admin.display(description=gettext_lazy("run"))
    def linked_run(self, row: ListImport) -> SafeString | str:
        return numbered_link(row.run)

    @admin.display(description=gettext_lazy("created at"), ordering="created_at")
    def created(self, row: ListImport) -> SafeString | str:
        return moment(row.created_at)

    def has_view_permission(self, request: HttpRequest, obj: ListImport | None = None) -> bool:
        return may_change_lists(request) or super().has_view_permission(request, obj)

    def has_lists_permission(self, request: HttpRequest) -> bool:
        return may_change_lists(request)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.problems)
        return [path("<path:object_id>/problems/", view, name=PROBLEMS), *super().get_urls()]

    # What can be done with it

    @admin.action(permissions=["lists"], description=gettext_lazy("Carry it out"))
    def start(self, request: HttpRequest, queryset: QuerySet[ListImport]) -> None:
        for row in self._asked_for(request, queryset):
            with telling_errors(request):
                run = services.start_import(row, requested_by=request.user, trigger=SyncRun.Trigger.ADMIN)
                for about in (row.customer_list, run):
                    note_in_history(request, about, _told(row))
                tell_sending(request, [run])

    @admin.action(permissions=["lists"], description=gettext_lazy("Cancel: throw the file away"))
    def throw_away(self, request: HttpRequest, queryset: QuerySet[ListImport]) -> None:
        for row in self._asked_for(request, queryset):
            with telling_errors(request):
                services.cancel_import(row)
                messages.success(request, _("The file was thrown away. Nothing was changed."))

    def _asked_for(self, request: HttpRequest, queryset: QuerySet[ListImport]) -> list[ListImport]:
        if not may_change_lists(request):
            raise PermissionDenied
        return list(bare(queryset).select_related("customer_list").order_by("pk"))

    def page_action_names(self, row: ListImport) -> tuple[str, ...]:
        start = ("start",) if row.state == State.READY and row.to_change else ()
        throw_away = ("throw_away",) if row.state in ListImport.OPEN_STATES else ()
        return start + throw_away

    def page_actions(self, request: HttpRequest, row: ListImport) -> list[dict[str, Any]]:
        return [
            {**each, "label": _start_label(row)} if each["name"] == "start" else each
            for each in super().page_actions(request, row)
        ]

    # Its page

    def page_context(self, request: HttpRequest, obj: ListImport) -> dict[str, Any]:
        run = obj.run
        goes_on = obj.state in {State.UPLOADING, State.MATCHING}
        is_sending = run is not None and run.state in SyncRun.OPEN_STATES
        return {
            "page_actions": self.page_actions(request, obj),
            "notice": " ".join(_notices(obj)),
            "refreshed_every": REFRESHED_EVERY if goes_on or is_sending else 0,
            "progress": _progress(obj),
            "facts": facts(
                (_("State"), badge(obj.state, obj.get_state_display())),
                (_("Customer list"), link(obj.customer_list)),
                (_("What to do"), _("Add to the list") if obj.is_member else _("Remove from the list")),
                (_("Identifier in the file"), obj.get_identifier_key_display()),
                (_("File"), obj.filename),
                (_("User"), obj.requested_by),
                (_("Created"), moment(obj.created_at)),
                (_("Last progress"), moment(obj.heartbeat_at)),
                (_("Kept until"), moment(obj.heartbeat_at + imports.KEPT_FOR) if obj.state == State.READY else ""),
                (_("Run"), numbered_link(run)),
            ),
            "tables": [_counts(obj), *(_problems(obj) if may_view(request, Customer) else [])],
        }

    def problems(self, request: HttpRequest, object_id: str) -> StreamingHttpResponse:
        """All lines that mean nobody new, as CSV."""
        row = self.get_object(request, object_id)
        if not (self.has_view_permission(request, row) and may_view(request, Customer)):
            raise PermissionDenied
        if row is None:
            raise Http404
        response = StreamingHttpResponse(_problem_file(row), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="blueshift-import-{row.pk}-problems.csv"'
        response["Cache-Control"] = "no-store"
        return response


def _problem_file(row: ListImport) -> Iterator[str]:
    writer: Any = csv.writer(Echo())
    yield writer.writerow(["line", row.identifier_key or "identifier", "problem", "explanation"])
    for number, identifier, code in imports.problem_lines(row):
        yield writer.writerow([number, cell(identifier), code, PROBLEM_TEXTS[code]])


def _start_label(row: ListImport) -> str:
    numbers = {"count": _number(row.to_change)}
    if row.is_member:
        text = ngettext("Add this %(count)s customer", "Add these %(count)s customers", row.to_change)
    else:
        text = ngettext("Remove this %(count)s customer", "Remove these %(count)s customers", row.to_change)
    return text % numbers


def _told(row: ListImport) -> str:
    """What was started, for the history: without the file's name, which may be somebody's."""
    return f"{_('From a file')} (#{row.pk}): {_start_label(row)}, {row.customer_list}"


def _notices(row: ListImport) -> Iterator[str]:
    if row.state == State.UPLOADING:
        yield _("The file is being read. Nothing has happened yet.")
    elif row.state == State.MATCHING:
        yield _("The file is being matched with the customers of this site. Nothing has happened yet.")
    elif row.state == State.CANCELLED:
        yield _("The file was thrown away: somebody said so, or nobody said yes to it for a day.")
    elif row.state == State.READY:
        yield _("Nothing has happened yet.")
        yield from _doubts(row)
        yield from _consequences(row)


def _doubts(row: ListImport) -> Iterator[str]:
    """Whether the file names its customers by another identifier than the one that it was read by."""
    if row.matched or not row.unknown + row.bad:
        return
    shown = [(identifier, code) for _number, identifier, code in _first_problems(row)]
    if not shown:
        return
    if row.identifier_key == CUSTOMER_ID and all("@" in identifier for identifier, _code in shown):
        yield _(
            "No line matches a customer: they were read as customer IDs, and look like e-mail addresses. If that is "
            "what they are, give their column the heading “email” and upload the file again: a list that goes by "
            "customer ID takes them too."
        )
    elif row.identifier_key == EMAIL and {code for _identifier, code in shown} == {identifier_files.MALFORMED}:
        yield _(
            "No line matches a customer: they were read as e-mail addresses, and are none. If they are customer IDs, "
            "give their column the heading “customer_id” and upload the file again: a list that goes by e-mail takes "
            "them too."
        )


def _consequences(row: ListImport) -> Iterator[str]:
    if not row.to_change:
        yield _("There is nothing to do: no line means a customer with whom anything would change.")
        return
    yield duration_text(calls_of_list(row.customer_list, row.to_change))
    if row.customers > row.matched:
        yield _(
            "Some of the e-mail addresses are shared by several customers: all of these are meant, as Blueshift puts "
            "everybody with an address on the list."
        )
    yield str(SOURCES_DECIDE)


def _progress(row: ListImport) -> Progress | None:
    if row.state == State.MATCHING:
        matched, whole = row.matched + row.problems, row.lines
        text = _("%(matched)s of %(lines)s lines have been matched (%(percent)s %%).")
        percent = 100 * row.parts_matched // max(row.parts_read, 1)
        return Progress(
            matched, whole, [text % {"matched": _number(matched), "lines": _number(whole), "percent": percent}]
        )
    if row.run is None or row.run.state not in SyncRun.OPEN_STATES:
        return None
    looked_at = int(row.run.scope.get("looked_at", 0))
    text = _("%(count)s of %(total)s customers have been brought into the run, which sends them.")
    return Progress(looked_at, row.customers, [text % {"count": _number(looked_at), "total": _number(row.customers)}])


def _counts(row: ListImport) -> Table:
    """What the lines say, which adds up; and what there is to do with the customers."""
    as_wanted = _("On the list already, or on their way: nothing to do")
    if not row.is_member:
        as_wanted = _("Taken off already, or on their way: nothing to do")
    excluded = _("Excluded, themselves or on this list: nothing is sent of them until they are included")
    return Table(
        title=_("What the file says"),
        headings=[_("What"), _("How many")],
        rows=[
            [_("Lines"), _number(row.lines)],
            [_("Lines that match a customer"), _number(row.matched)],
            [_("Lines with a customer given on an earlier line"), _number(row.repeated)],
            [_("Lines with an identifier that no customer has"), _number(row.unknown)],
            [_("Bad lines"), _number(row.bad)],
            [_("Customers"), _number(row.customers)],
            [as_wanted, _number(row.in_step)],
            *([[excluded, _number(row.excluded)]] if row.excluded else []),
            [_("Customers to add") if row.is_member else _("Customers to remove"), _number(row.to_change)],
        ],
        empty="",
    )


def _problems(row: ListImport) -> list[Table]:
    if not row.problems or row.state in {State.UPLOADING, State.MATCHING}:
        return []
    shown = _first_problems(row)
    address = reverse(f"admin:{PROBLEMS}", args=[row.pk])
    return [
        Table(
            title=_("Lines that mean nobody, or nobody new"),
            headings=[_("Line"), _("Identifier"), _("What is wrong")],
            rows=[[number, identifier, PROBLEM_TEXTS[code]] for number, identifier, code in shown],
            empty=_("They aren’t kept any more."),
            note=_("The first %(count)s; all of them are in the file below.") % {"count": PROBLEMS_SHOWN}
            if row.problems > PROBLEMS_SHOWN
            else "",
            more=format_html('<a href="{}">{}</a>', address, _("All of these lines as CSV")) if shown else None,
        )
    ]


def _first_problems(row: ListImport) -> list[tuple[int, str, str]]:
    """From no more parts than it takes."""
    parts = row.parts.filter(problem_count__gt=0).order_by("number")
    counts = list(parts.values_list("number", "problem_count")[:PROBLEMS_SHOWN])
    totals = accumulate((count for _number, count in counts), initial=0)
    wanted = [number for (number, _count), before in zip(counts, totals, strict=False) if before < PROBLEMS_SHOWN]
    lines = [line for found in parts.filter(number__in=wanted).values_list("problems", flat=True) for line in found]
    return [(number, identifier, code) for number, identifier, code in lines[:PROBLEMS_SHOWN]]


def imports_table(customer_list: CustomerList) -> Table:
    """The latest files of a list, for its page."""
    found = list(customer_list.imports.order_by("-pk")[: IMPORTS_SHOWN + 1])
    all_of_them = list_link(_("All files of this list"), ListImport, customer_list__id__exact=customer_list.pk)
    return Table(
        title=_("Files of identifiers"),
        headings=[_("Import"), _("State"), _("What to do"), _("Customers"), _("Problems"), _("Created")],
        rows=[
            [
                numbered_link(row),
                badge(row.state, row.get_state_display()),
                _("Add to the list") if row.is_member else _("Remove from the list"),
                _number(row.customers),
                _number(row.problems),
                moment(row.created_at),
            ]
            for row in found[:IMPORTS_SHOWN]
        ],
        empty=_("No file has been uploaded for this list."),
        more=all_of_them if len(found) > IMPORTS_SHOWN else None,
    )


def _number(number: int) -> str:
    return number_format(number, force_grouping=True)
