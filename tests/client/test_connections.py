"""An answer's time runs from its start, however its bytes are spread."""

import socket

import pytest

from blueshift_sync.client.connections import _PunctualReader


def test_each_wait_is_given_only_the_time_that_is_left() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(5)
        with near.makefile("rb", buffering=0) as raw, _PunctualReader(raw, near) as reader:
            far.sendall(b"ab")
            first, left = reader.read(1), near.gettimeout()
            second, less = reader.read(1), near.gettimeout()

    assert (first, second) == (b"a", b"b")
    assert left is not None
    assert less is not None
    assert 5 > left > less


def test_bytes_that_come_after_the_time_are_not_read() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(1e-9)
        with near.makefile("rb", buffering=0) as raw, _PunctualReader(raw, near) as reader:
            far.sendall(b"late")
            with pytest.raises(TimeoutError):
                reader.read(1)
