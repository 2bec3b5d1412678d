"""A server on a real socket that does to its clients whatever a test wants."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from blueshift_sync.client import BlueshiftClient, Exchange, Request, customers_bulk

OK = b"HTTP/1.1 200 OK\r\n"


def respond(body: bytes, *headers: str, status: bytes = OK) -> bytes:
    lines = [*headers, f"Content-Length: {len(body)}"]
    return status + "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Connection:
    """One accepted connection. `number` counts from 1."""

    number: int
    sock: socket.socket
    #: Set when the test is over, so that nothing waits for longer.
    over: threading.Event
    requests: list[bytes] = field(default_factory=list)

    def read_request(self) -> bytes:
        """Headers and body of the next request, or b"" if the client has gone."""
        received = b""
        while b"\r\n\r\n" not in received:
            part = self.sock.recv(65536)
            if not part:
                return b""
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        while len(body) < length:
            body += self.sock.recv(65536)
        return head + b"\r\n\r\n" + body

    def reset(self) -> None:
        """Close the connection with an RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@dataclass
class Server:
    url: str
    connections: list[Connection]

    @property
    def requests(self) -> list[bytes]:
        return [request for connection in self.connections for request in connection.requests]


@contextlib.contextmanager
def serving(behave: Callable[[Connection], None]) -> Iterator[Server]:
    """Run `behave` for each connection, in a thread of its own; its socket is closed at the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}", [])
    over = threading.Event()
    threads: list[threading.Thread] = []

    def serve(connection: Connection) -> None:
        with connection.sock, contextlib.suppress(OSError):
            behave(connection)

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            if over.is_set():
                sock.close()
                return
            sock.settimeout(10)
            connection = Connection(len(server.connections) + 1, sock, over)
            server.connections.append(connection)
            thread = threading.Thread(target=serve, args=(connection,))
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        over.set()
        socket.create_connection(listener.getsockname()).close()  # wakes the acceptor
        acceptor.join()
        for connection in server.connections:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        listener.close()


def always(*answers: bytes) -> Callable[[Connection], None]:
    """Answer each request with the next of `answers`, the last one for ever, on a connection that stays open."""

    def behave(connection: Connection) -> None:
        while request := connection.read_request():
            connection.requests.append(request)
            connection.sock.sendall(answers[min(len(connection.requests), len(answers)) - 1])

    return behave


KEY = "s3cret-key"
REQUEST = customers_bulk([{"customer_id": "1", "firstname": "Zoë"}])
SUCCESS = b'{"customers":[],"errors":[]}'


@contextlib.contextmanager
def client_for(url: str, timeout: tuple[float, float] = (5, 5)) -> Iterator[BlueshiftClient]:
    with BlueshiftClient(KEY, url, timeout) as client:
        yield client


def ask(client: BlueshiftClient, request: Request = REQUEST) -> Exchange:
    return client.send(client.prepare(request))


def ask_once(behave: Callable[[Connection], None], timeout: tuple[float, float] = (5, 5)) -> Exchange:
    with serving(behave) as server, client_for(server.url, timeout) as client:
        return ask(client)
