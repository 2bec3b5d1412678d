import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import blueshift_sync.models.fields


class Migration(migrations.Migration):
    dependencies = [
        ("blueshift_sync", "0003_attribute_types"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CustomerRemoval",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("PENDING", "Waiting"),
                            ("SENDING", "Sending"),
                            ("SYNCED", "In step"),
                            ("FAILED", "Failed"),
                            ("EXCLUDED", "Excluded"),
                        ],
                        default="PENDING",
                        editable=False,
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                (
                    "version",
                    models.PositiveBigIntegerField(
                        default=1, editable=False, help_text="Goes up with every change.", verbose_name="version"
                    ),
                ),
                (
                    "synced_version",
                    models.PositiveBigIntegerField(
                        default=0,
                        editable=False,
                        help_text="The last version that Blueshift accepted.",
                        verbose_name="version in Blueshift",
                    ),
                ),
                (
                    "attempts",
                    models.PositiveIntegerField(
                        default=0,
                        editable=False,
                        help_text="Calls that failed for it temporarily.",
                        verbose_name="attempts",
                    ),
                ),
                (
                    "due_at",
                    models.DateTimeField(
                        blank=True,
                        default=django.utils.timezone.now,
                        editable=False,
                        help_text="When it is sent next. Empty: it waits for something else, see the error message.",
                        null=True,
                        verbose_name="due at",
                    ),
                ),
                (
                    "waiting_since",
                    models.DateTimeField(
                        blank=True,
                        default=django.utils.timezone.now,
                        editable=False,
                        null=True,
                        verbose_name="waiting since",
                    ),
                ),
                ("synced_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last in step")),
                ("error_code", models.CharField(blank=True, editable=False, max_length=64, verbose_name="error code")),
                ("error_message", models.TextField(blank=True, editable=False, verbose_name="error message")),
                (
                    "fingerprint",
                    models.CharField(
                        blank=True,
                        editable=False,
                        help_text="Of what Blueshift should hold.",
                        max_length=64,
                        verbose_name="fingerprint",
                    ),
                ),
                (
                    "synced_fingerprint",
                    models.CharField(
                        blank=True,
                        editable=False,
                        help_text="Of what Blueshift is known to hold; empty while that is not known.",
                        max_length=64,
                        verbose_name="fingerprint in Blueshift",
                    ),
                ),
                (
                    "batch_limit",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        editable=False,
                        help_text="With how many others at most it may be sent, after a batch was refused because of one of them.",
                        null=True,
                        verbose_name="batch limit",
                    ),
                ),
                ("claim_token", models.UUIDField(blank=True, editable=False, null=True, verbose_name="claim")),
                (
                    "claim_expires_at",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="claim expires at"),
                ),
                (
                    "claimed_version",
                    models.PositiveBigIntegerField(
                        blank=True, editable=False, null=True, verbose_name="version being sent"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created at"),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("DELETE", "Delete"), ("FORGET", "Forget")], max_length=6, verbose_name="kind"
                    ),
                ),
                (
                    "identifier_key",
                    models.CharField(
                        choices=[("email", "Email"), ("customer_id", "Customer ID")],
                        max_length=11,
                        verbose_name="identified by",
                    ),
                ),
                ("identifier", blueshift_sync.models.fields.ExactCharField(max_length=320, verbose_name="identifier")),
                ("source_type", blueshift_sync.models.fields.ExactCharField(max_length=150, verbose_name="source")),
                ("source_id", blueshift_sync.models.fields.ExactCharField(max_length=255, verbose_name="source key")),
                (
                    "decided_at",
                    models.DateTimeField(
                        help_text="When somebody approved or cancelled it. Empty: nobody was asked.",
                        null=True,
                        verbose_name="decided at",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="removals",
                        to="blueshift_sync.customer",
                        verbose_name="customer",
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        help_text="Who approved or cancelled it.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="decided by",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        editable=False,
                        help_text="The run that it waits in, or last went out with.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="blueshift_sync.syncrun",
                        verbose_name="run",
                    ),
                ),
            ],
            options={
                "verbose_name": "customer removal",
                "verbose_name_plural": "customer removals",
                "permissions": [("approve_customerremoval", "Can approve, cancel and retry removals of customers")],
                "abstract": False,
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["state", "due_at", "id"], name="bsync_customerremoval_due"),
                    models.Index(fields=["run", "state"], name="bsync_customerremoval_run"),
                    models.Index(fields=["created_at"], name="bsync_customerremoval_created"),
                    models.Index(fields=["identifier"], name="bsync_customerremoval_who"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["PENDING", "SENDING", "SYNCED", "FAILED", "EXCLUDED"])),
                        name="bsync_customerremoval_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("synced_version__lte", models.F("version"))),
                        name="bsync_customerremoval_version_order",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("claim_expires_at__isnull", False),
                                ("claim_token__isnull", False),
                                ("claimed_version__isnull", False),
                                ("state", "SENDING"),
                            ),
                            models.Q(models.Q(("state", "SENDING"), _negated=True), ("claim_token__isnull", True)),
                            _connector="OR",
                        ),
                        name="bsync_customerremoval_claim_while_sending",
                    ),
                ],
            },
        ),
    ]
