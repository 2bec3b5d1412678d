from django.db import migrations, models

import blueshift_sync.models.fields
import blueshift_sync.models.indexes


class Migration(migrations.Migration):
    dependencies = [
        ("blueshift_sync", "0006_figures"),
    ]

    operations = [
        migrations.AddField(
            model_name="customer",
            name="error_cause",
            field=blueshift_sync.models.fields.ExactCharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="What records that failed for the same reason have in common. Empty while it hasn't failed.",
                max_length=16,
                verbose_name="cause",
            ),
        ),
        migrations.AddField(
            model_name="customer",
            name="failed_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last failed at"),
        ),
        migrations.AddField(
            model_name="customerremoval",
            name="error_cause",
            field=blueshift_sync.models.fields.ExactCharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="What records that failed for the same reason have in common. Empty while it hasn't failed.",
                max_length=16,
                verbose_name="cause",
            ),
        ),
        migrations.AddField(
            model_name="customerremoval",
            name="failed_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last failed at"),
        ),
        migrations.AddField(
            model_name="listmembership",
            name="error_cause",
            field=blueshift_sync.models.fields.ExactCharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="What records that failed for the same reason have in common. Empty while it hasn't failed.",
                max_length=16,
                verbose_name="cause",
            ),
        ),
        migrations.AddField(
            model_name="listmembership",
            name="failed_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last failed at"),
        ),
        migrations.AddField(
            model_name="recordresult",
            name="error_cause",
            field=blueshift_sync.models.fields.ExactCharField(
                blank=True,
                db_default="",
                default="",
                help_text="What records that were rejected for the same reason have in common.",
                max_length=16,
                verbose_name="cause",
            ),
        ),
        migrations.AddField(
            model_name="syncrun",
            name="unknown",
            field=models.PositiveBigIntegerField(
                db_default=0,
                default=0,
                help_text="Of the rejected: given up after calls without an answer, so Blueshift may have taken them.",
                verbose_name="unknown",
            ),
        ),
        migrations.AddIndex(
            model_name="customer",
            index=blueshift_sync.models.indexes.PartialIndex(
                fields=["error_cause", "failed_at", "id"],
                name="bsync_customer_cause",
                where=models.Q(("error_cause__gt", "")),
            ),
        ),
        migrations.AddIndex(
            model_name="customerremoval",
            index=blueshift_sync.models.indexes.PartialIndex(
                fields=["error_cause", "failed_at", "id"],
                name="bsync_customerremoval_cause",
                where=models.Q(("error_cause__gt", "")),
            ),
        ),
        migrations.AddIndex(
            model_name="listmembership",
            index=blueshift_sync.models.indexes.PartialIndex(
                fields=["error_cause", "failed_at", "id"],
                name="bsync_listmembership_cause",
                where=models.Q(("error_cause__gt", "")),
            ),
        ),
        migrations.AddIndex(
            model_name="recordresult",
            index=blueshift_sync.models.indexes.PartialIndex(
                fields=["error_cause", "id"], name="bsync_result_cause", where=models.Q(("error_cause__gt", ""))
            ),
        ),
    ]
