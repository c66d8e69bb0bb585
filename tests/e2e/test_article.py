"""The article's two images, for real: real Debian, sshd, apt, nginx, node and npm, under both inits."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mypy_boto3_ec2 import EC2Client
from mypy_boto3_ec2.type_defs import InstanceTypeDef

import amibake
from amibake.ec2.cloud import tag_dict
from amibake.sandbox import LocalCloud
from tests.e2e.support import Box, carnivore, get


@pytest.fixture(params=["systemd", "sysvinit"], scope="module")
def primal(request: pytest.FixtureRequest) -> amibake.Image:
    image: amibake.Image = request.getfixturevalue(f"{request.param}_primal")
    return image


@pytest.fixture(scope="module")
def deployed(cloud: LocalCloud, primal: amibake.Image, appserver: Path) -> amibake.Image:
    """Baked with npm's registry out of reach: package.json is the one that primal has precached."""
    return carnivore(cloud, primal, appserver)


def test_names_and_tags_say_what_an_image_is(ec2: EC2Client, primal: amibake.Image, deployed: amibake.Image) -> None:
    app = primal.tags["amibake:app"]
    assert re.fullmatch(rf"{app}-primal \d{{10}}", primal.name)
    assert re.fullmatch(rf"{app}-carnivore-staging \d{{10}}", deployed.name)
    for image, stage in ((primal, "primal"), (deployed, "carnivore")):
        (found,) = ec2.describe_images(ImageIds=[image.id])["Images"]
        snapshots = ec2.describe_snapshots(SnapshotIds=list(image.snapshots["us-east-1"]))["Snapshots"]
        for tags in (tag_dict(found["Tags"]), *(tag_dict(snapshot["Tags"]) for snapshot in snapshots)):
            assert (tags["amibake:app"], tags["amibake:stage"], tags["amibake:state"]) == (app, stage, "published")
            assert tags.get("amibake:node-env") == (None if stage == "primal" else "staging")


def test_primal_has_what_the_article_puts_there(primal: amibake.Image, box: Callable[[amibake.Image], Box]) -> None:
    machine = box(primal)
    assert machine.sh("cat /proc/sys/net/ipv4/tcp_slow_start_after_idle") == "0"
    assert machine.sh("gm version | head -1").startswith("GraphicsMagick")
    assert machine.sh("git --version").startswith("git version")
    wanted = "v20." if primal.tags["amibake:app"] == "shop" else "v0.10."
    # what somebody who logs in gets: a terminal's shell reads .bashrc
    assert machine.sh("bash -ic 'node --version' 2>/dev/null").startswith(wanted)
    assert machine.sh("ls ~/app/precache/node_modules/express/package.json")
    assert machine.sh("cat ~/.ssh/authorized_keys /dev/null | grep -c amibake || true") == "0"


def test_an_instance_serves_as_soon_as_it_has_booted(
    ec2: EC2Client, deployed: amibake.Image, box: Callable[[amibake.Image], Box]
) -> None:
    machine = box(deployed)
    url = f"http://{machine.instance.public_ip}"
    assert get(f"{url}/") == "baked by a test\n"
    assert "{" in get(f"{url}/css/site.css")
    assert json.loads(get(f"{url}/env"))["nodeEnv"] == "staging"
    tags = tag_dict(_describe(ec2, machine)["Tags"])
    assert (tags["amibake:stage"], tags["amibake:node-env"]) == ("carnivore", "staging")

    ec2.stop_instances(InstanceIds=[machine.instance.id])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine.instance.id], WaiterConfig={"Delay": 1})
    ec2.start_instances(InstanceIds=[machine.instance.id])
    ec2.get_waiter("instance_running").wait(InstanceIds=[machine.instance.id], WaiterConfig={"Delay": 1})
    assert get(f"http://{_describe(ec2, machine)['PublicIpAddress']}/") == "baked by a test\n"


def test_only_the_secrets_of_the_chosen_environment_are_in_the_image(
    deployed: amibake.Image, box: Callable[[amibake.Image], Box], appserver: Path
) -> None:
    machine = box(deployed)
    assert json.loads(machine.sh("cat ~/app/server/.env.json")) == json.loads(
        (appserver / "deploy/env/staging.json").read_text()
    )
    assert machine.sh("stat -c '%a %U' ~/app/server/.env.json") == "600 admin"
    secret = json.loads((appserver / "deploy/env/production.json").read_text())["SESSION_SECRET"]
    # by its input, since a log would keep a command line
    found = machine.sh("sudo grep -rlF -f - /home /root /tmp /var /etc || true", given=secret)
    assert found == ""
    assert machine.sh("ls -A /tmp | grep -e amibake -e mailtube -e appserver || true") == ""


def test_the_service_stops_node_and_not_just_its_wrapper(
    deployed: amibake.Image, box: Callable[[amibake.Image], Box]
) -> None:
    machine = box(deployed)
    name = f"{deployed.tags['amibake:app']}-staging"
    url = f"http://{machine.instance.public_ip}/"
    get(url)
    masters = "pgrep -fc '[c]luster.js' -P 1 || true"
    machine.sh(f"sudo service {name} start")
    assert machine.sh(masters) == "1"
    before = machine.sh("pgrep -of '[c]luster.js'")
    machine.sh(f"sudo service {name} restart")
    get(url)
    assert machine.sh("pgrep -of '[c]luster.js'") != before
    assert machine.sh(masters) == "1"
    machine.sh(f"sudo service {name} status")
    machine.sh(f"sudo service {name} stop")
    assert machine.sh("pgrep -c node || true") == "0"
    assert "{" in get(f"{url}css/site.css")  # nginx serves it by itself


def test_a_changed_package_json_needs_npm_and_says_so_when_it_cannot_be_reached(
    cloud: LocalCloud, systemd_primal: amibake.Image, appserver: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "appserver"
    shutil.copytree(appserver, changed)
    package = json.loads((changed / "package.json").read_text())
    package["dependencies"]["left-pad"] = "1.3.0"
    (changed / "package.json").write_text(json.dumps(package))
    with pytest.raises(amibake.ScriptFailed, match="carnivore exited with status") as caught:
        carnivore(cloud, systemd_primal, changed)
    assert "installing server dependencies" in str(caught.value)


def test_a_second_run_on_a_fresh_upload_does_no_harm(
    cloud: LocalCloud, systemd_primal: amibake.Image, appserver: Path, box: Callable[[amibake.Image], Box]
) -> None:
    first = carnivore(cloud, systemd_primal, appserver)
    again = carnivore(cloud, first, appserver, ami_name="shop-again {{timestamp}}")
    machine = box(again)
    assert get(f"http://{machine.instance.public_ip}/") == "baked by a test\n"
    assert machine.sh("ls ~/app/server | grep -c server || true") == "0"


def _describe(ec2: EC2Client, machine: Box) -> InstanceTypeDef:
    (found,) = ec2.describe_instances(InstanceIds=[machine.instance.id])["Reservations"][0]["Instances"]
    return found
