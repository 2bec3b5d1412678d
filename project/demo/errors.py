"""What keeps the demo from running, as a sentence."""


class DemoError(Exception):
    """The message says what happened, where, and how to mend it; it is shown as it is."""
