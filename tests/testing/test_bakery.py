"""The fixture `bakery`, as the tests of a user's own deploy script use it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import boto3
import pytest

import amibake
from amibake.testing import Bakery, bakery

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("no_thread_left")

PLUGIN = () if "amibake" in entry_points(group="pytest11").names else ("-p", "amibake.testing.plugin")
"""pytest takes one that is installed by itself, and refuses to take it twice."""


@pytest.fixture
def here() -> Iterator[Bakery]:
    with bakery() as opened:
        yield opened


@pytest.fixture
def appserver(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/package.json").write_text('{"name": "shop"}')
    (tmp_path / "app/cluster.js").write_text("")
    return tmp_path / "app"


def bake(*steps: amibake.Provisioner, **options: object) -> amibake.Image:
    builder = amibake.Builder(
        **{"ami_name": "x {{uuid}}", "source_ami": amibake.DEBIAN_12, "instance_type": "t3.micro", **options}  # type: ignore[arg-type]
    )
    image: amibake.Image = amibake.bake(builder, steps)
    return image


OF_A_USER = """
import amibake, pytest

def test_primal_installs_our_node(bakery):
    image = amibake.build_primal(app="shop", node_version="22")
    bake = bakery.last
    assert bake.instance_type == "t1.micro"
    assert bake.upload("/tmp/mailtube/package.json").json()["name"] == "shop"
    assert bake.script("primal").environment["NODE_VERSION"] == "22"
    assert image.name.startswith("shop-primal ")
    assert bakery.leftovers == []

def test_a_failing_script_leaves_nothing(bakery, tmp_path):
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "cluster.js").write_text("")
    bakery.script("carnivore").exits(3, stderr="npm ERR!")
    with pytest.raises(amibake.ScriptFailed, match="npm ERR!"):
        amibake.build_carnivore(bakery.add_baked_image(app="shop", stage="primal"), tmp_path, app="shop")
    assert bakery.images == [] and bakery.leftovers == []

def test_that_fails(bakery):
    amibake.build_primal(app="shop", node_version="22")
    assert bakery.last.instance_type == "t3.micro"
"""


@pytest.mark.parametrize("how", [(), ("-n", "2")])
def test_in_a_project_of_its_own(pytester: pytest.Pytester, how: tuple[str, ...]) -> None:
    pytester.makepyfile(OF_A_USER)
    result = pytester.runpytest_subprocess(*PLUGIN, *how, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1)
    told = result.stdout.str()
    assert re.search(r"-- bakery --", told)
    assert re.search(r"bake [0-9a-f]{16}: i-[0-9a-f]+ \(t1.micro\) from ami-22de994a, us-east-1", told)
    assert "  sent up: /tmp/mailtube/package.json" in told
    assert "  ran primal as admin: exit status 0" in told
    assert re.search(r"image ami-[0-9a-f]+ 'shop-primal \d+'", told)
    assert re.search(r"calls: .*RunInstances, DescribeInstances( x \d+)?, ", told)


def test_the_plugin_imports_nothing_before_a_test_asks() -> None:
    heavy = ("moto", "boto3", "paramiko", "pydantic")
    code = f"import amibake.testing.plugin, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_where_moto_is_not_installed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(moto="raise ModuleNotFoundError('No module named moto', name='moto')")
    pytester.makepyfile("def test_with(bakery): pass\ndef test_without(): pass")
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*the fixture bakery needs moto: pip install amibake?testing,sandbox?"])


def test_what_a_bake_did(here: Bakery, tmp_path: Path) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").write_bytes(b"\0one")
    script = tmp_path / "prepare.sh"
    script.write_text("#!/bin/sh\necho prepared\n")
    bake(
        amibake.File(f"{tmp_path}/tree/", "/srv/tree/"),
        amibake.File(content="två", destination="note"),
        amibake.Shell(script=script, sudo=True, environment_vars={"A": "b"}),
        amibake.Shell(inline=["make it so"]),
        ssh_username="ubuntu",
        user_data="#!/bin/sh",
        run_tags={"team": "web"},
    )
    (done,) = here.bakes
    assert done.tags["team"] == "web"
    assert re.fullmatch("[0-9a-f]{16}", done.id)
    assert (done.region, done.instance_type, done.username) == ("us-east-1", "t3.micro", "ubuntu")
    assert done.source_ami == here.place.source_ami
    assert done.user_data is not None
    assert "#!/bin/sh" in done.user_data  # beside the timer that ends a builder whose maker is gone
    assert done.upload("/srv/tree").files() == ["sub/file"]
    assert done.upload("/srv/tree/sub/file").bytes() == b"\0one"
    assert done.upload("note").text() == "två"
    assert done.uploads == ["/home/ubuntu/note", "/srv/tree/sub/file"]
    assert [ran.user for ran in done.scripts] == ["ubuntu", "ubuntu"]
    ran = done.script(str(script))
    assert ran is done.script("echo prepared")
    assert (ran.sudo, ran.environment["A"], ran.status) == (True, "b", 0)
    assert not done.script("make it so").sudo
    assert len(done.commands) > len(done.scripts)
    with pytest.raises(
        LookupError, match=r"no script 'primal' was run on i-.*\n  echo prepared as root: exit status 0\n  make"
    ):
        done.script("primal")
    with pytest.raises(
        LookupError, match="nothing was sent up to /srv/other; on the builder there is /home/ubuntu/note, /srv"
    ):
        done.upload("/srv/other")
    assert here.leftovers == []


def test_before_anything_was_baked(here: Bakery) -> None:
    assert [*here.bakes, *here.images, *here.leftovers, *here.calls] == []
    with pytest.raises(LookupError, match="no bake has launched a builder; the calls made: none"):
        here.last  # noqa: B018
    assert here.story() == "calls: none"


def test_two_stages(here: Bakery, appserver: Path) -> None:
    primal = amibake.build_primal(app="shop", node_version="22")
    with amibake.launch(primal):
        pass
    carnivore = amibake.build_carnivore(primal.id, appserver, app="shop", node_env="production")
    assert [image.id for image in here.images] == [carnivore.id, primal.id]
    assert [one.script(name).status for one, name in zip(here.bakes, ("primal", "carnivore"), strict=True)] == [0, 0]
    assert here.last.source_ami == primal.id
    assert here.last.upload("/tmp/appserver").files() == ["cluster.js", "package.json"]
    assert here.last.script("carnivore").environment["NODE_ENV"] == "production"


def test_an_image_of_an_earlier_bake(here: Bakery, appserver: Path) -> None:
    older = here.add_baked_image(app="shop", stage="primal", name="old")
    here.clock.sleep(1)
    newer = here.add_baked_image(app="shop", stage="primal")
    here.add_baked_image(app="shop", stage="carnivore", node_env="production")
    found = amibake.find_image(app="shop", stage="primal")
    assert found is not None
    assert found.id == newer != older
    assert here.images == []
    amibake.build_carnivore(amibake.ImageFilter(owners="self", filters={"name": "old"}), appserver, app="shop")
    assert here.last.source_ami == older


def test_a_recipe_with_a_script_of_the_users_own(here: Bakery, tmp_path: Path) -> None:
    (tmp_path / "own.sh").write_text("#!/bin/sh\necho own\n")
    here.script("primal").exits(0, stdout="hello from a test\n")
    told: list[amibake.events.Event] = []
    amibake.build_primal(app="shop", node_version="22", script=tmp_path / "own.sh", on_event=told.append)
    assert here.last.script("primal").script == "#!/bin/sh\necho own\n"
    assert "hello from a test" in map(str, told)


def test_a_script_that_takes_its_time(here: Bakery) -> None:
    here.script("slow thing").does(lambda: here.clock.sleep(3600))
    with pytest.raises(amibake.WaitTimeout):
        bake(amibake.Shell(inline=["slow thing"]), max_build_time="30m")
    assert here.leftovers == []
    bake(amibake.Shell(inline=["slow thing"]), max_build_time="2h")


def test_a_script_that_really_runs(here: Bakery, tmp_path: Path) -> None:
    (tmp_path / "provision").write_text(
        "#!/bin/bash\nset -eu\nsudo -E apt-get -y install nginx\necho $GREETING > ~/greeting\nnginx -t || exit 7\n"
    )
    script = amibake.Shell(script=tmp_path / "provision", environment_vars={"GREETING": "hello"})
    said: list[str] = []
    here.script(str(tmp_path / "provision")).runs(apt_get='echo "would: $*"', nginx="exit 0")
    amibake.bake(builder(), [script], on_event=lambda event: said.append(str(event)))
    assert "would: -y install nginx" in said
    assert here.last.upload("greeting").text() == "hello\n"
    assert here.last.script(str(tmp_path / "provision")).status == 0
    here.script(str(tmp_path / "provision")).runs(apt_get="exit 0", nginx="exit 1")
    with pytest.raises(amibake.ScriptFailed, match="exited with status 7"):
        amibake.bake(builder(), [script])
    assert here.last.script("nginx -t").status == 7
    assert here.leftovers == []


def builder() -> amibake.Builder:
    return amibake.Builder(ami_name="x {{uuid}}", source_ami=amibake.DEBIAN_12, instance_type="t3.micro")


def test_faults_by_name(here: Bakery) -> None:
    fault = here.fault("RunInstances", "InsufficientInstanceCapacity")
    with pytest.raises(amibake.NoCapacity):
        bake()
    assert fault.met > 0
    fault.lift()
    throttled = here.fault("DescribeImages", "RequestLimitExceeded", times=2)
    bake()
    assert throttled.met == 2
    here.fault("CreateImage", "UnauthorizedOperation", "not you")
    here.fault("DescribeInstances", "UnauthorizedOperation")
    with pytest.raises(amibake.NotAuthorized):
        bake()
    assert len(here.images) == 1  # looking is not refused
    assert here.leftovers == []
    with pytest.raises(ValueError, match=r"EC2 has no call 'RunInstance'; RunInstances\?"):
        here.fault("RunInstance", "X")
    with pytest.raises(ValueError, match=r"EC2 has no call 'Cook'$"):
        here.fault("Cook", "X")


def test_lost_connections(here: Bakery, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(300_000))
    here.drops_connection(after=100_000, times=2)
    bake(amibake.File(tmp_path / "big", "/srv/big"))
    assert here.last.upload("/srv/big").bytes() == bytes(300_000)
    here.script("do it").drops_connection()
    with pytest.raises(amibake.ConnectionLost):
        bake(amibake.Shell(inline=["do it"]))
    bake(amibake.Shell(inline=["do it"]))
    assert here.leftovers == []


def test_leftovers_of_a_program_that_leaves_some(here: Bakery) -> None:
    ec2 = boto3.client("ec2", region_name="eu-west-1")
    ec2.create_security_group(GroupName="forgotten", Description="x")
    instance = amibake.launch(here.place.source_ami)
    assert here.leftovers[0] == "forgotten"
    assert instance.id in here.leftovers
    assert f"left behind: {instance.id}" in here.story()
    assert [call.action for call in here.calls if call.region == "eu-west-1"] == ["CreateSecurityGroup"]
    assert here.bakes == []


def test_other_regions(here: Bakery) -> None:
    ours = here.add_image(name="debian-12-amd64-x", region="eu-west-1")
    image = bake(source_ami=ours, region="eu-west-1")
    assert here.last.region == "eu-west-1"
    assert [one.ids for one in here.images] == [{"eu-west-1": image.id}]


def test_nothing_goes_out(here: Bakery) -> None:
    client = boto3.client("ec2", endpoint_url="https://ec2.example.com")
    with pytest.raises(ConnectionError, match=r"a bakery lets nothing out: POST ec2\.example\.com is a call"):
        client.describe_instances()
    with pytest.raises(ConnectionError, match="a bakery lets nothing out"):
        boto3.client("freetier").get_free_tier_usage()
    assert boto3.client("sts").get_caller_identity()["Account"]


def test_a_server_on_this_machine_is_reached(here: Bakery) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.handle_request)
    serving.start()
    s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server.server_port}")
    assert s3.get_object(Bucket="b", Key="k")["Body"].read() == b"{}"
    serving.join()
    server.server_close()
