"""When a statement is gone from a server's process list, seen by another process, which ours does not slow down."""

import math
import subprocess
import sys

LOOKER = """
import sys, time, pymysql
connection = pymysql.connect(unix_socket=sys.argv[1], user="root", autocommit=True)
cursor = connection.cursor()
print("ready", flush=True)
for line in sys.stdin:
    thread, start = line.split()
    time.sleep(max(float(start) - time.monotonic(), 0))
    while True:
        cursor.execute("SHOW PROCESSLIST")
        # MariaDB says "Killed" of an idle thread too, when a kill came late; the text is gone with the statement.
        if not any(row[0] == int(thread) and row[4] != "Sleep" and (row[6] or row[7]) for row in cursor.fetchall()):
            break
        time.sleep(0.002)
    print(time.monotonic(), flush=True)
"""


class Looker:
    """Looks at one server, every 2 ms while it is asked to."""

    def __init__(self, node):
        command = [sys.executable, "-c", LOOKER, str(node.socket)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process.stdout.readline()

    def look(self, thread, start):
        """Begin to look at a thread at a reading of the monotonic clock."""
        self._process.stdin.write(f"{thread} {start}\n")
        self._process.stdin.flush()

    def gone(self):
        """Wait, and return the clock reading at which its statement was gone."""
        return float(self._process.stdout.readline())

    def close(self):
        """End the other process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def rank(values, part):
    """The value that such a part of all does not pass: 0.5 the median, 0.99 the 99th percentile."""
    ordered = sorted(values)
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)]
