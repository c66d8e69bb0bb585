"""User data: what is added to the user's own, what cloud-init makes of it, and the SSH host key that comes by it."""

from __future__ import annotations

import json
import logging
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest

import amibake
from amibake import flow
from amibake.ec2.source import SourceImage
from amibake.events import Event, Waiting
from amibake.host import Host
from amibake.sandbox.userdata import meant_by
from amibake.ssh.keys import KeyPair, make_key_pair
from amibake.testing import Place, exits
from amibake.userdata import Part, combined

OWN = {
    "script": "#!/bin/sh\necho mine\n",
    "cloud-config": "#cloud-config\npackages: [nginx]\n",
    "include": "#include\nhttps://example.com/more\n",
    "template": "## template: jinja\n#cloud-config\nhostname: {{ v1.instance_id }}\n",
    "not ASCII": "#!/bin/sh\necho größe\n",
    "no newline": "#!/bin/sh\ntrue",
}
MESSAGE = """Content-Type: multipart/mixed; boundary="MINE"
MIME-Version: 1.0

--MINE
Content-Type: text/x-shellscript

#!/bin/sh
echo one
--MINE
Content-Type: text/cloud-config

#cloud-config
{}
--MINE--
"""


def bake(place: Place, *steps: Any, how: dict[str, Any] | None = None, **options: Any) -> Any:
    builder = amibake.Builder(
        **{"ami_name": "shop {{timestamp}}", "source_ami": place.source_ami, "instance_type": "t3.micro", **options}
    )
    return amibake.bake(builder, steps, session=place.session, **(how or {}))


def parts(text: str) -> list[tuple[str, str]]:
    """Kind and content of each part, found by the parser that cloud-init uses."""
    found = [part for part in message_from_string(text).walk() if not part.is_multipart()]
    return [(part.get_content_type(), payload(part)) for part in found]


def payload(part: Any) -> str:
    content: bytes = part.get_payload(decode=True)
    return content.decode()


def given(place: Place) -> str:
    """The newest builder's user data."""
    return list(place.machines.launches.values())[-1].user_data or ""


class TestCombined:
    @pytest.mark.parametrize("own", OWN.values(), ids=OWN.keys())
    def test_the_users_own_stays_as_it_is_between_ours(self, own: str) -> None:
        before, after = Part("text/cloud-boothook", "#!/bin/sh\n"), Part("text/cloud-config", "#cloud-config\n{}\n")
        found = parts(combined([before], own, [after]))
        assert [kind for kind, _ in found] == ["text/cloud-boothook", "text/plain", "text/cloud-config"]
        assert found[1][1].rstrip("\n") == own.rstrip("\n")

    def test_a_message_of_the_users_own_keeps_its_parts(self) -> None:
        found = parts(combined([Part("text/cloud-boothook", "#!/bin/sh\n")], MESSAGE))
        assert [kind for kind, _ in found] == ["text/cloud-boothook", "text/x-shellscript", "text/cloud-config"]
        assert found[1][1] == "#!/bin/sh\necho one"

    def test_what_is_for_something_else_is_not_touched(self) -> None:
        for own in ("colour=blue", '{"ignition": {}}', "<powershell></powershell>"):
            with pytest.raises(ValueError, match="not for cloud-init"):
                combined([Part("text/cloud-boothook", "#!/bin/sh\n")], own)

    def test_what_ec2_has_no_room_for(self) -> None:
        with pytest.raises(ValueError, match="16,384"):
            combined([Part("text/cloud-boothook", "#!/bin/sh\n")], f"#!/bin/sh\n#{'x' * 16300}\n")

    def test_no_part_shows_its_text(self) -> None:
        assert "secret" not in repr(Part("text/cloud-config", "secret"))


class TestTheTimer:
    @pytest.mark.parametrize("own", [None, OWN["script"]])
    def test_is_in_the_user_data_of_images_that_are_known(self, place: Place, own: str | None) -> None:
        bake(place, user_data=own, max_build_time=1000)
        hook, *rest = parts(given(place))
        assert hook[0] == "text/cloud-boothook"
        assert hook[1].startswith("#!/bin/sh\nset -- keep 11")
        assert [text.rstrip("\n") for _, text in rest] == ([own.rstrip("\n")] if own else [])

    def test_is_not_where_nobody_knows_of_cloud_init(self, place: Place) -> None:
        unknown = place.ec2.add_image(name="ours", owner_id="123456789012")
        bake(place, source_ami=unknown)
        assert given(place) == ""

    @pytest.mark.parametrize(
        ("image", "known"),
        [
            (SourceImage("ami-1", "al2023-ami-2023.6-kernel-6.1-x86_64", "137112412989", "2025", "amazon"), True),
            (SourceImage("ami-1", "al2023-ami-2023.6-kernel-6.1-x86_64", "123456789012", "2025"), False),
            (SourceImage("ami-1", "bottlerocket-aws-k8s-1.30-x86_64", "092701018921", "2025", "amazon"), False),
            (SourceImage("ami-1", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble", "099720109477", "2025"), True),
        ],
    )
    def test_is_where_the_image_is_of_a_known_maker(self, image: SourceImage, known: bool) -> None:
        assert image.has_cloud_init is known

    def test_is_not_without_the_metadata_service(self, place: Place) -> None:
        bake(place, metadata_options={"http_endpoint": "disabled"}, user_data=OWN["script"])
        assert given(place) == OWN["script"]

    @pytest.mark.parametrize(
        ("own", "said"), [("colour=blue", "not for cloud-init"), (f"#!/bin/sh\n#{'x' * 16300}\n", "EC2 takes 16,384")]
    )
    def test_is_left_out_with_a_warning_where_it_cannot_be_added(self, place: Place, own: str, said: str) -> None:
        image = bake(place, user_data=own)
        assert given(place) == own
        (warning,) = image.warnings
        assert warning.startswith("until it is logged in to, the builder will not end itself: ")
        assert said in warning


class Receiver:
    """Has the newest machine show the host key of its user data, once somebody has seen another one."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.seen: list[str] = []
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Waiting) and "shows the SSH host key" in event.seen:
            self.seen.append(event.seen)
            self.take()

    def take(self) -> None:
        self.place.machines.newest._host_key = key_in(given(self.place)).signer()


def key_in(user_data: str) -> KeyPair:
    keys = meant_by(user_data).host_keys
    return KeyPair(keys["ssh_host_ed25519_key.pub"].strip(), keys["ssh_host_ed25519_key"].encode())


class TestTheHostKey:
    @pytest.mark.parametrize("own", [None, OWN["script"], OWN["cloud-config"]])
    def test_is_demanded_at_the_first_connection_and_waited_for(self, place: Place, own: str | None) -> None:
        receiver = Receiver(place)
        bake(place, ssh_host_key="inject", user_data=own, how={"on_event": receiver})
        assert place.machines.newest.logins == 1
        assert len(receiver.seen) == 1
        config = next(text for kind, text in reversed(parts(given(place))) if kind == "text/cloud-config")
        settings = json.loads(config.removeprefix("#cloud-config\n"))
        assert settings["ssh_deletekeys"] is True
        assert settings["ssh_keys"]["ed25519_public"] == key_in(given(place)).public

    def test_is_another_one_in_each_bake(self, place: Place) -> None:
        for _ in range(2):
            bake(place, ssh_host_key="inject", how={"on_event": Receiver(place)})
        assert len({key_in(launch.user_data or "").public for launch in place.machines.launches.values()}) == 2

    def test_never_comes_and_nobody_logs_in(self, place: Place) -> None:
        with pytest.raises(amibake.HostKeyChanged, match=r"where ssh-ed25519 .* is pinned") as caught:
            bake(place, ssh_host_key="inject", ssh_timeout=30)
        assert place.machines.newest.logins == 0
        assert "cloud-init" in caught.value.hint
        assert place.clock.now() > 30

    def test_is_checked_strictly_from_then_on(self, place: Place) -> None:
        def change(host: Host) -> None:
            place.machines.newest.change_host_key()
            before = place.clock.now()
            try:
                host.reconnect()
            finally:
                assert place.clock.now() - before < 5

        with pytest.raises(amibake.HostKeyChanged):
            bake(place, Step(change), ssh_host_key="inject", how={"on_event": Receiver(place)})

    def test_shows_nowhere(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        receiver, launched = Receiver(place), list[Any]()

        def leak(host: Host) -> None:
            private = key_in(given(place)).private.decode()
            place.machines.behaviour.on("cat key", exits(0, stdout=private))
            done = host.run("cat key")
            assert done.stdout.strip() == "***"
            raise amibake.ScriptFailed(private, status=1)

        def launch(*given: Any) -> Any:
            launched.append(real(*given))
            return launched[0]

        real = flow._launch
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flow, "_launch", launch)
            with pytest.raises(amibake.ScriptFailed) as caught:
                bake(place, Step(leak), ssh_host_key="inject", how={"on_event": receiver})
        shown = f"{receiver.events!r}{caught.value!r}{caught.value}{launched!r}{caplog.text}"
        body = key_in(given(place)).private.decode().splitlines()[1:-1]
        assert not [line for line in body if line in shown]

    def test_is_for_a_launch_and_given_as_it_is_to_go_on(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        place.machines.behaviour.on("make it", exits(1))
        keep = {"on_error": "keep", "on_event": Receiver(place)}
        with pytest.raises(amibake.ScriptFailed) as caught:
            bake(place, amibake.Shell(inline=["make it"]), ssh_host_key="inject", how=keep)
        public = key_in(given(place)).public
        assert repr(public) in caught.value.hint
        with pytest.raises(amibake.InvalidOption, match='ssh_host_key: "inject" is for launching'):
            bake(place, ssh_host_key="inject", how={"resume": caught.value.build})
        other = make_key_pair().public
        before = place.clock.now()
        with pytest.raises(amibake.HostKeyChanged):
            bake(place, ssh_host_key=other, how={"resume": caught.value.build, "on_error": "keep"})
        assert place.clock.now() - before < 60
        bake(place, ssh_host_key=public, how={"resume": caught.value.build})

    def test_that_the_image_brings_is_demanded(self, place: Place) -> None:
        receiver = Receiver(place)
        known = make_key_pair()
        receiver.take = lambda: setattr(place.machines.newest, "_host_key", known.signer())  # type: ignore[method-assign]
        bake(place, ssh_host_key=known.public, how={"on_event": receiver})
        assert len(receiver.seen) == 1
        bake(place, ssh_host_key=known.signer().fingerprint, how={"on_event": receiver})
        assert len(receiver.seen) == 2
        with pytest.raises(amibake.HostKeyChanged):
            bake(place, ssh_host_key=f"SHA256:{'x' * 43}", ssh_timeout=20)

    @pytest.mark.parametrize(
        ("options", "mistake"),
        [
            ({"user_data": "colour=blue"}, "not for cloud-init"),
            ({"user_data": f"#!/bin/sh\n#{'x' * 16000}\n"}, "EC2 takes 16,384"),
            ({"metadata_options": {"http_endpoint": "disabled"}}, "http_endpoint"),
        ],
    )
    def test_that_cannot_be_given_is_a_mistake_beforehand(
        self, place: Place, options: dict[str, Any], mistake: str
    ) -> None:
        with pytest.raises(amibake.InvalidOption, match=mistake) as caught:
            bake(place, ssh_host_key="inject", **options)
        assert caught.value.mistakes[0].startswith("ssh_host_key: ")
        assert place.ec2.requests == []

    @pytest.mark.parametrize(
        "wrong",
        [
            "",
            "trust",
            "ssh-ed25519",
            "builder ssh-ed25519 AAAA",
            "SHA256:short",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            5,
        ],
    )
    def test_that_is_none_is_refused(self, place: Place, wrong: Any) -> None:
        with pytest.raises(amibake.InvalidOption, match="ssh_host_key: "):
            bake(place, ssh_host_key=wrong)


class Step:
    """A provisioner that does whatever a test wants."""

    def __init__(self, do: Any) -> None:
        self._do = do

    def check(self) -> None: ...

    def provision(self, host: Host) -> None:
        self._do(host)


class TestTheSandboxesStandIn:
    """What it makes of user data."""

    @pytest.fixture
    def everything(self) -> str:
        key = make_key_pair()
        pair = {"ed25519_private": key.private.decode(), "ed25519_public": key.public}
        config = {"ssh_deletekeys": True, "ssh_keys": pair, "packages": ["nginx"]}
        return combined(
            [Part("text/cloud-boothook", "#!/bin/sh\necho boot\n")],
            "#!/bin/sh\necho größe\n",
            [Part("text/cloud-config", f"#cloud-config\n{json.dumps(config)}")],
        )

    def test_takes_a_message_apart(self, everything: str) -> None:
        meant = meant_by(everything)
        assert [hook.rstrip("\n") for hook in meant.boothooks] == ["#!/bin/sh\necho boot"]
        assert meant.scripts == ["#!/bin/sh\necho größe\n"]
        assert sorted(meant.host_keys) == ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]
        assert meant.ignored == ["user data: of #cloud-config, packages is not interpreted here"]

    @pytest.mark.parametrize(
        ("user_data", "what"),
        [
            ("#!/bin/sh\n", ("scripts", ["#!/bin/sh\n"])),
            ("#cloud-boothook\n#!/bin/sh\n", ("boothooks", ["#!/bin/sh\n"])),
            (MESSAGE, ("scripts", ["#!/bin/sh\necho one"])),
            ("colour=blue", ("ignored", ["user data that is not a #! script"])),
            (OWN["cloud-config"], ("ignored", ["user data: #cloud-config is not interpreted here, unless it is JSON"])),
            ("", ("ignored", [])),
        ],
    )
    def test_knows_what_it_is_given(self, user_data: str, what: tuple[str, list[str]]) -> None:
        meant = vars(meant_by(user_data))
        assert meant.pop(what[0]) == what[1]
        assert not any(meant.values())

    @pytest.mark.parametrize(
        "config",
        [
            "null",
            "[1, 2]",
            '{"ssh_keys": [1]}',
            '{"ssh_keys": {"rsa_private": 5}}',
            '{"ssh_keys": {"../../../tmp/evil_private": "x"}}',
        ],
    )
    def test_does_nothing_about_what_cloud_init_could_do_nothing_with(self, config: str) -> None:
        meant = meant_by(f"#cloud-config\n{config}\n")
        assert meant.host_keys == {}
        assert len(meant.ignored) == 1
