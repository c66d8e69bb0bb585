"""The HTTP endpoint of a local EC2: moto's server, on loopback only."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from typing import Self

from amibake.errors import SandboxUnavailable

ADDRESS = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """Take a port of loopback (0: any free one); connections wait until it is served."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((ADDRESS, port))
    except OSError as error:
        listening.close()
        hint = "choose another port, or none for a free one"
        if error.errno == errno.EADDRINUSE:
            raise SandboxUnavailable(f"port {port} of {ADDRESS} is in use", hint=hint) from error
        raise SandboxUnavailable(f"port {port} of {ADDRESS} cannot be used: {error.strerror}", hint=hint) from error
    listening.listen(128)
    return listening


class ApiServer:
    """Answers AWS clients at `url` from moto's books of this process, until `close()`."""

    def __init__(self, listening: socket.socket) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # or it logs every request
        host, port = listening.getsockname()
        self.url = f"http://{host}:{port}"
        self._server = make_server(
            host,
            port,
            DomainDispatcherApplication(create_backend_app),
            threaded=True,
            request_handler=type("Handler", (MotoRequestHandler,), {"disable_nagle_algorithm": True}),
            fd=listening.fileno(),
        )
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="api", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
