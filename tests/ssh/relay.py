"""A proxy command for tests: leads its standard input and output to an address, and misbehaves when it is told to.

relay.py HOST PORT [--pid FILE] [--say TEXT] [--child]
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading


def main() -> None:
    host, port, *options = sys.argv[1:]
    if "--say" in options:
        print(options[options.index("--say") + 1], file=sys.stderr, flush=True)
    pids = [os.getpid()]
    if "--child" in options:
        pids.append(subprocess.Popen(["sleep", "600"]).pid)
    if "--pid" in options:
        with open(options[options.index("--pid") + 1], "a") as file:  # noqa: PTH123
            file.write("".join(f"{pid}\n" for pid in pids))
    sock = socket.create_connection((host, int(port)))

    def back() -> None:
        while data := sock.recv(65536):
            os.write(1, data)
        os._exit(0)

    threading.Thread(target=back, daemon=True).start()
    while data := os.read(0, 65536):
        sock.sendall(data)


if __name__ == "__main__":
    main()
