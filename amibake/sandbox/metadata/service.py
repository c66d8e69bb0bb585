"""The metadata service's protocol: versions 1 and 2, over HTTP. Who asks is known by the address that it asks from."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import ClassVar, Self

from amibake.sandbox.metadata.tokens import MAX_TTL, Tokens
from amibake.sandbox.metadata.tree import Metadata
from amibake.sandbox.web import WebHandler, WebServer

TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
TOKEN_TTL = "X-aws-ec2-metadata-token-ttl-seconds"  # noqa: S105 - a header's name
TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path

Lookup = Callable[[str], Metadata | None]
"""What whoever has this address may know; None for a stranger. Called at every request."""


@dataclass(frozen=True)
class _Answer:
    status: HTTPStatus
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hops: int | None = None
    """How far it travels; None for as far as it takes."""


class MetadataService:
    """Answers from `start()` to `close()`.

    Args:
        clock: Seconds, from any origin before now.
    """

    def __init__(self, lookup: Lookup, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._tokens = Tokens(clock)
        self._server: WebServer | None = None

    def start(self, address: str) -> int:
        """Listen at an address of this machine; answers with the port."""
        self._server = WebServer((address, 0), type("Handler", (_Handler,), {"service": self}))
        self._server.start("metadata")
        return self._server.server_port

    def close(self) -> None:
        """Stop answering."""
        server, self._server = self._server, None
        if server:
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, address: str, path: str, headers: Mapping[str, str]) -> _Answer:
        """Answer a GET."""
        metadata = self._lookup(address)
        if metadata is None or not metadata.enabled:
            return _Answer(HTTPStatus.FORBIDDEN)
        token = headers.get(TOKEN)
        left = self._tokens.seconds_left(token, metadata.instance_id) if token else 0
        if not left and (token is not None or metadata.tokens_required):
            return _Answer(HTTPStatus.UNAUTHORIZED)
        if path == TOKEN_PATH:
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "PUT"})
        found = metadata.find(path)
        if found is None:
            return _Answer(HTTPStatus.NOT_FOUND)
        return _Answer(HTTPStatus.OK, found, {TOKEN_TTL: str(left)} if left else {})

    def put(self, address: str, path: str, headers: Mapping[str, str]) -> _Answer:
        """Answer a PUT: a token, for who asks itself and not through a proxy."""
        metadata = self._lookup(address)
        if metadata is None or not metadata.enabled or "X-Forwarded-For" in headers:
            return _Answer(HTTPStatus.FORBIDDEN)
        if path != TOKEN_PATH:
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"})
        ttl = headers.get(TOKEN_TTL, "")
        if not re.fullmatch("[0-9]{1,5}", ttl) or not 1 <= int(ttl) <= MAX_TTL:
            return _Answer(HTTPStatus.BAD_REQUEST)
        token = self._tokens.issue(metadata.instance_id, int(ttl))
        return _Answer(HTTPStatus.OK, token.encode(), {TOKEN_TTL: ttl}, hops=metadata.hop_limit)


class _Handler(WebHandler):
    wbufsize = -1  # one segment for an answer: two would wait for each other
    service: ClassVar[MetadataService]

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server looks for
        self._answer(self.service.get)

    def do_HEAD(self) -> None:  # noqa: N802 - the name that http.server looks for
        self._answer(self.service.get)

    def do_PUT(self) -> None:  # noqa: N802 - the name that http.server looks for
        # the hop limit is this answer's alone; and a body, which nobody needs, is not read
        self.close_connection = True
        self._answer(self.service.put)

    def _answer(self, ask: Callable[[str, str, Mapping[str, str]], _Answer]) -> None:
        # the headers' own `get` does not care for upper and lower case
        path, headers = self.asked_path, self.headers
        answer = (
            _Answer(HTTPStatus.BAD_REQUEST) if path is None else ask(self.client_address[0], path, headers)  # type: ignore[arg-type]
        )
        if answer.hops:
            self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, answer.hops)
        body = answer.body if answer.status == HTTPStatus.OK else _page(answer.status)
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/plain" if answer.status == HTTPStatus.OK else "text/html")
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return "EC2ws"


def _page(status: HTTPStatus) -> bytes:
    """What EC2 sends with a refusal."""
    title = f"{status.value} - {status.phrase}"
    return (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
        '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n<html xmlns="http://www.w3.org/1999/xhtml" '
        f'xml:lang="en" lang="en">\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n'
        " </body>\n</html>\n"
    ).encode()
