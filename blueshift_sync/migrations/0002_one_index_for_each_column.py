from typing import Any

from django.db import migrations, models

import blueshift_sync.models.fields


def sort_by_bytes(apps: Any, schema_editor: Any) -> None:
    """Tables that are new have it already: what the field says of PostgreSQL came later than the first migration."""
    if schema_editor.connection.vendor != "postgresql":
        return
    for model in apps.get_app_config("blueshift_sync").get_models():
        for field in model._meta.local_fields:
            if isinstance(field, blueshift_sync.models.fields.ExactCharField):
                table, column = map(schema_editor.quote_name, (model._meta.db_table, field.column))
                column_type = field.db_type(schema_editor.connection)
                schema_editor.execute(f'ALTER TABLE {table} ALTER COLUMN {column} TYPE {column_type} COLLATE "C"')


class Migration(migrations.Migration):
    dependencies = [
        ("blueshift_sync", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(sort_by_bytes, migrations.RunPython.noop, elidable=True),
        migrations.AlterField(
            model_name="customer",
            name="contested_customer_id",
            field=blueshift_sync.models.fields.ExactCharField(
                blank=True,
                editable=False,
                help_text="The customer ID that this customer should have, while another one has it.",
                max_length=255,
                null=True,
                verbose_name="contested customer ID",
            ),
        ),
        migrations.AlterField(
            model_name="customer",
            name="customer_id",
            field=blueshift_sync.models.fields.ExactCharField(
                blank=True,
                help_text="The identity in Blueshift. Without it the e-mail address identifies the customer.",
                max_length=255,
                null=True,
                verbose_name="customer ID",
            ),
        ),
        migrations.AlterField(
            model_name="customer",
            name="email_key",
            field=blueshift_sync.models.fields.EmailKeyField(
                blank=True, editable=False, max_length=320, verbose_name="e-mail, lower case"
            ),
        ),
        migrations.AddIndex(
            model_name="customer",
            index=models.Index(fields=["email_key"], name="bsync_customer_email_key"),
        ),
        migrations.AddIndex(
            model_name="customer",
            index=models.Index(fields=["contested_customer_id"], name="bsync_customer_contested"),
        ),
        migrations.AddConstraint(
            model_name="customer",
            constraint=models.UniqueConstraint(fields=("customer_id",), name="bsync_customer_customer_id"),
        ),
    ]
