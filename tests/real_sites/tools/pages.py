"""Looks at the admin of a site as a superuser does: all of our lists, and the page of one row of each."""

import json
import sys

import django

django.setup()

from django.apps import apps  # noqa: E402 - only now can models be imported
from django.contrib import admin  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402

client = Client()
client.force_login(get_user_model()._default_manager.filter(is_superuser=True).first())
seen = {}
for model in [*apps.get_app_config("blueshift_sync").get_models(), *map(apps.get_model, sys.argv[1:])]:
    if not admin.site.is_registered(model):
        continue
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    paths = [reverse(f"{name}_changelist")]
    row = None if model._meta.proxy else model._base_manager.first()
    if row is not None:
        paths.append(reverse(f"{name}_change", args=[row.pk]))
    for path in paths:
        answer = client.get(path)
        seen[path] = [answer.status_code, "unfold/css/styles.css" in answer.content.decode()]
print(json.dumps(seen))
