"""The embedded Redis serves a worker wherever the clone lies."""

from pathlib import Path

import pytest
import redis

from project.embedded_redis import EmbeddedRedis


@pytest.mark.parametrize("name", ["with a space", "with=equals", "d" * 120])
def test_a_directory_that_is_no_place_for_a_socket_is_no_obstacle(tmp_path: Path, name: str) -> None:
    with EmbeddedRedis(tmp_path / name) as server, redis.Redis.from_url(server.url) as connection:
        # RQ's worker asks this, and the answer holds the socket's path.
        assert connection.client_info()["addr"].startswith(str(server.socket))
    assert not server.socket.exists()
