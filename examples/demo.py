"""Everything that amibake is for, for real, on this machine: bakes primal and carnivore, serves the example
application from an instance of it, and leaves nothing behind.

    make demo                             # prepares the machine and runs this
    DEMO_TEXT="Good morning" make demo    # what the application is to say

It exits with 0 only if all of that really happened, else with the exit code of the error (see amibake/errors.py).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
import deploy

import amibake
from amibake import events
from amibake.sandbox import LocalCloud

TEXT = os.environ.get("DEMO_TEXT") or "Hello from an immutable image."


class Narrator:
    """Prints what happens, and how long it takes."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:6.1f} s  {text}", flush=True)

    def event(self, event: events.Event) -> None:
        if isinstance(event, events.Output):
            self.say(f"      {event.line}")
        elif not isinstance(event, events.Waiting | events.Uploading | events.StepFinished):
            self.say(f"   {event}")

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        self.say(f"== {title}")
        begun = time.monotonic()
        yield
        self.times.append((title, time.monotonic() - begun))

    def table(self) -> None:
        print("\nwhere the time went")
        for title, seconds in [*self.times, ("all of it", time.monotonic() - self._started)]:
            print(f"  {title:<50} {seconds:7.1f} s")


def fetch(url: str, *, patience: float = 30) -> tuple[int, str]:
    """GET, from the moment at which the machine has just been switched on."""
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own http:// address
                return answer.status, answer.read().decode()
        except OSError as error:
            if time.monotonic() > until:
                raise amibake.WaitTimeout(f"{url}: no answer in {patience:.0f} s; last: {error}") from error
            time.sleep(0.05)


def expect(found: object, wanted: object, what: str) -> None:
    """The difference between a demo and a show."""
    if found != wanted:
        raise amibake.AmibakeError(f"{what}: {found!r} instead of {wanted!r}")


def left_behind(session: boto3.Session) -> list[str]:
    """Everything in the account that a bake should have removed."""
    ec2 = session.client("ec2")
    reservations = ec2.describe_instances()["Reservations"]
    instances = [instance for reservation in reservations for instance in reservation["Instances"]]
    return [
        *(one["InstanceId"] for one in instances if one["State"]["Name"] != "terminated"),
        *(pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]),
        *(
            one["GroupName"]
            for one in ec2.describe_security_groups()["SecurityGroups"]
            if one["GroupName"] != "default"
        ),
        *(volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]),
        *(f"{image['ImageId']} is a draft" for image in drafts(session)),
    ]


def drafts(session: boto3.Session) -> list[dict[str, str]]:
    filters = [{"Name": "tag:amibake:state", "Values": ["draft"]}]
    found: list[dict[str, str]] = session.client("ec2").describe_images(Owners=["self"], Filters=filters)["Images"]
    return found


def tell(narrator: Narrator, directory: Path) -> None:
    """The whole story."""
    with ExitStack() as stack:
        with narrator.chapter("a local EC2 (the first time: its base image)"):
            cloud = stack.enter_context(LocalCloud(progress=narrator.say))
        session = cloud.session
        with narrator.chapter("bake primal, the base image"):
            primal = deploy.bake_primal(session, on_event=narrator.event, node_mirror=cloud.node_mirror)
        with narrator.chapter("bake carnivore, the deployment image"):
            appserver = deploy.fill_appserver(directory / "appserver", text=TEXT)
            carnivore = deploy.bake_carnivore(primal, "staging", session, appserver=appserver, on_event=narrator.event)
        with narrator.chapter("launch an instance of it, until port 80 answers"):
            instance = deploy.launch(carnivore, session, on_event=narrator.event)
            url = f"http://{instance.public_ip}/"
            status, body = fetch(url)
        narrator.say(f"   GET {url} → {status}: {body.strip()}")
        expect((status, body.strip()), (200, TEXT), f"GET {url}")
        for path, wanted in static_files(appserver).items():
            status, body = fetch(f"{url}{path}")
            narrator.say(f"   GET {url}{path} → {status}, {len(body)} bytes, a static file")
            expect((status, body), (200, wanted), f"GET {url}{path}")
        with narrator.chapter("terminate it, and look at what is left behind"):
            instance.terminate()
            session.client("ec2").delete_security_group(GroupName=f"{deploy.APP}-web")
            left = [*left_behind(session), *primal.leftovers, *carnivore.leftovers]
        narrator.say(f"   left behind in the account: {', '.join(left) or 'nothing'}")
        expect(left, [], "left behind")
        narrator.say(f"   images: {primal.name} ({primal.id}), {carnivore.name} ({carnivore.id})")
        with narrator.chapter("end the local EC2"):
            stack.close()


def static_files(appserver: Path) -> dict[str, str]:
    """{path in the URL: content} of what nginx is to serve by itself."""
    public = appserver / ".bin" / "public"
    return {str(path.relative_to(public)): path.read_text() for path in public.rglob("*") if path.is_file()}


def main() -> int:
    """Tell the story, and exit as it ended."""
    narrator = Narrator()
    try:
        with tempfile.TemporaryDirectory(prefix="amibake-demo-") as directory:
            tell(narrator, Path(directory))
    except amibake.AmibakeError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        for line in error.leftovers:
            print(f"left behind: {line}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        print("\ninterrupted; everything temporary was removed, but for what is listed here", file=sys.stderr)
        for note in getattr(interrupt, "__notes__", []):
            print(note, file=sys.stderr)
        return getattr(interrupt, "exit_code", 130)
    narrator.table()
    return 0


if __name__ == "__main__":
    sys.exit(main())
