from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("blueshift_sync", "0011_pages_of_any_size")]

    operations = [
        migrations.AddField(
            model_name="syncrun",
            name="request_digest",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="Tells whether a request with the same idempotency key is the same one.",
                max_length=64,
                verbose_name="request digest",
            ),
        ),
    ]
