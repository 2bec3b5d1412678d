from typing import Any

import django.core.validators
import django.utils.timezone
from django.db import migrations, models

import blueshift_sync.models.fields


def sort_lists(apps: Any, schema_editor: Any) -> None:
    """Lists whose identifier is known go on; those that Blueshift has refused have stopped. Each is read again."""
    lists = apps.get_model("blueshift_sync", "CustomerList").objects.using(schema_editor.connection.alias)
    now = django.utils.timezone.now()
    sound = lists.filter(status="ACTIVE")
    sound.exclude(identifier_key="").update(is_ready=True, source=models.F("identifier_key"))
    sound.update(read_due_at=now)
    lists.exclude(status="ACTIVE").update(stopped_at=now, read_due_at=None)


def forget_lists_without_number(apps: Any, schema_editor: Any) -> None:
    """Before this there were none: they aren't in Blueshift yet."""
    connection = schema_editor.connection
    apps.get_model("blueshift_sync", "CustomerList").objects.using(connection.alias).filter(list_id=None).delete()
    connection.check_constraints()  # now, or PostgreSQL changes no table that they are on


class Migration(migrations.Migration):
    dependencies = [
        ("blueshift_sync", "0008_retention_and_erasure"),
    ]

    operations = [
        migrations.AddField(
            model_name="customerlist",
            name="attempts",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="Calls in a row in which the list could be neither created nor read.",
                verbose_name="attempts",
            ),
        ),
        migrations.AddField(
            model_name="customerlist",
            name="is_ready",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                help_text="Whether members are sent: Blueshift has confirmed the list, and nothing is wrong with it.",
                verbose_name="ready",
            ),
        ),
        migrations.AddField(
            model_name="customerlist",
            name="known_count",
            field=models.PositiveBigIntegerField(
                blank=True,
                editable=False,
                help_text="How many customers Blueshift was known to have as members when the list was last read.",
                null=True,
                verbose_name="known members",
            ),
        ),
        migrations.AddField(
            model_name="customerlist",
            name="source",
            field=models.CharField(
                blank=True,
                editable=False,
                help_text="By which identifier Blueshift says that the list knows its customers.",
                max_length=64,
                verbose_name="list source",
            ),
        ),
        migrations.AddField(
            model_name="customerlist",
            name="stopped_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="Since when its members wait because something is wrong with the list, see the error message.",
                null=True,
                verbose_name="stopped at",
            ),
        ),
        migrations.AddField(
            model_name="customerlist",
            name="wanted_count",
            field=models.PositiveBigIntegerField(
                blank=True,
                editable=False,
                help_text="How many customers should have been members when the list was last read.",
                null=True,
                verbose_name="wanted members",
            ),
        ),
        migrations.AddField(
            model_name="listmembership",
            name="synced_asynchronously",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                help_text="The last accepted call was asynchronous: Blueshift sees to it later, and nothing says when.",
                verbose_name="accepted for processing",
            ),
        ),
        migrations.AlterField(
            model_name="customerlist",
            name="list_id",
            field=models.BigIntegerField(
                blank=True,
                help_text="The number in the address of the list's page in Blueshift. Empty: the list is created in Blueshift.",
                null=True,
                unique=True,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="list ID",
            ),
        ),
        migrations.AlterField(
            model_name="customerlist",
            name="read_due_at",
            field=models.DateTimeField(
                blank=True,
                default=django.utils.timezone.now,
                editable=False,
                help_text="When the list is created in Blueshift or read from it next. Empty: not before somebody asks.",
                null=True,
                verbose_name="asked for in Blueshift next at",
            ),
        ),
        migrations.AlterField(
            model_name="listmembership",
            name="synced_identifier",
            field=blueshift_sync.models.fields.ExactCharField(
                blank=True,
                editable=False,
                help_text="The identifier under which the customer is on the list, or may be. Empty: none that is known.",
                max_length=320,
                verbose_name="identifier in Blueshift",
            ),
        ),
        migrations.AddIndex(
            model_name="customerlist",
            index=models.Index(fields=["read_due_at"], name="bsync_list_read_due"),
        ),
        migrations.RunPython(sort_lists, forget_lists_without_number),
    ]
