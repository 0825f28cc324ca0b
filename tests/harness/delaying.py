"""A TCP proxy that makes a line as long as it is told, and counts the round trips that somebody waited for."""

import queue
import threading
import time

from tests.harness.proxy import Proxy, shut

QUIT, CLOSES_STATEMENT, LONG_DATA, QUERY = 0x01, 0x19, 0x18, 0x03
UNANSWERED = {QUIT, CLOSES_STATEMENT, LONG_DATA}
ENDS = {b"COMMIT", b"ROLLBACK"}
WITHHELD_SECONDS = 2.0
"""How long the answer to a lone COMMIT is kept back: who waits for it is counted, who goes on is not."""


class Line:
    """
    One client connection.

    Attributes:
        trips: round trips: the opening, the greeting, and each flight of the client's that had an answer.
        flights: the commands of each flight, for words in a failing test.
        spans: from when to when each of the round trips was, by the monotonic clock.
    """

    def __init__(self, *, withholds=True, round_trip_seconds=0.0):
        self._withholds = withholds
        self._sent_seconds = now = time.monotonic()
        middle, last = now + round_trip_seconds, now + 2 * round_trip_seconds
        self.spans = [(now, middle), (middle, last)]
        self.trips = 2
        self.flights = []
        self.going_on = threading.Event()
        self.lock = threading.Lock()
        self._waits = self._is_lone_end = False
        self._rest = b""

    def sent(self, data):
        """Take note of what the client sent; returns how many commands it holds that have an answer."""
        commands = self._commands(data)
        answered = [each for each in commands if each[0] not in UNANSWERED]
        with self.lock:
            self.going_on.set()
            if answered:
                self.flights.append([bytes(each[1:]) for each in answered])
                self._sent_seconds = time.monotonic()
                self._is_lone_end = all(each[0] == QUERY and each[1:] in ENDS for each in answered)
                self._waits = True
                if self._is_lone_end:
                    self.going_on.clear()
        return len(answered)

    def answered(self):
        """Count a round trip, if this is the first of an answer; keeps back what nobody may be waiting for."""
        with self.lock:
            waits, self._waits = self._waits, False
            lone = self._is_lone_end
        if not waits:
            return
        if lone and self._withholds and self.going_on.wait(WITHHELD_SECONDS):
            # It went on without the answer: what it sent since counts, and this does not.
            return
        with self.lock:
            self.trips += 1
            self.spans.append((self._sent_seconds, time.monotonic()))

    def _commands(self, data):
        self._rest += data
        found = []
        while len(self._rest) >= 4:
            size, number = int.from_bytes(self._rest[:3], "little"), self._rest[3]
            if len(self._rest) < 4 + size:
                break
            payload, self._rest = self._rest[4 : 4 + size], self._rest[4 + size :]
            if payload or number:
                # What belongs to the login has another number; each of its packets waits for an answer.
                found.append(payload if number == 0 else b"\0login")
        return found


class DelayingProxy(Proxy):
    """
    Passes bytes between clients and one server, later.

    Args:
        host, port: of the server.
        round_trip_seconds: how long a question and its answer are on the way together.
        one_at_a_time: whether it ends a connection on which a second question comes before the first is answered.
        withholds: whether the answer to a lone COMMIT is kept back, so that only who waits for it is counted.
    """

    def __init__(self, host, port, *, round_trip_seconds=0.0, one_at_a_time=False, withholds=True):
        self._round_trip_seconds = round_trip_seconds
        self._one_at_a_time = one_at_a_time
        # Who asks one question at a time waits for the answer to each.
        self._withholds = withholds and not one_at_a_time
        self.lines = []
        super().__init__(host, port)

    @property
    def trips(self):
        """All round trips of all connections."""
        return sum(line.trips for line in self.lines)

    def _carry(self, client, server):
        line = Line(withholds=self._withholds, round_trip_seconds=self._round_trip_seconds)
        self.lines.append(line)
        half = self._round_trip_seconds / 2
        # The greeting follows the two ways of the opening that were not waited for here, and comes a third and fourth.
        _pass_on_later(client, server, half, 0.0, taken=lambda data: self._asked(line, data, (client, server)))
        _pass_on_later(server, client, half, 3 * half, given=line.answered)

    def _asked(self, line, data, ends):
        if line.sent(data) > 1 and self._one_at_a_time:
            for end in ends:
                shut(end)


def one_after_the_other(spans, until=float("inf")):
    """How many round trips of all connections followed each other: the longest chain; for lines that are not short."""
    count, reached = 0, float("-inf")
    for began, ended in sorted(spans, key=lambda span: span[1]):
        if began >= reached and ended <= until:
            count, reached = count + 1, ended
    return count


def _pass_on_later(source, sink, delay, first, *, taken=lambda data: None, given=lambda: None):
    """Pass on what comes from a source, each piece so many seconds later, the first one by `first` more."""
    on_the_way = queue.SimpleQueue()

    def take():
        late = first
        data = b"..."
        while data:
            try:
                data = source.recv(262_144)
            except OSError:
                data = b""
            if data:
                taken(data)
            on_the_way.put((time.monotonic() + delay + late, data))
            late = 0.0

    def give():
        while True:
            due, data = on_the_way.get()
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)
            if not data:
                break
            given()
            try:
                sink.sendall(data)
            except OSError:
                break
        shut(sink)

    for work in (take, give):
        threading.Thread(target=work, daemon=True).start()
