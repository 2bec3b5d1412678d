"""Errors of this package. Each message is a sentence that can be shown to a person."""


class BlueshiftSyncError(Exception):
    """The base of them all."""


class SourceError(BlueshiftSyncError):
    """A source can't be registered, or it can't read one of its objects."""


class ValueNotSendable(SourceError):  # noqa: N818 - it says what is wrong with a value, and reads as such
    """A value that has no JSON form, or that a database can't hold."""


class SendingOff(BlueshiftSyncError):  # noqa: N818
    """Sending is switched off, or there is no key to send with."""


class KeyReused(BlueshiftSyncError):  # noqa: N818
    """An idempotency key comes again with another request."""


class RedisUnavailable(BlueshiftSyncError):  # noqa: N818
    """Redis doesn't answer: nothing may be sent, as the rate limit lives there."""


class UnusableFile(BlueshiftSyncError):  # noqa: N818
    """A file of identifiers that can't be read. The message says where, and how to mend it."""


class JobFailed(BlueshiftSyncError):  # noqa: N818
    """A job ended by an error. The message says of what kind; what it said stays out, as it may quote a customer."""
