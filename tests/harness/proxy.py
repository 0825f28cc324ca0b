"""A TCP proxy that can be cut, go deaf, or refuse: what a network does to a console."""

import itertools
import socket
import threading


class Proxy:
    """
    Passes bytes between clients and one server until it is told otherwise.

    Args:
        host, port: of the server.
        at: (host, port) that it listens on, port 0 for any.
    """

    def __init__(self, host, port, *, at=("127.0.0.1", 0)):
        self._server = (host, port)
        self._listening = socket.create_server(at, backlog=256)
        self.host, self.port = self._listening.getsockname()
        self._lock = threading.Lock()
        self._pairs = []
        self._deaf = threading.Event()
        self._refusing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def go_deaf(self):
        """Pass nothing any more, and close nothing: as when packets are dropped."""
        self._deaf.set()

    def hear_again(self):
        """Pass new bytes again."""
        self._deaf.clear()

    def lead_to(self, host, port):
        """Lead new connections to another server, as an endpoint that moves does."""
        self._server = (host, port)

    def refuse(self):
        """Accept no further connection."""
        self._refusing = True

    def accept_again(self):
        """Accept connections again."""
        self._refusing = False

    def cut(self, *numbers):
        """Reset connections, by the order in which they were made; all of them without numbers."""
        with self._lock:
            chosen = [self._pairs[number] for number in numbers] if numbers else list(self._pairs)
        for pair in chosen:
            for end in pair:
                try:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()

    def number_of(self, port):
        """The number of the connection that a client has from one of its ports."""
        with self._lock:
            return next(at for at, (client, _) in enumerate(self._pairs) if client.getpeername()[1] == port)

    @property
    def made(self):
        """How many connections were made through it."""
        return len(self._pairs)

    def close(self):
        self._refusing = True
        self._listening.close()
        self.cut()

    def _accept(self):
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            for each in (client, server):
                # MUST come before others see the pair: whoever cuts it closes both.
                # A network passes each piece on when it comes; without this the kernel keeps small ones back for 40 ms.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.append((client, server))
            self._carry(client, server)

    def _carry(self, client, server):
        """Start what passes bytes between the ends of a new connection."""
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source, sink):
        try:
            while data := source.recv(65_536):
                while self._deaf.is_set():
                    # What was dropped stays dropped for this connection, as far as the test lasts.
                    if not self._deaf.wait(0.05):
                        break
                    threading.Event().wait(0.05)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            shut(end)


class Balancer(Proxy):
    """Leads each new connection to the next of several servers, in turn; addresses are (host, port)."""

    def __init__(self, *servers):
        self._turns = itertools.cycle(servers)
        super().__init__(*servers[0])

    @property
    def _server(self):
        return next(self._turns)

    @_server.setter
    def _server(self, _first):
        """Nothing: it is the turn of the first one anyway."""


def shut(end):
    """End a connection in both directions."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
