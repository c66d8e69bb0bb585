"""`amibake build`: what it bakes, what it prints, and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import amibake
from amibake import errors, recipes
from amibake.cli.sources import latest_primal
from amibake.testing import Place, exits
from tests.cli.conftest import Run

AMI = r"ami-[0-9a-f]{8,17}"


def test_a_primal_image_is_baked_of_what_the_options_say(primal: Run, place: Place) -> None:
    done = primal("--nvm-version", "v0.40.0", "--tags", "team=web", "--tags", "note=a=b", "--ssh-timeout", "90")
    assert done.exit_code == 0, done.stderr
    (image,) = place.session.client("ec2").describe_images(Owners=["self"])["Images"]
    assert re.fullmatch(rf"shop-primal \d+: {image['ImageId']} in us-east-1\n", done.stdout)
    (ran, *_) = place.machines.newest.ran
    assert (ran.environment["NODE_VERSION"], ran.environment["NVM_VERSION"]) == ("22", "v0.40.0")
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    assert (tags["team"], tags["note"], tags["amibake:stage"]) == ("web", "a=b", "primal")


def test_a_carnivore_image_is_baked_on_the_latest_primal(primal: Run, run: Run, place: Place, appserver: Path) -> None:
    below = primal("-q").stdout.strip()
    words = ("--app", "shop", "--source-ami", "latest-primal", "--instance-type", "t3.micro")
    done = run("build", "carnivore", "--appserver", appserver, "--node-env", "production", *words, "-q")
    assert done.exit_code == 0, done.stderr
    (image,) = place.session.client("ec2").describe_images(ImageIds=[done.stdout.strip()])["Images"]
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    assert (tags["amibake:source-ami"], tags["amibake:node-env"]) == (below, "production")


def test_without_a_primal_image_the_command_that_makes_one_is_named(run: Run, place: Place, appserver: Path) -> None:
    done = run("build", "carnivore", "--app", "shop", "--appserver", appserver, "--source-ami", "latest-primal")
    assert done.exit_code == 3
    assert done.stderr.splitlines() == [
        "error: --source-ami: there is no primal image of shop in us-east-1",
        "hint: bake one first: amibake build primal --app shop",
    ]


def test_a_sandbox_of_its_own_has_no_primal_image_and_the_way_to_one_is_named(place: Place) -> None:
    with pytest.raises(errors.SourceImageNotFound) as caught:
        latest_primal("shop", {}, place.session)
    assert "amibake sandbox up" in caught.value.hint


def test_quiet_prints_the_id_alone(primal: Run) -> None:
    done = primal("-q")
    assert re.fullmatch(rf"{AMI}\n", done.stdout)
    assert done.stderr == ""


def test_quiet_tells_what_stays_behind_on_standard_error(primal: Run, place: Place) -> None:
    fault = place.ec2.refuse("DeleteKeyPair")
    done = primal("-q")
    fault.lift()
    ec2 = place.session.client("ec2")
    (pair,) = ec2.describe_key_pairs()["KeyPairs"]
    ec2.delete_key_pair(KeyName=pair["KeyName"])
    assert (done.exit_code, re.fullmatch(r"ami-\w+\n", done.stdout) is not None) == (0, True)
    assert done.stderr.startswith(f"left behind: key pair {pair['KeyName']}")
    assert len(done.stderr.splitlines()) == 1


def test_lines_for_people_have_a_time_each(primal: Run, place: Place) -> None:
    place.machines.behaviour.on("NODE_VERSION", exits(0, "\x1b[31m10 %\r100 %\x1b[0m\n"))
    done = primal()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in done.stderr.splitlines())
    assert any(line.endswith(" launch the builder") for line in done.stderr.splitlines())
    assert re.search(r"^\S+   \| 100 %$", done.stderr, re.MULTILINE)


def test_json_lines_end_with_the_result(primal: Run, place: Place) -> None:
    done = primal("--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines].count("result") == 1
    assert lines[1] == {"event": "step_started", "time": lines[1]["time"], "step": "look up what is needed"}
    assert lines[-1]["event"] == "result"
    image = lines[-1]["image"]
    found = amibake.find_image(app="shop")
    assert found is not None
    assert (image["id"], image["name"], image["tags"]) == (found.id, found.name, dict(found.tags))
    assert (lines[0]["event"], lines[0]["build"]) == ("build_started", found.tags["amibake:build"])
    assert image["timings"].keys() == {line["step"] for line in lines if line["event"] == "step_finished"}
    assert "launch the builder" in done.stderr


def test_json_lines_end_with_the_error(primal: Run, place: Place) -> None:
    place.machines.behaviour.on("NODE_VERSION", exits(3, stderr="npm ERR! no such thing\n"))
    done = primal("--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    last = lines[-1]
    assert (last["event"], last["error"], last["exit_code"]) == ("error", "ScriptFailed", 11)
    assert last["tail"] == ["npm ERR! no such thing"]
    assert re.fullmatch("[0-9a-f]{16}", last["build"])
    assert {"event": "output", "stream": "stderr", "line": "npm ERR! no such thing"}.items() <= lines[
        [line["event"] for line in lines].index("output")
    ].items()


def test_only_one_way_of_telling_can_be_asked_for(primal: Run, place: Place) -> None:
    done = primal("--json", "-q")
    assert done.exit_code == 2
    assert "only one of --plain, --json and --quiet" in done.stderr
    assert json.loads(done.stdout)["exit_code"] == 2


def test_a_failed_script_is_told_with_its_last_lines(primal: Run, place: Place) -> None:
    place.machines.behaviour.on("NODE_VERSION", exits(3, "".join(f"line {n}\n" for n in range(30))))
    done = primal("-q")
    assert (done.exit_code, done.stdout) == (11, "")
    lines = done.stderr.splitlines()
    assert len(lines) < 12
    assert re.match("error: .*primal.*status 3", lines[0])
    assert "  | line 29" in lines
    assert "Traceback" not in done.stderr


def test_debug_shows_where_an_error_came_from(primal: Run, place: Place) -> None:
    place.machines.behaviour.on("NODE_VERSION", exits(3))
    assert "Traceback" in primal("--debug").stderr


def test_wrong_options_are_named_as_on_the_command_line(primal: Run, place: Place) -> None:
    done = primal(
        *("--spot-tags", "a=b", "--kms-key-id", "alias/x", "--ssh-port", "none", "--metadata-options"),
        *('{"http_tokens": "maybe"}', "--node-source", "apt"),
    )
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "error: 5 mistakes",
        '  --node-source: \'apt\' is neither "nvm" nor "tarball"',
        "  --metadata-options: http_tokens: has to be 'required' or 'optional'",
        "  --ssh-port: has to be a whole number",
        "  --spot-tags: only for a spot builder, which --spot-price makes it",
        "  --kms-key-id: there is nothing to encrypt without --encrypt-boot",
    ]
    assert place.machines.launches == {}


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (("--tags", "web"), "--tags: number 1 has no =; it has to be KEY=VALUE"),
        (("--assume-role", "{"), "--assume-role: not JSON: "),
        (("--environment-vars", "NOT_THERE"), "--environment-vars: NOT_THERE has no value here"),
        (("--source-ami", "debian"), "--source-ami: an image's id, debian-12, "),
    ],
)
def test_what_cannot_be_read_is_a_mistake_of_its_option(
    primal: Run, place: Place, words: tuple[str, ...], mistake: str
) -> None:
    done = primal(*words)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {mistake}")


def test_a_variable_of_the_environment_reaches_the_script_and_is_shown_nowhere(
    primal: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPM_TOKEN", "s3cr3t-t0k3n")
    place.machines.behaviour.on("NODE_VERSION", exits(0, "with s3cr3t-t0k3n\n"))
    done = primal("--environment-vars", "NPM_TOKEN", "--environment-vars", "COLOUR=blue")
    (ran, *_) = place.machines.newest.ran
    assert (ran.environment["NPM_TOKEN"], ran.environment["COLOUR"]) == ("s3cr3t-t0k3n", "blue")
    assert "with ***" in done.stderr
    assert "s3cr3t" not in done.output


@pytest.mark.parametrize(
    "error",
    [
        errors.SourceImageNotFound("x"),
        errors.NotAuthorized("x"),
        errors.NoCapacity("x"),
        errors.SSHTimeout("x"),
        errors.AuthenticationFailed("x"),
        errors.HostKeyChanged("x"),
        errors.ConnectionLost("x"),
        errors.UploadFailed("x"),
        errors.ImageFailed("x"),
        errors.WaitTimeout("x"),
        errors.SandboxUnavailable("x"),
        errors.AmibakeError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_kind_of_error_has_its_exit_code(
    primal: Run, monkeypatch: pytest.MonkeyPatch, error: errors.AmibakeError
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(recipes, "bake", fail)
    done = primal("-q")
    assert (done.exit_code, done.stdout) == (error.exit_code, "")
    assert done.stderr == "error: x\n"


def test_an_error_names_the_build_and_what_it_left_behind(primal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        error = errors.WaitTimeout("x\ny", hint='do this with ssh_timeout="10m"', tail=("a", "b"))
        error.build, error.leftovers = "0123456789abcdef", ("instance i-1; remove it with: aws ec2 …",)
        raise error

    monkeypatch.setattr(recipes, "bake", fail)
    assert primal("-q").stderr.splitlines() == [
        "error: x",
        "  y",
        "  | a",
        "  | b",
        "hint: do this with --ssh-timeout 10m",
        "left behind: instance i-1; remove it with: aws ec2 …",
        "build: 0123456789abcdef",
    ]


def test_an_error_that_is_not_ours_shows_nothing_of_its_text(primal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("s3cr3t")

    monkeypatch.setattr(recipes, "bake", fail)
    done = primal()
    assert done.exit_code == 1
    assert done.stderr.splitlines()[0].startswith("error: RuntimeError: ")
    assert "s3cr3t" not in done.output


def test_an_interrupt_is_told_with_what_is_left(primal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        interrupt = KeyboardInterrupt()
        interrupt.add_note("amibake build 0123456789abcdef")
        interrupt.add_note("left behind: instance i-1; remove it with: aws ec2 …")
        raise interrupt

    monkeypatch.setattr(recipes, "bake", stop)
    done = primal("--json")
    assert done.exit_code == 130
    assert done.stderr.splitlines() == [
        "interrupted",
        "left behind: instance i-1; remove it with: aws ec2 …",
        "build: 0123456789abcdef",
    ]
    last = json.loads(done.stdout)
    assert (last["error"], last["exit_code"], last["build"]) == ("Interrupted", 130, "0123456789abcdef")


def test_a_bake_without_an_image_says_so(primal: Run, place: Place) -> None:
    done = primal("--skip-create-ami")
    assert (done.exit_code, done.stdout) == (0, "no image was made: --skip-create-ami\n")
