"""Every option of Shell by its effect on one machine, what is left of a script whose time was up, and secrets."""

from __future__ import annotations

import base64
import itertools
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_ec2 import EC2Client

import amibake
from amibake import waiting
from amibake.events import Event, Output, Warned, to_logging
from amibake.sandbox import LocalCloud
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import KeyPair, make_key_pair

TOKEN = "s3cr3t 'tök%en/+\nsecond line of it\nxy"


@dataclass(frozen=True)
class Bench:
    """The machine, and what came back from it."""

    host: SSHHost
    key: KeyPair
    events: list[Event]

    def run(self, **options: Any) -> list[str]:
        """What the script prints, to both streams."""
        self.events.clear()
        shell = amibake.Shell(**options)
        shell.check()
        shell.provision(self.host)
        return self.printed

    @property
    def printed(self) -> list[str]:
        return [event.line for event in self.events if isinstance(event, Output)]

    def sh(self, command: str, *, sudo: bool = False) -> str:
        done = self.host.run(command, capture=True, timeout=60, sudo=sudo)
        assert done.status == 0, f"{command}: {done}"
        return done.stdout.strip()

    def processes(self) -> set[str]:
        """All that run: pid and command."""
        lines = self.sh("ps -eo pid=,ppid=,args=").splitlines()
        return {" ".join(line.split()) for line in lines if "ps -eo" not in line and "sshd" not in line}


@pytest.fixture(scope="module")
def bench(cloud: LocalCloud, ec2: EC2Client) -> Iterator[Bench]:
    key, name = make_key_pair("ed25519", comment="e2e"), "e2e-shell"
    ec2.import_key_pair(KeyName=name, PublicKeyMaterial=key.public.encode())
    group = ec2.create_security_group(GroupName=name, Description="e2e")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0")
    image = ec2.describe_images(Filters=[{"Name": "name", "Values": ["debian-12-amd64-*"]}])["Images"][0]["ImageId"]
    events: list[Event] = []

    def emit(event: Event) -> None:
        to_logging(event)
        events.append(event)

    launched = amibake.launch(
        image, instance_type="t3.micro", key_name=name, security_group_ids=[group], session=cloud.session
    )
    with (
        launched as instance,
        connect(
            instance.public_ip,
            username="admin",
            key=key,
            deadline=waiting.Deadline(600),
            emit=emit,
            timeout=60,
            data={"Host": instance.public_ip},
        ) as host,
    ):
        yield Bench(host, key, events)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_key_pair(KeyName=name)


@contextmanager
def login(bench: Bench, username: str) -> Iterator[SSHHost]:
    address = bench.host.data["Host"]
    deadline = waiting.Deadline(600)
    with connect(address, username=username, key=bench.key, deadline=deadline, emit=bench.events.append) as host:
        yield host


def test_root_with_the_environment_and_without_a_password(bench: Bench) -> None:
    asked = ["id -un", 'echo "$HOME $X $AMIBAKE_RUN" | cut -d" " -f1,2', "touch /etc/made-by-root"]
    assert bench.run(inline=asked, sudo=True, environment_vars={"X": "it's"}) == ["root", "/root it's"]
    assert bench.sh("stat -c %U /etc/made-by-root") == "root"
    assert bench.run(inline=["id -un"]) == ["admin"]


def test_a_user_who_may_not_become_root(bench: Bench) -> None:
    bench.sh("useradd -m -s /bin/sh plain && cp -r ~admin/.ssh ~plain && chown -R plain: ~plain", sudo=True)
    with login(bench, "plain") as host:
        with pytest.raises(amibake.ScriptFailed) as caught:
            amibake.Shell(inline=["touch /tmp/ran"], sudo=True).provision(host)
        assert caught.value.message.startswith("the inline script: can't become root on ")
        assert "password" in caught.value.message
        assert caught.value.hint
        assert host.run("test -e /tmp/ran").status == 1
        before = bench.processes()
        with pytest.raises(amibake.WaitTimeout, match=r"; it was killed$"):
            host.run("trap '' TERM; (setsid sleep 1000 &); sleep 1000", timeout=1, capture=True)
        assert bench.processes() == before
        stubborn = "/usr/local/bin/stubborn"
        bench.sh(
            f"printf '#!/bin/sh\\ntrap \"\" TERM; sleep 7000; sleep 7001' >{stubborn}; chmod 755 {stubborn}", sudo=True
        )
        bench.sh(f"echo 'plain ALL = (root) NOPASSWD: {stubborn}' >/etc/sudoers.d/plain", sudo=True)
        with pytest.raises(amibake.WaitTimeout, match=r"; what it started could not all be killed: .*\d+ stubborn"):
            host.run(f"sudo -n {stubborn}; true", timeout=1, capture=True)
        bench.sh("pkill -9 -x stubborn; pkill -x sleep", sudo=True)


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Path]:
    """Scripts that are not as people write them."""
    contents = {
        "crlf": b"#!/bin/sh -e\r\necho crlf\r\n",
        "bom": b"\xef\xbb\xbf#!/bin/sh\necho bom\n",
        "no shebang $(x)": b"echo shell ${BASH_VERSION:+bash} $0\n",
        "arguments": b"#! /usr/bin/env  sh\t\necho argument\n",
        "one argument": b"#!/usr/bin/perl -w -l\nprint 'perl';\n",
        "long\nline": b"#!/bin/sh\necho " + b"x" * 100_000 + b" | wc -c\n",
        "empty": b"",
        "no newline": b"#!/bin/sh\nprintf end",
        "-rf": b"#!/bin/sh\ncat; echo read\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in contents}


def test_scripts_of_every_kind_where_nothing_may_be_executed(bench: Bench, odd: dict[str, Path]) -> None:
    assert "noexec" in bench.sh("grep ' /dev/shm ' /proc/mounts")
    printed = bench.run(scripts=list(odd.values()), remote_folder="/dev/shm")
    assert printed[:2] == ["crlf", "bom"]
    assert re.fullmatch(r"shell bash /dev/shm/amibake-\w+/script\.sh", printed[2])
    assert printed[3:] == ["argument", "perl", "100001", "end", "read"]
    assert bench.sh("ls /dev/shm") == ""


def test_where_a_script_is_put_and_that_it_stays(bench: Bench) -> None:
    assert bench.run(inline=["echo $0"], remote_folder="/var/tmp", remote_file="a b.sh") == ["/var/tmp/a b.sh"]
    assert bench.run(inline=["echo $0"], remote_path="scripts/it's") == ["./scripts/it's"]
    assert bench.run(inline=["stat -c '%a %U' $0"], remote_path="/var/tmp/kept.sh", skip_clean=True) == ["700 admin"]
    assert bench.sh("ls -d /var/tmp/*.sh scripts/* 2>/dev/null; true") == "/var/tmp/kept.sh"


def test_other_ways_to_run_it(bench: Bench, odd: dict[str, Path]) -> None:
    packers = "chmod +x {{.Path}}; {{ .Vars }} sudo -E env {{.Vars}} {{.Path}}"
    assert bench.run(inline=["id -un; echo $X"], env={"X": "1 2"}, execute_command=packers) == ["root", "1 2"]
    assert bench.run(inline=["echo $0 $1"], execute_command="sh {{.Path}} one", sudo=True)[0].endswith(".sh one")
    assert bench.run(inline=["false", "echo ${BASH_VERSION:+bash}"], inline_shebang="/bin/bash") == ["bash"]
    with pytest.raises(amibake.ScriptFailed, match="status 2"):
        bench.run(script=odd["crlf"], binary=True)


def test_statuses_and_pauses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(waiting.clock, "sleep", slept.append)
    bench.run(inline=["exit 9"], valid_exit_codes=[0, 9], pause_after=77)
    assert slept == [77]
    with pytest.raises(amibake.ScriptFailed) as caught:
        bench.run(inline=["echo last; exit 8"], valid_exit_codes=[0, 9])
    assert (caught.value.status, caught.value.tail) == (8, ("last",))


def test_output_of_every_kind(bench: Bench) -> None:
    lines = [
        "head -c 3000000 /dev/zero | tr '\\0' x; echo",
        r"printf 'a\000b\377c\n'",
        "for i in 1 2 3 4 5; do echo out$i; echo err$i >&2; done",
        "sleep 1000 & echo background",
        "exec >&-; echo still there >&2",
    ]
    printed = bench.run(inline=lines)
    assert sum(len(line) for line in printed if set(line) <= {"x"}) == 3_000_000
    rest = [line for line in printed if set(line) - {"x"}]
    assert "a\0b\ufffdc" in rest
    assert [line for line in rest if line.startswith("out")] == [f"out{number}" for number in range(1, 6)]
    assert [line for line in rest if line.startswith("err")] == [f"err{number}" for number in range(1, 6)]
    assert {"background", "still there"} <= set(rest)
    bench.sh("pkill -x sleep")
    assert bench.host.run("wc -c", input=bytes(10 << 20), capture=True).stdout.strip() == str(10 << 20)


def test_a_connection_that_may_end(bench: Bench) -> None:
    hang_up = ["echo before", "sudo -n kill -9 $(pgrep -f 'sshd: admin')", "sleep 1000"]
    with pytest.raises(amibake.ConnectionLost):
        bench.run(inline=hang_up, remote_path="/var/tmp/cut.sh")
    # the next one finds the connection gone before it has started
    assert bench.run(inline=["echo again"]) == ["again"]
    assert bench.run(inline=hang_up, remote_path="/var/tmp/cut.sh", expect_disconnect=True) == ["before"]
    assert bench.host.run("test -e /var/tmp/cut.sh").status == 1
    with pytest.raises(amibake.ScriptFailed, match="status 3"):
        bench.run(inline=["exit 3"], expect_disconnect=True)
    bench.sh("pkill -x sleep || true")


HARD_TO_KILL = {
    "as it is": "sleep 1000",
    "ignores": "trap '' TERM HUP; sleep 1000 & wait",
    "another session": "trap '' TERM; setsid sh -c 'sleep 1001; sleep 1002' >/dev/null 2>&1 & sleep 1000",
    "a daemon": "(setsid sh -c 'trap \"\" TERM; sleep 1001; sleep 1002' >/dev/null 2>&1 </dev/null &); sleep 1000",
    "no environment": "(setsid env -i sh -c '(/bin/sleep 1001 &); /bin/sleep 1002' >/dev/null 2>&1 &); sleep 1000",
    "root": "sudo -n sh -c 'trap \"\" TERM; sleep 1001; sleep 1002' & sleep 1000",
    "root's daemon": "sudo -n sh -c '(setsid sh -c \"sleep 1001; sleep 1002\" >/dev/null 2>&1 &)'; sleep 1000",
    "a name": "cp /bin/sleep '/var/tmp/x) S 1 1 1\n(y'; '/var/tmp/x) S 1 1 1\n(y' 1000 & wait",
    "many": "for i in $(seq 50); do (sleep 100$i & (exec sleep 101$i) &) done; sleep 1000",
    "another language": "exec perl -MPOSIX -e 'if (!fork) { setsid; $SIG{TERM} = \"IGNORE\"; sleep 1 while 1 } sleep'",
    "stopped": "sleep 1000 & kill -STOP $!; wait",
}


@pytest.mark.parametrize("sudo", [False, True])
def test_nothing_is_left_of_a_script_whose_time_is_up(bench: Bench, sudo: bool) -> None:
    bench.sh("systemd-run --unit=other --property=User=admin sleep 7777", sudo=True)
    bench.run(inline=["nohup sleep 8888 >/dev/null 2>&1 &"])
    bench.run(inline=["nohup sleep 9999 >/dev/null 2>&1 &"], sudo=True)
    before = bench.processes()
    assert {line.split(maxsplit=2)[2] for line in before} >= {"/usr/bin/sleep 7777", "sleep 8888", "sleep 9999"}
    lines = [
        "#!/bin/bash",
        "echo started",
        *(f"({line}) &" for line in HARD_TO_KILL.values()),
        "systemctl is-active ssh",
        "wait",
        "sleep 1000",
    ]
    with pytest.raises(amibake.WaitTimeout) as caught:
        bench.run(inline=lines, timeout=3, sudo=sudo)
    assert caught.value.message == "the inline script: not ended after 3 s; it was killed"
    assert set(caught.value.tail) >= {"started"}
    assert bench.processes() == before
    bench.sh("systemctl stop other; pkill -x sleep", sudo=True)


@pytest.mark.parametrize("sudo", [False, True])
@pytest.mark.parametrize("expected", [False, True])
def test_nothing_of_a_script_goes_on_when_its_connection_was_lost(bench: Bench, sudo: bool, expected: bool) -> None:
    bench.run(inline=["nohup sleep 8888 >/dev/null 2>&1 &"])
    before = bench.processes()
    lines = [
        "#!/bin/bash",
        *(f"({line}) &" for line in HARD_TO_KILL.values()),
        "sleep 1",
        "setsid sh -c 'sleep 1; sudo -n kill -9 $(pgrep -f \"sshd: admin\")' >/dev/null 2>&1 &",
        "trap '' HUP",
        "wait",
    ]
    script: dict[str, Any] = {"inline": lines, "sudo": sudo, "remote_path": "/var/tmp/cut.sh"}
    if expected:
        bench.run(**script, expect_disconnect=True)
    else:
        with pytest.raises(amibake.ConnectionLost):
            bench.run(**script)
        bench.host.reconnect()
    assert bench.processes() == before
    assert bench.host.run("test -e /var/tmp/cut.sh").status == 1
    assert not any(isinstance(event, Warned) for event in bench.events)
    bench.sh("pkill -x sleep")


def test_nothing_is_left_of_a_script_that_has_become_something_else(bench: Bench) -> None:
    before = bench.processes()
    with pytest.raises(amibake.WaitTimeout, match="; it was killed"):
        bench.run(inline=["exec env -i sleep 1000"], timeout=1)
    assert bench.processes() == before


def test_what_init_starts_is_not_the_scripts(bench: Bench) -> None:
    start = "systemd-run --unit=other sleep 7777"
    with pytest.raises(amibake.WaitTimeout, match="; it was killed"):
        bench.run(inline=[start, "sleep 1000"], sudo=True, timeout=2)
    assert bench.sh("systemctl is-active other") == "active"
    bench.sh("systemctl stop other", sudo=True)


def test_an_interrupt_ends_it_there_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.processes()

    def interrupt(_: Event) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.host, "_emits", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.host.run("trap '' TERM; echo started; sleep 1000")
    monkeypatch.undo()
    until = waiting.Deadline(30)
    while bench.processes() != before and until.remaining():
        waiting.clock.sleep(0.2)
    assert bench.processes() == before


LOOK = r"""
cat /proc/[0-9]*/cmdline | tr '\0' ' '; echo
sudo -n -u nobody sh -c 'cat /proc/[0-9]*/environ' 2>/dev/null | tr '\0' ' '; echo
"""


def test_a_secret_is_nowhere(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shows = [
        "#!/bin/bash",
        'echo "$TOKEN"; printf %s "$TOKEN" >&2; echo',
        'printf %s "$TOKEN" | base64',
        "printf '%q\n' \"$TOKEN\"",
        'set -x; : "$TOKEN"; set +x',
        "head -c 65530 /dev/zero | tr '\\0' x; echo \"$TOKEN\"",
        'for ((i = 0; i < ${#TOKEN}; i++)); do printf %s "${TOKEN:i:1}"; sleep 0.01; done; echo',
        LOOK,
        'echo "last: $TOKEN"',
    ]
    shell = amibake.Shell(inline=[*shows, "exit 5"], environment_vars={"TOKEN": amibake.Secret(TOKEN)})
    bench.events.clear()
    with pytest.raises(amibake.ScriptFailed) as failed:
        shell.provision(bench.host)
    with pytest.raises(amibake.WaitTimeout) as slow:
        bench.run(inline=[*shows, "sleep 1000"], environment_vars={"TOKEN": amibake.Secret(TOKEN)}, timeout=5)
    done = bench.host.run('echo "$T"', environment={"T": amibake.Secret(TOKEN)}, capture=True)
    told = [repr(shell), repr(done), caplog.text, *map(repr, bench.events)]
    for error in (failed.value, slow.value):
        told += [str(error), repr(error), repr(vars(error))]
    assert "last: ***" in failed.value.tail
    assert "last: ***" in slow.value.tail
    first, second, _ = TOKEN.split("\n")
    given_away = [first, second, base64.b64encode(TOKEN.encode()).decode()[:20], "s3cr3t", "second line"]
    for text, piece in itertools.product(told, given_away):
        assert piece not in text
    pattern = "s3cr[3]t"  # which does not find itself
    assert bench.host.run(f"cat /proc/[0-9]*/cmdline | grep -a {pattern}", sudo=True).status == 1
    for sudo in (False, True):
        assert bench.host.run(f"cat /proc/[0-9]*/environ | grep -a {pattern}", sudo=sudo).status == 1
    found = bench.sh(f"find / -xdev -type f -print0 | xargs -0 grep -l -a -s -e {pattern} || true", sudo=True)
    assert found == ""


def test_the_limits_of_a_host_hold_for_all_of_it(bench: Bench) -> None:
    limited = bench.host.limited(1)
    with pytest.raises(amibake.WaitTimeout):
        limited.run("sleep 1000", capture=True)
    assert bench.host.run("true").status == 0
