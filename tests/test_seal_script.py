"""What `seal.sh` does, run for real on a machine of its own: a directory tree, as root, in namespaces."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

import amibake
from tests.apart import Apart

pytestmark = pytest.mark.sandbox  # it takes root

SCRIPT = (Path(amibake.__file__).parent / "seal.sh").read_bytes()
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIt+the/keyofthebake="
LINE = f"ssh-ed25519 {KEY} amibake 0123456789abcdef\n"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIsomebodys me@home\n"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
STAYS = "the SSH host keys stay, because nothing on the builder makes others at a first boot"
NO_MACHINE_ID = "the machine id is removed, and nothing on the builder makes another at a first boot"

LIVES_OR_GONE = """for one in {}; do
    case $(cut -d" " -f3 "/proc/$one/stat" 2>/dev/null) in Z | X | "") echo gone ;; *) echo lives ;; esac
done
"""
FIRST_BOOT = "[Unit]\nConditionFirstBoot=yes\n[Service]\nExecStart=/usr/bin/ssh-keygen -A\n"
SYSTEMCTL = """
echo "$@" >>/systemctl.log
[ "$1" = show ] || exit 0
case "$*" in
    *Wants*default.target*) echo "Wants=multi-user.target dev-disk-by\\x2dlabel-x.device"; echo "Requires=" ;;
    *Wants*multi-user.target*) echo "Wants=wanted.service some.socket" ;;
    *"-p Triggers "*some.socket*) echo "Triggers=triggered.service" ;;
    *FragmentPath*)
        shift 5
        for unit do
            echo "FragmentPath=$(ls /etc/systemd/system/$unit 2>/dev/null)"
            echo "DropInPaths="
        done ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Apart:
    """A machine with sysvinit, on which something makes a machine id."""
    machine = Apart(tmp_path / "root")
    machine.write("/etc/rc2.d/S01dbus", "#!/bin/sh\ndbus-uuidgen --ensure\n", mode=0o755)
    return machine


@pytest.fixture
def systemd(machine: Apart) -> Apart:
    (machine / "/run/systemd/system").mkdir(parents=True)
    machine.fake("systemctl", SYSTEMCTL)
    return machine


def seal(machine: Apart, *, before: str = "", after: str = "", key: str = KEY) -> list[str]:
    """Seal it; what it warns of. `before` and `after` are done in the same namespaces."""
    status = machine.sh(f"{before}\nsh -s || exit; {after}", f"key={key}\n".encode() + SCRIPT)
    assert status == 0
    assert [name for name in machine.names("/run") if name.startswith("amibake")] == []
    return machine.says.splitlines()


def test_what_does_not_arrive_whole_does_nothing(machine: Apart) -> None:
    machine.write("/home/admin/.bash_history")
    for lines in range(0, SCRIPT.count(b"\n"), 7):
        cut = b"\n".join(SCRIPT.split(b"\n")[:lines])
        assert machine.sh("sh -s 2>/dev/null; ls /home/admin/.bash_history", cut) == 0
    assert (machine / "/etc/machine-id").read_text()


def test_nothing_to_do_is_done_without_a_word(machine: Apart) -> None:
    assert seal(machine, key="") == []


class TestTheKey:
    def test_goes_from_wherever_it_is_and_all_others_stay(self, machine: Apart) -> None:
        machine.user("deploy", 1001, "/srv/the deploy & co")
        mine = machine.write("/home/admin/.ssh/authorized_keys", OTHER + LINE + OTHER, mode=0o600, owner=1000)
        roots = machine.write("/root/.ssh/authorized_keys", f'command="echo no" {LINE}', mode=0o600)
        second = machine.write("/srv/the deploy & co/.ssh/authorized_keys2", LINE.strip())
        kept = machine.write("/home/admin/.ssh/authorized_keys.bak", f"# from cloud-init\n{LINE}\n\n")
        nobodys = machine.write("/home/left/.ssh/authorized_keys", LINE)
        inodes = [file.stat().st_ino for file in (mine, roots)]
        assert seal(machine) == []
        assert mine.read_text() == OTHER + OTHER
        assert (stat.S_IMODE(mine.stat().st_mode), mine.stat().st_uid) == (0o600, 1000)
        assert [file.stat().st_ino for file in (mine, roots)] == inodes
        assert (roots.read_text(), second.read_text(), nobodys.read_text()) == ("", "", "")
        assert kept.read_text() == "# from cloud-init\n\n\n"

    def test_is_looked_for_where_sshd_would(self, machine: Apart) -> None:
        machine.user("deploy", 1001, "/srv/de&ploy")
        machine.write("/etc/ssh/sshd_config", "Match User deploy\n")
        machine.fake(
            "sshd",
            'case $3 in user=deploy,*) echo authorizedkeysfile %h/keys/%u.pub "/etc/keys/100%%/%U/key" ;;'
            " user=admin,*) echo authorizedkeysfile /etc/ssh/authorized_keys/%u keys/mine ;; esac",
        )
        places = ["/srv/de&ploy/keys/deploy.pub", "/etc/keys/100%/1001/key", "/etc/ssh/authorized_keys/admin"]
        places += ["/home/admin/keys/mine", "/etc/ssh/authorized_keys/somebody", "/root/.ssh/authorized_keys"]
        files = [machine.write(place, OTHER + LINE) for place in places]
        assert seal(machine) == []
        assert [file.read_text() for file in files] == [OTHER] * 6

    def test_goes_where_sshd_does_not_say(self, machine: Apart) -> None:
        machine.fake("sshd", "exit 255")
        files = [machine.write(f"/home/admin/.ssh/authorized_keys{end}", LINE) for end in ("", "2")]
        seal(machine)
        assert [file.read_text() for file in files] == ["", ""]

    def test_goes_by_way_of_a_link_which_stays_one(self, machine: Apart) -> None:
        real = machine.write("/etc/ssh/keys-of-admin", OTHER + LINE)
        link = machine / "/home/admin/.ssh/authorized_keys"
        link.parent.mkdir()
        link.symlink_to("/etc/ssh/keys-of-admin")
        (machine / "/home/admin/.ssh/dangling").symlink_to("/nowhere")
        os.mkfifo(machine / "/home/admin/.ssh/agent")
        assert seal(machine) == []
        assert real.read_text() == OTHER
        assert link.is_symlink()

    def test_leaves_files_without_it_untouched(self, machine: Apart) -> None:
        file = machine.write("/home/admin/.ssh/authorized_keys", f"{OTHER}\nno newline")
        before = file.stat()
        seal(machine)
        assert (file.read_text(), file.stat().st_mtime_ns) == (f"{OTHER}\nno newline", before.st_mtime_ns)

    def test_with_none_of_the_bakes_no_file_is_touched(self, machine: Apart) -> None:
        file = machine.write("/home/admin/.ssh/authorized_keys", LINE)
        seal(machine, key="")
        assert file.read_text() == LINE

    @pytest.mark.parametrize("attribute", ["i", "a"])
    def test_goes_from_a_protected_file_which_stays_one(self, machine: Apart, attribute: str) -> None:
        file = machine.write("/home/admin/.ssh/authorized_keys", OTHER + LINE)
        if subprocess.run(["chattr", f"+{attribute}", file], stderr=subprocess.DEVNULL, check=False).returncode:
            pytest.skip("no such attributes on this file system")
        try:
            assert seal(machine) == []
            shown = subprocess.run(["lsattr", file], stdout=subprocess.PIPE, check=True).stdout.split()[0]
        finally:
            subprocess.run(["chattr", f"-{attribute}", file], check=True)
        assert file.read_text() == OTHER
        assert attribute.encode() in shown

    def test_that_cannot_be_removed_is_an_error(self, machine: Apart) -> None:
        machine.write("/home/admin/.ssh/authorized_keys", LINE)
        machine.write("/home/admin/.bash_history")
        read_only = "mount --bind /home /home && mount -o remount,bind,ro /home || exit 9"
        status = machine.sh(f"{read_only}; exec sh -s 2>&1", f"key={KEY}\n".encode() + SCRIPT)
        assert status == 1
        said = machine.says.splitlines()
        assert said[-1] == "the bake's key can't be removed from /home/admin/.ssh/authorized_keys"


HOST_KEY_MAKERS = {
    "a script in a runlevel": {"/etc/rc2.d/S02keys": "#!/bin/sh\nssh-keygen -A\n"},
    "what such a script runs": {
        "/etc/rcS.d/S02first": "#!/bin/sh\nexec /opt/lib/first-boot\n",
        "/opt/lib/first-boot": "#!/bin/sh\nkey=/etc/ssh/ssh_host_${type}_key\nssh-keygen -q -t $type -f $key\n",
    },
    "rc.local": {"/etc/rc.local": "#!/bin/sh\nDEBIAN_FRONTEND=noninteractive dpkg-reconfigure openssh-server\n"},
    "upstart": {"/etc/init/ssh-keys.conf": "start on startup\nexec ssh-keygen -A\n"},
    "cloud-init": {
        "/etc/rc2.d/S01cloud-init": "#!/bin/sh\ncloud-init init\n",
        "/fakes/cloud-init": "#!/bin/sh\n",
        "/etc/cloud/cloud.cfg": "cloud_init_modules:\n - migrator\n - ssh\n",
    },
    "cloud-init with modules in one line": {
        "/etc/rc2.d/S01cloud-init": "#!/bin/sh\ncloud-init init\n",
        "/fakes/cloud-init": "#!/bin/sh\n",
        "/etc/cloud/cloud.cfg.d/10_ours.cfg": "cloud_init_modules: [migrator, ssh]\n",
    },
}
NO_HOST_KEY_MAKERS: dict[str, dict[str, str]] = {
    "nothing": {},
    "a comment": {"/etc/rc2.d/S02keys": "#!/bin/sh\n # ssh-keygen -A makes ssh_host_ keys -t\n"},
    "fingerprints": {"/etc/rc2.d/S02keys": "#!/bin/sh\nssh-keygen -l -f /etc/ssh/ssh_host_rsa_key.pub\n"},
    "a user's key": {"/etc/rc2.d/S02keys": "#!/bin/sh\nssh-keygen -t rsa -f /root/.ssh/id_rsa\n"},
    "a script that is not started": {"/etc/init.d/keys": "#!/bin/sh\nssh-keygen -A\n"},
    "no script": {"/etc/rc2.d/S02": "#!/bin/sh\ncat /opt/README\n", "/opt/README": "Run ssh-keygen -A\n"},
    "cloud-init that is not started": {
        "/fakes/cloud-init": "#!/bin/sh\n",
        "/etc/cloud/cloud.cfg": "cloud_init_modules:\n - ssh\n",
    },
    "cloud-init that is switched off": {
        **HOST_KEY_MAKERS["cloud-init"],
        "/etc/cloud/cloud-init.disabled": "",
    },
    "cloud-init that its generator has switched off": {
        **HOST_KEY_MAKERS["cloud-init"],
        "/run/cloud-init/disabled": "",
    },
    "cloud-init without that module": {
        **HOST_KEY_MAKERS["cloud-init"],
        "/etc/cloud/cloud.cfg": "cloud_init_modules:\n - ssh-import-id\n - [set-passwords, always]\n",
    },
    "cloud-init that is to make none": {
        **HOST_KEY_MAKERS["cloud-init"],
        "/etc/cloud/cloud.cfg.d/90_none.cfg": "ssh_genkeytypes: []\n",
    },
}


class TestHostKeys:
    @pytest.fixture(autouse=True)
    def _keys(self, machine: Apart) -> None:
        for end in ("", ".pub"):
            machine.write(f"{HOST_KEY}{end}")

    def write(self, machine: Apart, files: dict[str, str]) -> None:
        for path, text in files.items():
            machine.write(path, text, mode=0o755)

    @pytest.mark.parametrize("by", HOST_KEY_MAKERS)
    def test_go_where_something_makes_others(self, machine: Apart, by: str) -> None:
        self.write(machine, HOST_KEY_MAKERS[by])
        assert seal(machine) == []
        assert machine.names("/etc/ssh") == []

    @pytest.mark.parametrize("by", NO_HOST_KEY_MAKERS)
    def test_stay_with_a_warning_where_nothing_does(self, machine: Apart, by: str) -> None:
        self.write(machine, NO_HOST_KEY_MAKERS[by])
        (warning,) = seal(machine)
        assert warning == f"{STAYS}: all instances of the image will have the same"
        assert machine.names("/etc/ssh") == ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]

    @pytest.mark.parametrize("unit", ["wanted.service", "triggered.service"])
    def test_go_where_a_unit_of_the_next_boot_makes_others(self, systemd: Apart, unit: str) -> None:
        systemd.write(f"/etc/systemd/system/{unit}", "[Service]\nExecStart=/usr/bin/ssh-keygen -A\n")
        assert seal(systemd) == []
        assert not systemd.there(HOST_KEY)

    def test_go_where_a_script_that_a_unit_runs_makes_others(self, systemd: Apart) -> None:
        systemd.write("/etc/systemd/system/wanted.service", "[Service]\nExecStart=-/opt/first-boot %i\n")
        systemd.write("/opt/first-boot", "#!/bin/sh\nssh-keygen -A\n", mode=0o755)
        assert seal(systemd) == []
        assert not systemd.there(HOST_KEY)

    def test_stay_where_the_unit_is_of_no_boot_or_of_a_first_one_only(self, systemd: Apart) -> None:
        systemd.write("/etc/systemd/system/unwanted.service", "[Service]\nExecStart=/usr/bin/ssh-keygen -A\n")
        systemd.write(
            "/etc/systemd/system/wanted.service", "[Unit]\nConditionFirstBoot=yes\n[Service]\nExecStart=ssh-keygen -A\n"
        )
        assert seal(systemd)[0].startswith(STAYS)
        assert systemd.there(HOST_KEY)

    def test_of_other_names_stay_with_a_warning(self, machine: Apart) -> None:
        self.write(machine, HOST_KEY_MAKERS["rc.local"])
        machine.write("/etc/ssh/of_ours")
        machine.fake("sshd", f"echo hostkey {HOST_KEY}; echo hostkey /etc/ssh/of_ours; echo hostkey /etc/ssh/absent")
        (warning,) = seal(machine)
        assert warning.startswith("the SSH host key /etc/ssh/of_ours stays, because none of that name is made")
        assert machine.names("/etc/ssh") == ["of_ours"]

    def test_that_cannot_be_removed_are_a_warning(self, machine: Apart) -> None:
        self.write(machine, HOST_KEY_MAKERS["rc.local"])
        assert seal(machine, before=f"mount --bind {HOST_KEY} {HOST_KEY}") == [f"{HOST_KEY} could not be removed"]


class TestTheMachineId:
    def test_is_emptied_in_place_under_systemd(self, systemd: Apart) -> None:
        file = systemd / "/etc/machine-id"
        before = file.stat()
        systemd.write("/var/lib/dbus/machine-id")
        assert seal(systemd) == []
        assert file.read_text() == ""
        assert (file.stat().st_ino, file.stat().st_mode) == (before.st_ino, before.st_mode)
        assert not systemd.there("/var/lib/dbus/machine-id")

    def test_that_dbus_has_as_a_link_stays_one_under_systemd(self, systemd: Apart) -> None:
        link = systemd / "/var/lib/dbus/machine-id"
        link.parent.mkdir(parents=True)
        link.symlink_to("/etc/machine-id")
        seal(systemd)
        assert link.is_symlink()

    def test_is_emptied_below_a_mount(self, systemd: Apart) -> None:
        systemd.write("/run/machine-id")
        seal(systemd, before="mount --bind /run/machine-id /etc/machine-id")
        assert (systemd / "/etc/machine-id").read_text() == ""

    def test_that_cannot_be_emptied_is_a_warning(self, systemd: Apart) -> None:
        systemd.fake("umount", "exit 1")
        (warning,) = seal(systemd, before="mount --bind /etc/machine-id /etc/machine-id")
        assert warning.startswith("/etc/machine-id could not be emptied, because something is mounted there")
        (warning,) = seal(systemd, before="mount --bind /etc /etc && mount -o remount,bind,ro /etc")
        assert warning == "/etc/machine-id could not be emptied: all instances of the image will have the same"

    def test_is_removed_under_other_inits_where_an_empty_one_is_an_error_to_dbus(self, machine: Apart) -> None:
        machine.write("/var/lib/dbus/machine-id")
        assert seal(machine) == []
        assert not machine.there("/etc/machine-id")
        assert not machine.there("/var/lib/dbus/machine-id")

    def test_is_removed_with_a_warning_where_nothing_makes_another(self, machine: Apart) -> None:
        (machine / "/etc/rc2.d/S01dbus").unlink()
        assert seal(machine) == [NO_MACHINE_ID]
        assert not machine.there("/etc/machine-id")
        assert seal(machine) == []


def test_cloud_init_takes_the_next_instance_for_a_new_one_and_the_images_own_parts_of_it_stay(machine: Apart) -> None:
    cloud = "/var/lib/cloud"
    for name in (
        "instances/i-1/obj.pkl",
        "instances/i-1/user-data.txt",
        "instances/i-1/sem/config_ssh",
        "data/instance-id",
    ):
        machine.write(f"{cloud}/{name}")
    (machine / f"{cloud}/instance").symlink_to("instances/i-1")
    kept = [f"{cloud}/{name}" for name in ("seed/nocloud/meta-data", "scripts/per-boot/ours.sh", "sem/done.once")]
    kept += ["/var/log/syslog", "/etc/cloud/cloud.cfg"]
    for path in (*kept, "/var/log/cloud-init.log", "/var/log/cloud-init-output.log", "/var/log/cloud-init.log.1.gz"):
        machine.write(path)
    assert seal(machine) == []
    assert machine.names(cloud) == ["scripts", "seed", "sem"]
    assert all(machine.there(path) for path in kept)
    assert machine.names("/var/log") == ["syslog"]


def test_cloud_init_that_is_at_work_is_ended_with_a_warning(machine: Apart) -> None:
    machine.write("/opt/bin/cloud-init", "sleep 99\n")
    assert seal(
        machine,
        before="sh /opt/bin/cloud-init modules --mode=final & one=$!; sh -c 'sleep 98; :' /bin/cloud-init-x & two=$!",
        after=LIVES_OR_GONE.format("$one $two"),
    ) == ["cloud-init was still at work and was ended: sh /opt/bin/cloud-init modules --mode=final ", "gone", "lives"]


class TestSeeds:
    def test_go_and_systemd_saves_none_at_the_stop(self, systemd: Apart) -> None:
        paths = ["/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret", "/boot/efi/loader/random-seed"]
        for path in paths:
            systemd.write(path)
        assert seal(systemd) == []
        assert [path for path in paths if systemd.there(path)] == []
        log = (systemd / "/systemctl.log").read_text()
        assert "mask --runtime systemd-random-seed.service\n" in log

    def test_that_systemd_will_save_are_a_warning(self, systemd: Apart) -> None:
        systemd.fake("systemctl", f'[ "$1" != mask ] || exit 1\n{SYSTEMCTL}')
        (warning,) = seal(systemd)
        assert warning.startswith("systemd saves a random seed when the builder stops")

    def test_go_and_what_a_script_saves_at_the_stop_is_not_in_the_image(self, machine: Apart) -> None:
        machine.write("/var/lib/urandom/random-seed")
        machine.write("/etc/rc0.d/K01urandom")
        assert seal(machine, after="echo seed >/var/lib/urandom/random-seed") == []
        assert not machine.there("/var/lib/urandom/random-seed")

    def test_that_a_script_will_save_are_a_warning(self, machine: Apart) -> None:
        machine.fake("mount", "exit 1")
        machine.write("/etc/rc0.d/K01urandom")
        (warning,) = seal(machine)
        assert warning.startswith("a random seed is saved when the builder stops")

    def test_a_secret_that_something_is_encrypted_with_stays_with_a_warning(self, machine: Apart) -> None:
        machine.write("/var/lib/systemd/credential.secret")
        machine.write("/etc/credstore.encrypted/password")
        (warning,) = seal(machine)
        assert warning.startswith("/var/lib/systemd/credential.secret stays, because")
        assert machine.there("/var/lib/systemd/credential.secret")


class TestLeases:
    def test_go_and_what_a_client_writes_until_the_stop_is_not_in_the_image(self, machine: Apart) -> None:
        machine.write("/var/lib/dhcp/dhclient.eth0.leases")
        machine.write("/var/lib/dhcpcd/eth0.lease")
        machine.write("/var/lib/dhcpcd/duid")
        machine.write("/etc/dhcpcd.duid")
        machine.write("/var/lib/NetworkManager/secret_key")
        assert seal(machine, after="echo x >/var/lib/dhcp/dhclient.eth0.leases") == []
        assert [name for name in ("dhcp", "dhcpcd") if machine.names(f"/var/lib/{name}")] == []
        assert not machine.there("/etc/dhcpcd.duid")
        assert machine.there("/var/lib/NetworkManager/secret_key")

    def test_that_may_be_written_again_are_a_warning(self, machine: Apart) -> None:
        machine.fake("mount", "exit 1")
        machine.write("/var/lib/dhcp/dhclient.leases")
        assert seal(machine) == ["DHCP leases may be written to /var/lib/dhcp again before the builder stops"]
        assert machine.names("/var/lib/dhcp") == []


def test_nobodys_history_stays(machine: Apart) -> None:
    machine.user("deploy", 1001, "/srv/de&ploy")
    names = [".bash_history", ".zsh_history", ".python_history", ".lesshst", ".local/share/fish/fish_history"]
    for home in ("/root", "/home/admin", "/srv/de&ploy"):
        for name in (*names, ".bashrc"):
            machine.write(f"{home}/{name}")
    assert seal(machine) == []
    for home in ("/root", "/home/admin", "/srv/de&ploy"):
        assert [name for name in names if machine.there(f"{home}/{name}")] == []
        assert machine.there(f"{home}/.bashrc")


def test_temporary_files_of_amibakes_go_and_no_others(machine: Apart) -> None:
    ours = [
        "/tmp/amibake-1/script.sh",
        "/tmp/.amibake-2",
        "/var/tmp/amibake-3",
        "/home/admin/.amibake-4/x",
        "/root/.amibake-5",
    ]
    others = [
        "/tmp/amibake",
        "/tmp/other",
        "/home/admin/amibake-docs/x",
        "/home/admin/.config/amibake",
        "/opt/amibake-1",
    ]
    for path in (*ours, *others):
        machine.write(path)
    assert seal(machine, before="touch /dev/shm/amibake-6 /dev/shm/x", after="ls /dev/shm") == ["x"]
    assert [path for path in ours if machine.there(path)] == []
    assert [path for path in others if not machine.there(path)] == []
    assert not machine.there("/tmp/amibake-1")


def test_a_temporary_file_that_stays_is_a_warning(machine: Apart) -> None:
    machine.write("/tmp/amibake-1")
    assert seal(machine, before="mount --bind /tmp/amibake-1 /tmp/amibake-1") == ["/tmp/amibake-1 could not be removed"]


class TestTimers:
    def test_that_still_run_are_ended(self, systemd: Apart) -> None:
        systemd.write("/run/amibake-timer/pid")
        before = """
        sh -c 'sleep 90; :' amibake-timer & all=$!
        env AMIBAKE=amibake-timer sleep 91 & all="$all $!"
        env amibake-timer=1 sleep 92 & all="$all $!"
        sh -c 'sleep 93; :' amibake-timers & all="$all $!"
        NOTE=about-amibake-timer sleep 94 & all="$all $!"
        """
        after = LIVES_OR_GONE.format("$all")
        assert seal(systemd, before=before, after=after) == ["gone", "gone", "gone", "lives", "lives"]
        log = (systemd / "/systemctl.log").read_text()
        assert "stop amibake-timer.timer amibake-timer.service\n" in log
        assert not systemd.there("/run/amibake-timer")

    def test_that_cannot_be_ended_are_a_warning(self, machine: Apart) -> None:
        machine.write("/opt/harmless", "kill() { :; }\n")
        script = b"key=\n" + SCRIPT.replace(b"\nseal\n", b"\n. /opt/harmless\nseal\n")
        assert machine.sh("sh -c 'sleep 90; :' amibake-timer & sh -s", script) == 0
        (warning,) = machine.says.splitlines()
        assert warning.endswith(" is a power-off timer and could not be ended")


OURSELVES = """
import subprocess, sys
from amibake import own_machine, seal
from amibake.host import Completed
from amibake.ledger import Ledger

class Local:
    def run(self, command, *, input, **_):
        done = subprocess.run(["sh", "-c", command], input=input, stdout=subprocess.PIPE)
        return Completed(done.returncode, done.stdout.decode(), "")

if sys.argv[1] == "without the guard":
    own_machine._GUARD = own_machine._GUARD.replace("exit 3", ":")
ledger = Ledger(lambda _: None)
seal.seal(Local(), sys.argv[2], ledger)
print(*ledger.warnings, sep="\\n")
"""


@pytest.mark.parametrize("guard", ["with the guard", "without the guard"])
def test_the_machine_that_amibake_runs_on_is_left_alone(systemd: Apart, guard: str) -> None:
    files = ["/home/admin/.ssh/authorized_keys", "/home/admin/.bash_history", "/tmp/amibake-1", "/var/lib/cloud/data/x"]
    for path in files:
        systemd.write(path, LINE)
    everything = [*files, "/etc/machine-id"]
    before = [(systemd / path).stat() for path in everything]
    assert systemd.python(OURSELVES, guard, LINE) == 0
    if guard == "with the guard":
        assert [(systemd / path).stat() for path in everything] == before
        assert systemd.says.startswith("not sealed: the builder is the machine that this runs on")
        assert not systemd.there("/systemctl.log")
    else:
        assert [path for path in everything if (systemd / path).exists() and (systemd / path).read_text()] == []
