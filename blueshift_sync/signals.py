"""Signals that a site can listen to. Sent after the commit; what a receiver raises is logged and goes no further.

They carry numbers of rows, never personal data.
"""

from django.dispatch import Signal

#: A call was answered, or given up. Arguments: `call_id`, `state` (of ApiCall).
call_finished = Signal()

#: Records became FAILED by a call. Arguments: `call_id`, `count`. The sender is Customer or ListMembership.
records_failed = Signal()

#: A run has ended. Arguments: `run_id`, `state` (of SyncRun).
run_finished = Signal()

#: Blueshift refuses the key. Arguments: `code`, `reason`.
sending_stopped = Signal()

#: Blueshift takes the key again.
sending_resumed = Signal()
