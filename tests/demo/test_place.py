"""Where the demo runs: its ports and its directory are its own, or it says whose they are."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from project.demo.__main__ import main
from project.demo.errors import DemoError
from project.demo.place import only_demo_in, require_free_port, start_afresh


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("option", ["--port", "--simulator-port"])
def test_a_port_in_use_is_a_sentence_that_names_it_and_its_option(
    option: str, taken_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--once", option, str(taken_port)]) == 1
    said = capsys.readouterr().err
    assert f"Port {taken_port} can't be used" in said
    assert f"ARGS='{option} " in said


def test_a_free_port_is_fine(taken_port: int) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        free = closed.getsockname()[1]
    require_free_port(free, "--port")
    assert free != taken_port


def test_a_second_demo_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    refusal = pytest.raises(DemoError, match=r"is running in .* already, as process \d+\. End it first")
    with only_demo_in(tmp_path), refusal, only_demo_in(tmp_path):
        pass
    with only_demo_in(tmp_path):
        assert (tmp_path / "demo.lock").exists()


def test_starting_afresh_removes_an_earlier_demo_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "worker.log").touch()
    for name in ("demo.sqlite3", "demo.sqlite3-wal", "secret_key", "notes.txt"):
        (tmp_path / name).touch()
    start_afresh(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "notes.txt", "secret_key"]
    assert not any((tmp_path / "log").iterdir())


def test_options_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--customers", "0"])
    assert "must be 1 or more" in capsys.readouterr().err
