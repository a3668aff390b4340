# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs "commy top" at a terminal: presses keys, changes the size, and ends it in several ways.

top-at-terminal.py COMMY; Echo and Shop of org.example are offered. Ends with 0 if what should be
shown came, and the terminal was as before after each end.
"""

import fcntl
import os
import pty
import signal
import struct
import sys
import tempfile
import termios

LEAVE = b"\x1b[?1049l"  # the screen that was there before comes back


class Top:
    """One run at a terminal of its own."""

    def __init__(self, *arguments, settings=None):
        self.said = b""
        self.ours, self.theirs = pty.openpty()
        self.resize(24, 100)
        self.before = termios.tcgetattr(self.theirs)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.close(os.open(os.ttyname(self.theirs), os.O_RDWR))
            for descriptor in range(3):
                os.dup2(self.theirs, descriptor)
            environment = dict(os.environ, TERM="xterm")
            if settings is not None:
                environment["COMMY_CONFIG"] = os.environ["COMMY_CONFIG"] + ":" + settings
            os.execve(sys.argv[1], [sys.argv[1], "top", "--every", "100ms", *arguments], environment)

    def resize(self, rows, columns):
        """The kernel tells the program, once it is there."""
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, words):
        """What came before does not count."""
        self.said = b""
        while words not in self.said:
            self.said += os.read(self.ours, 65536)

    def press(self, keys, words):
        """Keys, and what is on the screen after them: all of it, drawn anew."""
        os.write(self.ours, keys + b"\x0c")
        self.read_until(words)

    def check_end(self, how, status=0):
        """It ends, and leaves nothing behind."""
        self.read_until(LEAVE)
        result = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if result != status:
            sys.exit(f"{how}: it ended with {result}")
        if termios.tcgetattr(self.theirs) != self.before:
            sys.exit(f"{how}: the terminal is not as it was")
        os.close(self.ours)
        os.close(self.theirs)


top = Top()
top.read_until(b"org.example.Shop")
top.press(b"n", b"nodes by calls")
top.press(b"\t", b"services")
top.press(b"a", b"name")
top.press(b"/", b"filter: _")
top.press(b"Bank\r", b"filter Bank")
top.press(b"/\x7f\x7f\x7f\x7fShop\r", b"org.example.Shop")
top.press(b" ", b"PAUSED")
top.resize(10, 60)
os.kill(top.pid, signal.SIGWINCH)
top.read_until(b"org.example.Shop")
top.resize(2, 10)
os.kill(top.pid, signal.SIGWINCH)
top.read_until(b"commy top")
os.write(top.ours, b"q")
top.check_end("q")

# Nobody is there: it says so, and goes on asking.
top = Top("--mesh", "nobody")
top.read_until(b"no other node is in this mesh")
top.press(b"n", b"nodes by calls")
top.resize(40, 200)
os.kill(top.pid, signal.SIGWINCH)
top.read_until(b"no other node is in this mesh")
os.write(top.ours, b"q")
top.check_end("nobody")

# Thousands, of which a screen shows some: to the end and back, and one of them alone.
with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
    for number in range(1000):
        file.write(f"[service org.example.Many{number:04}]\nendpoints=tls://192.0.2.1:7001\n")
    file.flush()
    top = Top("--view", "services", settings=file.name)
    top.press(b"a", b"org.example.Many0000")
    top.press(b"\x1b[6~" * 200, b"org.example.Shop")
    top.press(b"\x1b[5~" * 200, b"org.example.Many0000")
    top.press(b"/Many0999\r", b"org.example.Many0999")
    os.write(top.ours, b"q")
    top.check_end("thousands")

for name, key in (("control-c", b"\x03"), ("control-backslash", b"\x1c")):
    top = Top("--view", "flows")
    top.read_until(b"flows")
    os.write(top.ours, key)
    top.check_end(name)

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    top = Top()
    top.read_until(b"services")
    os.kill(top.pid, number)
    top.check_end(number.name)
