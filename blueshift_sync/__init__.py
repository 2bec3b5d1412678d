"""Keeps a Django site's customers and list memberships in step with Blueshift, and proves it."""

__version__ = "0.1.0"
