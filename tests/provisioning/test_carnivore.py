from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.provisioning.conftest import Machine


def test_does_it_all_in_the_articles_order(carnivore: Machine) -> None:
    out = carnivore.run_well("carnivore")
    assert [line for line in out.splitlines() if line.startswith("carnivore: ")] == [
        "carnivore: checking the application",
        "carnivore: updating nginx configuration",
        "carnivore: moving uploaded server code",
        "carnivore: installing server dependencies",
        "carnivore: package.json asks for what primal precached: npm is not needed",
        "carnivore: installing appserver daemon",
        "carnivore: booting appserver daemon",
        "carnivore: checking that it answers",
        "carnivore: it answers with status 200",
        "carnivore: cleaning up",
    ]
    assert carnivore.calls == [
        "nginx -t",
        "service nginx restart",
        f"chown admin {carnivore.root}/var/log/ponyfoo-staging.log",
        "update-rc.d ponyfoo-staging defaults",
        "service ponyfoo-staging start",
        "curl -s -o /dev/null -m 5 -w %{http_code} http://127.0.0.1:8080/",
    ]


def test_links_the_rendered_nginx_configuration(carnivore: Machine) -> None:
    (carnivore.root / "etc/nginx/sites-enabled/default").touch()
    carnivore.run_well("carnivore")
    nginx = carnivore.root / "etc/nginx"
    assert (nginx / "nginx.conf").readlink() == carnivore.home / "app/nginx/nginx.conf"
    assert [path.name for path in (nginx / "sites-enabled").iterdir()] == ["ponyfoo-staging.conf"]
    main = (nginx / "nginx.conf").read_text()
    assert "user admin;" in main
    assert "worker_processes 3;" in main
    site = (nginx / "sites-enabled/ponyfoo-staging.conf").read_text()
    assert "server_name ponyfoo.com;" in site
    assert f'root "{carnivore.home}/app/server/.bin/public";' in site
    assert "proxy_pass http://127.0.0.1:3000;" in site
    assert "listen 8080 default_server;" in site


@pytest.mark.parametrize("name", [r'"~^(?<sub>\w+)\.a&b#c/d$"', r"\1 & \\ # /", "{NGINX_USER} $HOME `id`", "* ? [a-z]"])
def test_renders_any_value_as_it_is(carnivore: Machine, name: str) -> None:
    carnivore.run_well("carnivore", {"SERVER_NAME": name})
    assert f"  server_name {name};\n" in (carnivore.home / "app/nginx/site.conf").read_text()


def test_renders_a_template_of_the_users_own(carnivore: Machine) -> None:
    carnivore.write("home/app/mailtube/nginx/site.conf", "{SERVER_NAME} {STATIC_ROOT} {SERVER_NAME} {OTHER}\n")
    shutil.rmtree(carnivore.home / "app/mailtube/systemd")
    carnivore.run_well("carnivore")
    assert (carnivore.home / "app/nginx/site.conf").read_text() == (
        f"ponyfoo.com {carnivore.home}/app/server/.bin/public ponyfoo.com {{OTHER}}\n"
    )
    assert not (carnivore.root / "etc/systemd").exists()


def test_only_the_chosen_secrets_are_in_the_image(carnivore: Machine) -> None:
    carnivore.run_well("carnivore")
    secrets = carnivore.home / "app/server/.env.json"
    assert secrets.read_text() == "the staging secrets"
    assert secrets.stat().st_mode & 0o777 == 0o600
    assert not (carnivore.home / "app/server/deploy/env").exists()


def test_says_which_environments_there_are(carnivore: Machine) -> None:
    done = carnivore.run("carnivore", {"NODE_ENV": "qa", "NAME": "ponyfoo-qa"})
    assert done.returncode == 1
    assert "deploy/env has no qa.json; it has: production.json, staging.json" in done.stderr
    assert "the step 'checking the application' failed" in done.stderr
    assert carnivore.calls == []


def test_an_application_without_secrets_is_fine(carnivore: Machine) -> None:
    shutil.rmtree(carnivore.path / "appserver/deploy")
    carnivore.run_well("carnivore")
    assert not (carnivore.home / "app/server/.env.json").exists()


def test_secrets_uploaded_in_place_are_closed_to_others(carnivore: Machine) -> None:
    shutil.rmtree(carnivore.path / "appserver/deploy")
    carnivore.write("appserver/.env.json", "{}").chmod(0o644)
    carnivore.run_well("carnivore")
    assert (carnivore.home / "app/server/.env.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("word", ["", "a b", "../etc", "a/b", ".hidden", "a;b"])
@pytest.mark.parametrize("variable", ["NAME", "NODE_ENV"])
def test_refuses_what_cannot_be_a_name(carnivore: Machine, variable: str, word: str) -> None:
    done = carnivore.run("carnivore", {variable: word})
    assert done.returncode == 1
    assert f"{variable} is '{word}'" in done.stderr
    assert carnivore.calls == []


def test_refuses_to_run_without_an_upload(carnivore: Machine) -> None:
    shutil.rmtree(carnivore.path / "appserver")
    done = carnivore.run("carnivore")
    assert done.returncode == 1
    assert f"no package.json in the uploaded application ({carnivore.path}/appserver)" in done.stderr


def test_uses_the_precached_modules_without_npm_and_keeps_them(carnivore: Machine) -> None:
    carnivore.run_well("carnivore")
    module = "node_modules/express/index.js"
    assert (carnivore.home / "app/server" / module).samefile(carnivore.home / "app/precache" / module)


def test_completes_the_precached_modules_when_other_ones_are_wanted(carnivore: Machine) -> None:
    carnivore.write("appserver/package.json", json.dumps({"dependencies": {"koa": "2"}}))
    carnivore.run_well("carnivore")
    install = carnivore.calls.index("npm install --omit=dev --no-audit --no-fund --no-update-notifier")
    assert carnivore.calls[install + 1] == f"in {carnivore.home}/app/server"
    assert "precached" in (carnivore.home / "app/server/node_modules/express/index.js").read_text()


@pytest.mark.parametrize("lock", ["package-lock.json", "npm-shrinkwrap.json"])
@pytest.mark.parametrize(
    ("precached", "uploaded", "npm"), [("1", "1", False), ("1", "2", True), (None, "1", True), ("1", None, True)]
)
def test_a_lock_file_must_be_the_precached_one(
    carnivore: Machine, lock: str, precached: str | None, uploaded: str | None, *, npm: bool
) -> None:
    if precached:
        carnivore.write(f"home/app/mailtube/{lock}", precached)
    if uploaded:
        carnivore.write(f"appserver/{lock}", uploaded)
    carnivore.run_well("carnivore")
    assert any(call.startswith("npm install") for call in carnivore.calls) is npm


def test_modules_that_were_uploaded_are_kept_and_completed(carnivore: Machine) -> None:
    carnivore.write("appserver/node_modules/own/index.js", "mine")
    carnivore.run_well("carnivore")
    modules = carnivore.home / "app/server/node_modules"
    assert (modules / "own/index.js").read_text() == "mine"
    assert (modules / "express/index.js").read_text() == "installed\n"


def test_installs_everything_where_nothing_was_precached(carnivore: Machine) -> None:
    shutil.rmtree(carnivore.home / "app/precache")
    carnivore.write("appserver/package.json", json.dumps({"dependencies": {"koa": "2"}}))
    carnivore.write("npm-version", "1.4.29\n")
    carnivore.run_well("carnivore")
    assert "npm install --production --no-audit --no-fund --no-update-notifier" in carnivore.calls


def test_runs_again_over_a_running_service_and_replaces_the_application(carnivore: Machine) -> None:
    carnivore.write("appserver/removed-since.js", "")
    carnivore.run_well("carnivore")
    carnivore.forget()
    carnivore.upload()
    carnivore.run_well("carnivore")
    assert not (carnivore.home / "app/server/removed-since.js").exists()
    assert carnivore.calls.index("service ponyfoo-staging stop") < carnivore.calls.index(
        "service ponyfoo-staging start"
    )
    assert not any(call.startswith("npm") for call in carnivore.calls)


def test_recovers_from_a_run_that_failed_halfway(carnivore: Machine) -> None:
    broken = carnivore.write("fail/update-rc.d", "")
    assert carnivore.run("carnivore").returncode != 0
    broken.unlink()
    carnivore.upload()
    carnivore.run_well("carnivore")
    assert (carnivore.home / "app/server/node_modules/express").is_dir()


def test_starts_node_itself_with_its_environment(carnivore: Machine) -> None:
    node = carnivore.home / ".node/current/bin/node"
    node.write_text('#!/bin/bash\nif [ "$1" = -e ]; then exit 0; fi\necho "$NODE_ENV $PORT $HOME $PWD $*"\n')
    carnivore.run_well("carnivore", {"PORT": "4000"})
    start = carnivore.home / "app/start"
    assert start.stat().st_mode & 0o777 == 0o755
    # In the test's root, where the log is.
    start.write_text(start.read_text().replace("/var/log/", f"{carnivore.root}/var/log/"))
    carnivore.command("start", f"exec {start}\n")
    carnivore.run_well(str(carnivore.path / "bin/start"))
    server = carnivore.home / "app/server"
    log = (carnivore.root / "var/log/ponyfoo-staging.log").read_text()
    assert log == f"staging 4000 {carnivore.home} {server} {server}/cluster.js\n"
    assert "proxy_pass http://127.0.0.1:4000;" in (carnivore.home / "app/nginx/site.conf").read_text()


def test_registers_the_service(carnivore: Machine) -> None:
    carnivore.run_well("carnivore")
    service = carnivore.root / "etc/init.d/ponyfoo-staging"
    assert service.stat().st_mode & 0o777 == 0o755
    text = service.read_text()
    assert "# Provides:          ponyfoo-staging\n" in text
    assert "# pidfile: /run/ponyfoo-staging.pid\n" in text
    assert f'COMMAND="{carnivore.home}/app/start"\n' in text
    assert 'RUN_AS="admin"\n' in text
    assert "{" + "NAME}" not in text
    assert (
        "Restart=always" in (carnivore.root / "etc/systemd/system/ponyfoo-staging.service.d/restart.conf").read_text()
    )
    assert (carnivore.root / "etc/logrotate.d/ponyfoo-staging").read_text().startswith("/var/log/ponyfoo-staging.log {")


def test_finds_the_node_of_an_image_that_has_nothing_but_nvm(carnivore: Machine) -> None:
    (carnivore.home / ".node").rename(carnivore.path / "nvm-node")
    carnivore.write("home/.nvm/nvm.sh", 'false\n: $UNSET\nPATH="$MACHINE/nvm-node/v20.11.1/bin:$PATH"\nfalse\n')
    carnivore.run_well("carnivore")
    assert f"PATH={carnivore.path}/nvm-node/v20.11.1/bin:" in (carnivore.home / "app/start").read_text()


def test_finds_a_node_that_is_simply_installed(carnivore: Machine) -> None:
    shutil.rmtree(carnivore.home / ".node")
    carnivore.run_well("carnivore")
    assert f"PATH={carnivore.path}/bin:" in (carnivore.home / "app/start").read_text()


def test_says_that_there_is_no_node(carnivore: Machine) -> None:
    shutil.rmtree(carnivore.home / ".node")
    carnivore.write("home/.nvm/nvm.sh", "PATH=/nonexistent\n")
    done = carnivore.run("carnivore")
    assert done.returncode == 1
    assert "there is no node on this image" in done.stderr


@pytest.mark.parametrize("status", ["200", "302", "404"])
def test_any_answer_of_the_application_will_do(carnivore: Machine, status: str) -> None:
    carnivore.write("status", status)
    assert f"it answers with status {status}" in carnivore.run_well("carnivore")


@pytest.mark.parametrize("status", ["000", "502"])
def test_shows_the_logs_when_it_does_not_answer(carnivore: Machine, status: str) -> None:
    carnivore.write("status", status)
    carnivore.write("root/var/log/ponyfoo-staging.log", "Error: Cannot find module 'koa'\n")
    done = carnivore.run("carnivore")
    assert done.returncode == 1
    assert f"no answer after 160 tries, the last status was {status}" in done.stderr
    assert "Cannot find module 'koa'" in done.stderr
    assert "the step 'checking that it answers' failed" in done.stderr
    pauses = [float(call.split()[1]) for call in carnivore.calls if call.startswith("sleep")]
    assert sum(pauses) >= 60
    assert pauses[0] == 0.1, "what is ready soon is not waited for"


@pytest.mark.parametrize(
    ("broken", "step"),
    [
        ("nginx", "updating nginx configuration"),
        ("service", "updating nginx configuration"),
        ("chown", "installing appserver daemon"),
        ("update-rc.d", "installing appserver daemon"),
    ],
)
def test_says_which_step_failed_and_stops_there(carnivore: Machine, broken: str, step: str) -> None:
    carnivore.write(f"fail/{broken}", "")
    done = carnivore.run("carnivore")
    assert done.returncode == 9
    assert done.stderr.splitlines()[-1].startswith(f"carnivore: the step '{step}' failed (line ")
    assert carnivore.calls[-1].startswith(broken)
    assert list((carnivore.path / "tmp").iterdir()) == []


def test_a_failing_npm_fails_the_bake(carnivore: Machine) -> None:
    carnivore.write("appserver/package.json", "{}")
    carnivore.command("npm", 'if [ "$1" = -v ]; then echo 10.8.2; else exit 7; fi\n')
    done = carnivore.run("carnivore")
    assert done.returncode == 7
    assert "the step 'installing server dependencies' failed" in done.stderr


def test_leaves_nothing_of_the_upload(carnivore: Machine) -> None:
    carnivore.write("home/.npm/_logs/debug.log", "")
    carnivore.run_well("carnivore")
    assert not (carnivore.path / "appserver").exists()
    assert {path.name for path in carnivore.home.iterdir()} == {".node", "app"}
    assert list((carnivore.path / "tmp").iterdir()) == []
