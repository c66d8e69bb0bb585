"""Serves the store of node releases over HTTP, with the paths of nodejs.org."""

from __future__ import annotations

import errno
import html
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import unquote

from amibake.errors import AmibakeError
from amibake.sandbox.mirror.releases import Release, architecture
from amibake.sandbox.mirror.store import NodeStore, tarball_name
from amibake.sandbox.web import WebHandler, WebServer

_TAB_COLUMNS = ["version", "date", "files", "npm", "v8", "uv", "zlib", "openssl", "modules", "lts", "security"]


class NodeMirror:
    """A nodejs.org/dist look-alike at `url`, from `start()` to `close()`.

    Args:
        store: Where the releases come from.
        versions: What the index lists besides the releases that are on disk.
        progress: Told of requests that fail, in a sentence.
    """

    def __init__(self, store: NodeStore, versions: Sequence[str], progress: Callable[[str], None]) -> None:
        self._store = store
        self._versions = versions
        self._progress = progress
        self._server: WebServer | None = None

    def start(self, address: str, port: int = 80) -> str:
        """Serve at `address`; answers with the URL of the mirror.

        nvm since 0.39.7 refuses the URL of a mirror with a port, hence port 80. Where that is taken (a web server of
        the host listens on every address) another one is used, and `progress` is told.
        """
        handler = type("Handler", (_Handler,), {"mirror": self})
        try:
            server = WebServer((address, port), handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            server = WebServer((address, 0), handler)
            self._progress(f"port {port} of {address} is taken: nvm since 0.39.7 will not use the node mirror")
        self._server = server
        server.start("node-mirror")
        return f"http://{address}{'' if server.server_port == 80 else f':{server.server_port}'}/dist"

    def close(self) -> None:
        """Stop serving."""
        if self._server:
            self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, path: str) -> tuple[str, bytes | Path] | None:
        """What is at a path of the mirror, with its content type; None for nothing. Makes a release not made yet."""
        parts = re.fullmatch(r"/dist(?:/(v\d+\.\d+\.\d+))?(?:/([\w.-]+)?)?", path)
        if not parts:
            return None
        version, name = parts[1], parts[2] or "index.html"
        if version is None:
            index = _INDEXES.get(name)
            return index and (index[0], index[1](self._store.offered(self._versions)).encode())
        release = self._store.released(version[1:], self._versions)
        if release is None:
            return None
        if name == "index.html":
            return "text/html", _listing(_files(release)).encode()
        if name not in _files(release):
            return None
        file = self._store.directory(release) / name
        return ("text/plain" if file.suffix == ".txt" else "application/octet-stream"), file

    def failed(self, path: str, error: AmibakeError) -> None:
        """A request could not be answered for want of a package."""
        self._progress(f"the node mirror could not answer {path}: {error}")


def _files(release: Release) -> list[str]:
    name = tarball_name(release)
    return ["SHASUMS.txt", "SHASUMS256.txt", f"{name}.tar.gz", f"{name}.tar.xz"]


def _index_html(releases: Sequence[Release]) -> str:
    """What nvm before 0.25 looks for versions in."""
    return _listing([f"v{release.version}/" for release in releases])


def _listing(names: Sequence[str]) -> str:
    links = (f'<a href="{html.escape(name)}">{html.escape(name)}</a>' for name in names)
    return "<!DOCTYPE html><title>node releases</title>\n<pre>\n" + "\n".join(links) + "\n</pre>\n"


def _index_tab(releases: Sequence[Release]) -> str:
    rows = [_TAB_COLUMNS]
    for release in releases:
        known = {
            "version": f"v{release.version}",
            "files": f"linux-{architecture()}",
            "npm": release.npm,
            "lts": release.lts,
        }
        rows.append([known.get(column) or "-" for column in _TAB_COLUMNS])
    return "".join("\t".join(row) + "\n" for row in rows)


def _index_json(releases: Sequence[Release]) -> str:
    return json.dumps(
        [
            {
                "version": f"v{release.version}",
                "files": [f"linux-{architecture()}"],
                "npm": release.npm,
                "lts": release.lts or False,
            }
            for release in releases
        ]
    )


_INDEXES: dict[str, tuple[str, Callable[[Sequence[Release]], str]]] = {
    "index.html": ("text/html", _index_html),
    "index.tab": ("text/plain", _index_tab),
    "index.json": ("application/json", _index_json),
}


class _Handler(WebHandler):
    """GET and HEAD. No path of a request ever becomes a path on disk: names are looked up."""

    mirror: ClassVar[NodeMirror]

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server looks for
        self._answer(body=True)

    def do_HEAD(self) -> None:  # noqa: N802 - the name that http.server looks for
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        if self.asked_path is None:
            self.send_error(400)
            return
        path = unquote(self.asked_path)
        try:
            found = self.mirror.find(path)
        except AmibakeError as error:
            self.mirror.failed(path, error)
            self.send_error(503, "the release cannot be had", str(error))
            return
        if found is None:
            self.send_error(404)
            return
        kind, content = found
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(content.stat().st_size if isinstance(content, Path) else len(content)))
        self.end_headers()
        if not body:
            return
        if isinstance(content, bytes):
            self.wfile.write(content)
            return
        with content.open("rb") as file:
            self.connection.sendfile(file)
