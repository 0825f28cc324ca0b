"""A real terminal with a command of the program in it."""

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time


class AnyTerminal:
    """A program as a process on a terminal of its own."""

    def __init__(self, words, environ, *, size=(24, 80)):
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, size)

        def take():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=take,
            env={**os.environ, "TERM": "xterm", **environ},
        )
        os.close(theirs)
        self.text = ""

    def type(self, text):
        os.write(self._ours, text.encode())

    def read(self, seconds):
        """Take in what is shown for a while; the prompt asks the terminal where its cursor is."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select([self._ours], [], [], left)
            try:
                shown = os.read(self._ours, 65536).decode(errors="replace") if readable else ""
            except OSError:
                return
            if "\x1b[6n" in shown:
                self.type("\x1b[1;1R")
            self.text += shown

    def wait_for(self, condition, *, at_most=30.0):
        until = time.monotonic() + at_most
        while not condition():
            assert time.monotonic() < until, self.said()
            self.read(0.02)

    def ends(self, *, at_most=5.0):
        """Whether the console leaves within a moment."""
        until = time.monotonic() + at_most
        while self.process.poll() is None and time.monotonic() < until:
            self.read(0.02)
        return self.process.poll() is not None

    def said(self):
        """All that was ever shown, whatever was drawn over it, without the terminal's own language and wrapping."""
        return " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.text).split())

    def hang_up(self):
        """Close the terminal, as a window or a lost ssh does: the system sends SIGHUP."""
        os.close(self._ours)
        self._ours = None

    def leaves(self, *, at_most=40.0):
        """The exit code, once it left by itself."""
        until = time.monotonic() + at_most
        while self.process.poll() is None:
            assert time.monotonic() < until, self.said()
            if self._ours is None:
                time.sleep(0.02)
            else:
                self.read(0.02)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._ours is not None:
            os.close(self._ours)


class Terminal(AnyTerminal):
    """A command of the program on a terminal."""

    def __init__(self, config, *arguments, command=("sql", "shop")):
        words = (sys.executable, "-m", "safeconsole", "--config", str(config), *command, *arguments)
        super().__init__(words, {"HOME": str(config.parent), "USER": "ada"})
