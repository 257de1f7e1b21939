#!/usr/bin/env python3
"""What a service manager does for socket activation: `hand_over.py FD=NAME... -- COMMAND...`.

The descriptors become 3, 4, ..., LISTEN_PID names this process, and COMMAND takes its place.
With LISTEN_PID in the environment that value is kept.
"""

from __future__ import annotations

import fcntl
import os
import sys

FIRST = 3


def main() -> None:
    end = sys.argv.index("--")
    pairs = [argument.split("=", 1) for argument in sys.argv[1:end]]
    aside = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 500) for fd, _ in pairs]
    for fd, _ in pairs:
        os.set_inheritable(int(fd), False)
    for number, fd in enumerate(aside):
        os.dup2(fd, FIRST + number, inheritable=True)
    os.environ.setdefault("LISTEN_PID", str(os.getpid()))
    os.environ["LISTEN_FDS"] = str(len(pairs))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for _, name in pairs)
    os.execv(sys.argv[end + 1], sys.argv[end + 1 :])


main()
