"""The HTTP API: the rows of the mirror and the audit, and what can be set going with them."""
