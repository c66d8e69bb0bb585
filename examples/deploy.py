"""Deploys the example application: a script for a team to copy and to change.

    python examples/deploy.py staging

It builds the static assets, fills tmp/appserver, bakes the base image if there is none yet, bakes the deployment
image on top of it, and launches an instance. Account and region are boto3's own choice; with the exports of
`python -m amibake.sandbox` in the environment it all happens on this machine. NODE_MIRROR names a source of node other
than nodejs.org, such as the one that the sandbox tells of.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

import amibake

APP = "ponyfoo"
SOURCE = Path(__file__).parent / "express-app"
APPSERVER = Path("tmp/appserver")
INSTANCE_TYPE = "t3.micro"
NODE_VERSION = "20"

Events = Callable[[Any], None]


def fill_appserver(appserver: Path = APPSERVER, *, text: str | None = None) -> Path:
    """Put together what goes into the image: the sources, the built static assets, the secrets. Everything else that
    lies about in a working copy stays here."""
    shutil.rmtree(appserver, ignore_errors=True)
    appserver.mkdir(parents=True)
    for name in ("package.json", "app.js", "cluster.js", "deploy"):
        copy = shutil.copytree if (SOURCE / name).is_dir() else shutil.copy2
        copy(SOURCE / name, appserver / name)
    shutil.copytree(SOURCE / "client", appserver / ".bin" / "public")
    built = {"text": text or os.environ.get("DEMO_TEXT") or "Hello from an immutable image."}
    (appserver / "build.json").write_text(json.dumps(built))
    return appserver


def bake_primal(
    session: boto3.Session, *, on_event: Events | None = None, node_mirror: str | None = None
) -> amibake.Image:
    """The base image: the newest that there is, else a new one."""
    return amibake.find_image(app=APP, stage="primal", session=session) or amibake.build_primal(
        app=APP,
        package_json=SOURCE / "package.json",
        source_ami=amibake.DEBIAN_12,
        instance_type=INSTANCE_TYPE,
        node_version=NODE_VERSION,
        node_source="tarball",
        node_mirror=node_mirror,
        session=session,
        on_event=on_event,
    )


def bake_carnivore(
    primal: amibake.Image, node_env: str, session: boto3.Session, *, appserver: Path, on_event: Events | None = None
) -> amibake.Image:
    """The deployment image."""
    return amibake.build_carnivore(
        source_ami=primal.id,
        app=APP,
        appserver=appserver,
        node_env=node_env,
        server_name=f"{node_env}.{APP}.test",
        nginx_workers=2,
        instance_type=INSTANCE_TYPE,
        session=session,
        on_event=on_event,
    )


def web_group(session: boto3.Session, region: str) -> str:
    """The security group that lets everybody in on port 80; made when it is first needed, and kept."""
    ec2 = session.client("ec2", region_name=region)
    name = f"{APP}-web"
    found = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]
    if found:
        return str(found[0]["GroupId"])
    group: str = ec2.create_security_group(GroupName=name, Description="Web servers")["GroupId"]
    everybody = [{"CidrIp": "0.0.0.0/0"}]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": everybody}]
    )
    return group


def launch(image: amibake.Image, session: boto3.Session, *, on_event: Events | None = None) -> amibake.Instance:
    """An instance of a deployment image, open to the web."""
    return amibake.launch(
        image,
        instance_type=INSTANCE_TYPE,
        security_group_ids=[web_group(session, image.region)],
        session=session,
        on_event=on_event,
    )


def main(arguments: list[str]) -> int:
    """Deploy to the environment that the command line names."""
    if len(arguments) != 1 or not (SOURCE / "deploy" / "env" / f"{arguments[0]}.json").is_file():
        print("usage: python examples/deploy.py staging|production", file=sys.stderr)
        return 2
    session = boto3.Session()
    try:
        primal = bake_primal(session, on_event=print, node_mirror=os.environ.get("NODE_MIRROR"))
        image = bake_carnivore(primal, arguments[0], session, appserver=fill_appserver(), on_event=print)
        instance = launch(image, session, on_event=print)
    except amibake.AmibakeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{image.name} ({image.id}) runs as {instance.id}: http://{instance.public_ip or instance.private_ip}/")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
