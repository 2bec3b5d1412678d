from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("blueshift_sync", "0012_idempotency")]

    operations = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=20, unique=True, verbose_name="kind")),
                ("is_on", models.BooleanField(default=False, verbose_name="is on")),
                ("differs_since", models.DateTimeField(null=True, verbose_name="differs since")),
                ("began_at", models.DateTimeField(null=True, verbose_name="began at")),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended at")),
                ("reason", models.TextField(blank=True, verbose_name="reason")),
                ("mail_due_at", models.DateTimeField(null=True, verbose_name="mail due at")),
                (
                    "mail_attempts",
                    models.PositiveIntegerField(default=0, verbose_name="attempts to send the mail"),
                ),
            ],
            options={
                "verbose_name": "alert",
                "verbose_name_plural": "alerts",
                "default_permissions": (),
            },
        ),
    ]
