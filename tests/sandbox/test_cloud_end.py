"""How a cloud ends: the parts of it that need no process of their own, and what is under way then."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from amibake.errors import AmibakeError, SandboxUnavailable
from amibake.sandbox import LocalCloud, api, clean, engines, serving
from amibake.sandbox.cache import CloudDirectory
from amibake.sandbox.serving import Addresses, CloudOptions

Eventually = Callable[[Callable[[], object]], object]

CHILDREN = """
import subprocess
from amibake.sandbox import children
children._GRACE = 0.5
shells = [f"trap '{what}' TERM; echo ready; while :; do sleep 0.1; done" for what in ("exit 7", "")]
running = [
    subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE, start_new_session=new)
    for shell in shells for new in (True, False)
]
for one in running:
    one.stdout.readline()
gone = subprocess.Popen(["true"])
children.end_children()
print(*[one.wait() for one in running])
"""


def test_children_are_asked_to_end_and_those_that_do_not_are_killed() -> None:
    done = subprocess.run([sys.executable, "-c", CHILDREN], capture_output=True, text=True, timeout=60)
    assert done.stdout == "7 7 -9 -9\n", done.stderr


def test_a_download_ends_with_the_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    begun = tmp_path / "begun"
    npm = tmp_path / "npm"
    npm.write_text(f'#!/bin/sh\necho $$ > "{begun}.new"; mv "{begun}.new" "{begun}"; exec sleep 1000\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    answers: list[str] = []

    def ask(url: str) -> None:
        try:
            urllib.request.urlopen(url).close()
        except (urllib.error.URLError, ConnectionError) as error:
            answers.append(type(error).__name__)

    with LocalCloud(engine="none", node_versions=("0.10",)) as cloud:
        asking = threading.Thread(target=ask, args=(f"{cloud.node_mirror}/v0.10.48/SHASUMS.txt",))
        asking.start()
        eventually(begun.exists)
    asking.join(60)
    assert answers
    assert not Path("/proc", begun.read_text().strip()).exists()


class Stuck(engines.NoContainers):
    """An engine that cannot remove what it made."""

    def close(self) -> None:
        raise AmibakeError("the mount is busy")


def options(cache: Path) -> CloudOptions:
    return CloudOptions(
        id="0123abcd",
        key="AKIATEST",
        cache=str(cache),
        region="us-east-1",
        port=0,
        delays={},
        engine="none",
        node_versions=(),
    )


def test_what_could_not_be_removed_is_left_for_clean_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "make_engine", lambda *_: Stuck())
    monkeypatch.setattr(serving, "end_children", lambda: None)  # here they would be those of other tests
    seen: list[Addresses] = []
    with pytest.raises(AmibakeError, match="the mount is busy"):
        serving.serve(options(tmp_path), print, seen.append, lambda: seen.append(Addresses("undone", "")))
    assert seen[0].endpoint_url.startswith("http://127.0.0.1:")
    assert len(seen) == 1  # nothing went wrong before it was to end

    said: list[str] = []
    removed: list[tuple[str, Path]] = []

    def remove(cloud_id: str, root: Path) -> None:
        removed.append((cloud_id, root))
        if len(removed) == 1:
            raise AmibakeError("still busy")

    monkeypatch.setattr(clean, "remove_cloud", remove)
    with pytest.raises(AmibakeError, match="still busy"):
        clean.clean(tmp_path, said.append)
    assert clean.clean(tmp_path, said.append) == ["0123abcd"]
    assert removed == [("0123abcd", tmp_path / "clouds/0123abcd/engine")] * 2
    assert said == ["removing cloud 0123abcd"] * 2
    assert clean.clean(tmp_path, said.append) == []


def test_only_clouds_without_an_owner_count_as_abandoned(tmp_path: Path) -> None:
    alive = CloudDirectory.create(tmp_path, "00000001")
    for cloud_id in ("00000002", "00000003"):
        CloudDirectory.create(tmp_path, cloud_id).release()
    found = CloudDirectory.abandoned(tmp_path)
    first = next(found)
    assert first.id == "00000002"
    CloudDirectory.abandoned(tmp_path / "nowhere")
    others = list(CloudDirectory.abandoned(tmp_path))
    assert [other.id for other in others] == ["00000003"]  # the second cleaner leaves the first one its own
    others[0].remove()
    assert list(found) == []
    first.remove()
    assert [path.name for path in tmp_path.glob("clouds/*/")] == ["00000001"]
    alive.remove()
    alive.remove()
    assert list(tmp_path.glob("clouds/*/")) == []


def test_an_address_that_this_machine_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "ADDRESS", "192.0.2.1")
    with pytest.raises(SandboxUnavailable, match=r"port 80 of 192\.0\.2\.1 cannot be used: Cannot assign"):
        api.listen(80)
