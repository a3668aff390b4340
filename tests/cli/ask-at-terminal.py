# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a command at a terminal, sends it a key once it asks, and looks at the terminal afterwards.

ask-at-terminal.py KEY PROMPT COMMAND...; KEY is the letter held with Ctrl. Ends with 0 if the
command ended and the terminal shows again what is typed.
"""

import os
import pty
import sys
import termios

key = bytes([ord(sys.argv[1]) & 0x1F])
prompt = sys.argv[2].encode()
ours, theirs = pty.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    os.close(os.open(os.ttyname(theirs), os.O_RDWR))  # makes it the controlling terminal
    for descriptor in range(3):
        os.dup2(theirs, descriptor)
    os.execv(sys.argv[3], sys.argv[3:])
said = b""
while prompt not in said:
    said += os.read(ours, 4096)
# The prompt comes before echo is switched off.
while termios.tcgetattr(theirs)[3] & termios.ECHO:
    if os.waitpid(pid, os.WNOHANG)[0] != 0:
        sys.exit("it did not wait for anything")
os.write(ours, key)
os.waitpid(pid, 0)
shows = termios.tcgetattr(theirs)[3] & termios.ECHO != 0
sys.exit(0 if shows else "the terminal was left mute")
