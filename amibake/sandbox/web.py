"""The HTTP server that the sandbox's own services share; the API's is moto's."""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer
from socketserver import TCPServer


class WebServer(ThreadingHTTPServer):
    """Serves each connection in a thread of its own, from `start()` to `close()`."""

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of our own name, which may have to wait for a name server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def start(self, name: str) -> None:
        """Serve in a thread of this name."""
        threading.Thread(target=self.serve_forever, args=(0.05,), name=name, daemon=True).start()

    def close(self) -> None:
        """Stop serving, and give the port back."""
        self.shutdown()
        self.server_close()
