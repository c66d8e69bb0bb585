"""What is said when a bake fails: few lines, with the hint that helps."""

from __future__ import annotations

import pytest

from amibake import errors
from amibake.cli.problems import failure
from amibake.cli.wording import in_flags, mistake, printable
from amibake.interrupts import Interrupted
from amibake.testing import Place, exits
from tests.cli.conftest import Run


def said(done_stderr: str, *, first: str, hint: str) -> None:
    """Few lines, the first of them and the hint as they have to be."""
    lines = done_stderr.splitlines()
    assert len(lines) < 12
    assert lines[0].startswith(first)
    assert any(line.startswith("hint: ") and hint in line for line in lines)
    assert "Traceback" not in done_stderr


def test_expired_credentials_are_told_as_such(primal: Run, place: Place) -> None:
    expired = place.ec2.refuse("DescribeImages", "RequestExpired", "Request has expired.")
    done = primal("-q")
    expired.lift()
    assert done.exit_code == 4
    said(done.stderr, first="error: DescribeImages: ", hint="credentials")


def test_a_builder_that_nobody_reaches_is_told_with_the_likely_cause(primal: Run, place: Place) -> None:
    place.machines.behaviour.refuse_connections = 10_000
    done = primal("-q", "--ssh-timeout", "20s")
    assert done.exit_code == 6
    said(done.stderr, first="error: SSH at ", hint="the connection was closed before a login")
    assert "--ssh-timeout gives it longer" in done.stderr
    assert "the temporary security group admits 127.0.0.1/32 and nobody else" in done.stderr


def test_a_failing_script_leaves_room_for_as_many_of_its_lines_as_fit(primal: Run, place: Place) -> None:
    place.machines.behaviour.on("NODE_VERSION", exits(3, "".join(f"line {n}\n" for n in range(30))))
    lines = primal("-q", "--on-error", "keep").stderr.splitlines()
    assert len(lines) <= 13  # what is kept is told whole
    assert [line for line in lines if line.startswith("  | ")] == ["  | line 28", "  | line 29"]
    assert any("--resume" in line for line in lines)
    ec2 = place.session.client("ec2")
    (group,) = [one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"] if "amibake" in str(one)]
    ec2.terminate_instances(InstanceIds=list(place.machines.launches))
    place.clock.sleep(60)
    ec2.delete_security_group(GroupId=group)
    for pair in ec2.describe_key_pairs()["KeyPairs"]:
        ec2.delete_key_pair(KeyName=pair["KeyName"])


def test_a_long_message_is_cut_but_mistakes_are_not() -> None:
    told, status = failure(errors.SSHTimeout("\n".join(f"line {number}" for number in range(40))))
    assert status == 6
    assert list(told.lines) == ["error: line 0", "  line 1", "  line 2", "  … and 37 more lines"]
    told, status = failure(errors.InvalidOption(*(f"tags: {number}" for number in range(20))), {"tags"})
    assert (status, len(told.lines)) == (2, 21)
    assert told.data["message"].splitlines()[1] == "--tags: 0"


def test_of_a_long_console_the_end_is_shown_and_what_follows_it() -> None:
    console = "".join(f"\n  line {number}" for number in range(20))
    hint = f"TCP was refused\nis sshd there?\ninstance i-1 is running; its console ends with:{console}"
    told, _ = failure(errors.SSHTimeout("SSH at 192.0.2.1: not after 300 s", hint=f"{hint}\nIt is kept:\n  ssh it"))
    lines = [*(f"    line {number}" for number in range(15, 20)), "  It is kept:", "    ssh it"]
    assert told.lines[-7:] == lines
    assert len(told.lines) == 11
    assert told.data["hint"].count("line ") == 20
    assert list(told.cut) == [f"  line {number}" for number in range(15)]


def test_a_hint_can_not_move_the_cursor() -> None:
    told, _ = failure(
        errors.SSHTimeout("no", hint="its console ends with:\n  \x1b[2Jroot\x07\n  \x1b]0;title\x07login")
    )
    assert list(told.lines) == ["error: no", "hint: its console ends with:", "    root", "    login"]


def test_signals_have_the_exit_codes_of_a_shell() -> None:
    assert [failure(Interrupted(number))[1] for number in (1, 2, 15)] == [129, 130, 143]
    assert failure(KeyboardInterrupt())[1] == 130


def test_what_an_unknown_error_left_behind_is_told() -> None:
    error = RuntimeError("s3cr3t")
    error.add_note("amibake build 0123456789abcdef")
    error.add_note("left behind: instance i-1; remove it with: aws ec2 …")
    told, status = failure(error)
    assert status == 1
    assert list(told.lines)[1:] == [
        "hint: --debug shows where",
        "left behind: instance i-1; remove it with: aws ec2 …",
        "build: 0123456789abcdef",
    ]


@pytest.mark.parametrize(
    ("python", "here"),
    [
        ("give either this or security_group_filter", "give either this or --security-group-filter"),
        ("needs force_deregister=True", "needs --force-deregister"),
        ("not with encrypt_boot=False", "not with --no-encrypt-boot"),
        ('with communicator="none"', 'with communicator="none"'),
        ('with ssh_interface="instance_id"', "with --ssh-interface instance_id"),
        ("the `ssh_username`", "the --ssh-username"),
        ("of no_such_option", "of no_such_option"),
        ("bake(…, resume='0123')", "--resume 0123"),
    ],
)
def test_options_in_a_text_are_named_as_on_the_command_line(python: str, here: str) -> None:
    known = {
        "security_group_filter",
        "force_deregister",
        "encrypt_boot",
        "communicator",
        "ssh_interface",
        "ssh_username",
    }
    assert in_flags(python, known) == here


def test_a_mistake_that_names_no_option_stays_as_it_is() -> None:
    assert mistake("Shell: script: not there", {"script"}) == "Shell: script: not there"
    assert mistake("tags: not there", {"tags"}) == "--tags: not there"
    assert mistake("it failed", {"tags"}) == "it failed"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("10 %\r55 %\r100 %\r", "100 %"),
        ("\x1b]0;title\x07text", "text"),
        ("a\tb", "a\tb"),
        ("é – 日本", "é – 日本"),
    ],
)
def test_what_moves_a_cursor_is_not_printed(line: str, shown: str) -> None:
    assert printable(line) == shown
