"""Pages that stand in the admin's menu like a model, and show what no single row can."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from .display import shown_to
from .mixins import ReadOnlyAdmin
from .permissions import may_view


class PageAdmin(ReadOnlyAdmin):
    """One page at the address of a model's list. `title`, `template` and `page_context` say what is on it."""

    title: Any = ""
    template: str
    #: Who may view any of these models sees the page, and on it what is about those.
    shows: ClassVar[tuple[type[Model], ...]]

    class Media:
        css = {"all": ["blueshift_sync/admin.css"]}

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return any(may_view(request, model) for model in self.shows)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.page)
        return [path("", view, name=f"{self.opts.app_label}_{self.opts.model_name}_changelist")]

    def page(self, request: HttpRequest) -> HttpResponse:
        """The page itself."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        shown_to(request)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": self.title,
            "media": self.media,
            **self.page_context(request),
        }
        return TemplateResponse(request, self.template, context)

    def page_context(self, request: HttpRequest) -> dict[str, Any]:
        return {}
