import django.utils.timezone
from django.db import migrations, models

import blueshift_sync.models.fields


class Migration(migrations.Migration):
    dependencies = [
        ("blueshift_sync", "0002_one_index_for_each_column"),
    ]

    operations = [
        migrations.CreateModel(
            name="AttributeType",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    blueshift_sync.models.fields.ExactCharField(max_length=255, unique=True, verbose_name="attribute"),
                ),
                (
                    "json_type",
                    models.CharField(
                        choices=[
                            ("number", "a number"),
                            ("text", "text"),
                            ("boolean", "true or false"),
                            ("list", "a list"),
                            ("object", "an object"),
                        ],
                        max_length=7,
                        verbose_name="sent as",
                    ),
                ),
                (
                    "first_sent_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="first sent at"),
                ),
            ],
            options={
                "verbose_name": "attribute type",
                "verbose_name_plural": "attribute types",
                "default_permissions": ("view", "delete"),
            },
        ),
    ]
