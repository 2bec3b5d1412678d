"""The commands of manage.py. Each is a call of `services` or `delivery`, with progress and an exit status."""
