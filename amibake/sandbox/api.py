"""The HTTP endpoint of a local EC2: moto's server, on loopback only."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from amibake.errors import SandboxUnavailable

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

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


class _Gate:
    """Lets in who signs with the cloud's own key: others on this machine could have root run their instances. moto's
    own pages are nobody's."""

    def __init__(self, application: WSGIApplication, key: str) -> None:
        self._application = application
        self._credential = f"Credential={key}/"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        signed = self._credential in environ.get("HTTP_AUTHORIZATION", "")
        if signed and not environ.get("PATH_INFO", "").startswith("/moto-api"):
            return self._application(environ, start_response)
        start_response("401 Unauthorized", [("Content-Type", "text/xml"), ("Content-Length", str(len(_REFUSAL)))])
        return [_REFUSAL]


_REFUSAL = (
    b"<Response><Errors><Error><Code>AuthFailure</Code><Message>This local EC2 takes only its own credentials: "
    b"AWS_ACCESS_KEY_ID of its exports</Message></Error></Errors><RequestID>0</RequestID></Response>"
)


class ApiServer:
    """Answers AWS clients with this access key at `url` from moto's books of this process, until `close()`."""

    def __init__(self, listening: socket.socket, key: str) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # or it logs every request
        host, port = listening.getsockname()
        self.url = f"http://{host}:{port}"
        self._server = make_server(
            host,
            port,
            _Gate(DomainDispatcherApplication(create_backend_app), key),
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
