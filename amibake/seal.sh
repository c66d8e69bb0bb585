#!/bin/sh
# Takes off a builder what no image may have, and sees to it that nothing writes it again before the stop. Run by root,
# with $key set to the bake's public key as base64, or to nothing. Prints a line for each thing that could not be done;
# where an image would let the bake's key in, it exits with 1 and says why on standard error.
#
# It is all functions, called in the last line: of a script that does not arrive whole, nothing is run.
set -u
umask 077
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
exec 3>&1 >&2
key=${key-}
shared="all instances of the image will have the same"

warn() { printf '%s\n' "$*" >&3; }
fail() { printf '%s\n' "$*"; exit 1; }
has_systemd() { [ -d /run/systemd/system ]; }

remove() { # all of these that there are
    rm -rf -- "$@"
    for left do
        if [ -e "$left" ] || [ -L "$left" ]; then warn "$left could not be removed"; fi
    done
}

users() { getent passwd || cat /etc/passwd; }

homes() { # also of users whom no list has
    { users | cut -d: -f6; printf '%s\n' /root /home/*; } | sort -u | while IFS= read -r home; do
        [ ! -d "$home" ] || printf '%s\n' "$home"
    done
}

# The power-off timer has been cancelled before; it would end the builder before it is imaged.
timers() { # so called by a word of the command line or by a variable
    grep -l -s 'amibake-time[r]' /proc/[0-9]*/cmdline /proc/[0-9]*/environ | while IFS=/ read -r _ _ process what; do
        if tr '\0' '\n' 2>/dev/null <"/proc/$process/$what" | grep -q -x -E '([A-Za-z_]+=)?amibake-timer(=.*)?'; then
            echo "$process"
        fi
    done
}
end_timer() {
    if has_systemd; then systemctl stop amibake-timer.timer amibake-timer.service 2>/dev/null; fi
    for process in $(timers); do kill -s KILL "$process"; done
    remove /run/amibake-timer*
    for _ in 1 2 3 4 5 6 7 8 9 10; do # a process takes its time to end
        [ -n "$(timers)" ] || return 0
        sleep 0.2 2>/dev/null || sleep 1
    done
    for process in $(timers); do warn "process $process is a power-off timer and could not be ended"; done
}

# What is open at a terminal writes its history when it ends, which is at the stop at the latest. Not our own sessions.
end_terminals() {
    ours=' ' above=$$
    while [ "$above" -gt 1 ]; do
        look_at "$above" || break
        ours="$ours$session " above=$parent
    done
    for process in /proc/[0-9]*; do
        look_at "${process#/proc/}" || continue
        case $ours in *" $session "*) continue ;; esac
        case $terminal:$name in
            0:*) ;;
            *:*sh | *:*python* | *:node | *:irb | *:less | *:vi* | *:*sql | *:mariadb | *:sqlite3 | *:redis*)
                kill -s KILL "${process#/proc/}" ;;
        esac
    done
}
look_at() { # proc_pid_stat(5); a name may have anything in it
    stat=$(cat "/proc/$1/stat" 2>/dev/null) && [ -n "$stat" ] || return 1
    name=${stat#*\(} name=${name%)*}
    # shellcheck disable=SC2086 # into words
    set -- ${stat##*)}
    parent=$2 session=$4 terminal=$5
}

end_cloud_init() { # which would write down again what is removed here
    grep -l -s 'cloud-ini[t]' /proc/[0-9]*/cmdline | while IFS=/ read -r _ _ process _; do
        words=$(tr '\0' '\n' 2>/dev/null <"/proc/$process/cmdline")
        if printf '%s\n' "$words" | grep -q -x -E '(.*/bin/)?cloud-init' && kill -s KILL "$process"; then
            warn "cloud-init was still at work and was ended: $(printf '%s\n' "$words" | tr '\n' ' ')"
        fi
    done
}

key_places() { # where sshd looks for a user's keys
    if [ -z "${places-}" ] || grep -q -s -i '^[[:space:]]*match' /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*; then
        places=$("$sshd" -T -C "user=$1,host=localhost,addr=127.0.0.1" 2>/dev/null | sed -n 's/^authorizedkeysfile //p')
    fi
    printf '%s\n' "$places"
}

key_directories() { # of all users, and ~/.ssh anyway; in them may be copies of the files, and files of whom no list has
    sed 's:.*:&/.ssh:' "$scratch/homes"
    users | while IFS=: read -r user _ uid _ _ home _; do
        key_places "$user" >"$scratch/places"
        quoted=$(printf '%s\n' "$home" | sed 's/[\\&|]/\\&/g')
        tr ' ' '\n' <"$scratch/places" |
            sed "/^\$/d; s|%h|$quoted|g; s|%u|$user|g; s|%U|$uid|g; s|%%|%|g; s|^[^/]|$quoted/&|; s|[^/]*\$||"
    done
}

forget_key() {
    key_directories | sort -u >"$scratch/directories"
    while IFS= read -r directory; do
        for file in "$directory"/* "$directory"/.[!.]*; do
            # Not a word of the file but the key's line is anybody's to change: it is written in place, so that owner,
            # mode and links stay as they are.
            if [ -f "$file" ] && grep -q -F -e "$key" -- "$file"; then
                sed "\\|$key|d" "$file" >"$scratch/kept" || fail "$file can't be read"
                rewrite "$file" || rewrite_protected "$file" || fail "the bake's key can't be removed from $file"
            fi
        done
    done <"$scratch/directories"
}
rewrite() { (cat "$scratch/kept" >"$1"); }
rewrite_protected() { # chattr(1)
    file=$(readlink -f "$1")
    protected=$(lsattr -d -- "$file" | sed 's/ .*//; s/[^ai]//g')
    [ -n "$protected" ] && chattr "-$protected" -- "$file" && rewrite "$file" && chattr "+$protected" -- "$file"
}

# What `cloud-init clean --logs` removes, but for seed/, handlers/ and scripts/, which are the image's own, and sem/,
# which says what is to be done once and not for each instance. The logs have what this instance's user data printed.
forget_instance() {
    remove /var/lib/cloud/instance /var/lib/cloud/instances /var/lib/cloud/data /var/log/cloud-init*.log*
}

# Until the stop the directory is another one, in memory: what is written there does not get into the image.
hide() { mount -t tmpfs -o "mode=$(stat -c %a "$1")" amibake "$1"; }

forget_seeds() {
    remove /var/lib/random-seed /var/lib/misc/random-seed /var/lib/seedrng/seed.* \
        /boot/loader/random-seed /efi/loader/random-seed /boot/efi/loader/random-seed
    if has_systemd && ! systemctl mask --runtime systemd-random-seed.service; then
        warn "systemd saves a random seed when the builder stops, which all instances of the image will have"
    fi
    remove /var/lib/systemd/random-seed /var/lib/urandom/random-seed
    if [ -n "$(ls /etc/rc0.d/K*urandom 2>/dev/null)" ] && ! has_systemd && ! hide /var/lib/urandom; then
        warn "a random seed is saved when the builder stops, which all instances of the image will have"
    fi
    # systemd-creds(1): what is encrypted by it can be read by it alone
    if [ -n "$(ls -A /etc/credstore.encrypted 2>/dev/null)" ] && [ -e /var/lib/systemd/credential.secret ]; then
        warn "/var/lib/systemd/credential.secret stays, because there is something in /etc/credstore.encrypted: $shared"
    else
        remove /var/lib/systemd/credential.secret
    fi
}

forget_leases() {
    for leases in dhcp dhcp3 dhclient dhcpcd dhcpcd5 NetworkManager; do
        leases=/var/lib/$leases
        [ -n "$(ls "$leases"/*lease* 2>/dev/null)" ] || continue
        remove "$leases"/*lease* "$leases/duid"
        hide "$leases" || warn "DHCP leases may be written to $leases again before the builder stops"
    done
    remove /etc/dhcpcd.duid
}

forget_history() {
    while IFS= read -r home; do
        set --
        for name in .bash_history .sh_history .ash_history .ksh_history .mksh_history .zsh_history .zhistory .history \
            .local/share/fish/fish_history .python_history .ipython/profile_default/history.sqlite .node_repl_history \
            .irb_history .lesshst .local/state/lesshst .viminfo .mysql_history .mariadb_history .psql_history \
            .sqlite_history .rediscli_history
        do set -- "$@" "$home/$name"; done
        remove "$@"
    done <"$scratch/homes"
}

remove_temporary_files() {
    remove /tmp/amibake-* /tmp/.amibake-* /var/tmp/amibake-* /var/tmp/.amibake-* /dev/shm/amibake-* /dev/shm/.amibake-*
    while IFS= read -r home; do remove "$home"/.amibake-*; done <"$scratch/homes"
}

units_at_boot() {
    units=default.target
    : >"$scratch/units"
    while [ -n "$units" ]; do
        printf '%s\n' "$units" >>"$scratch/units"
        # shellcheck disable=SC2086 # into words
        units=$(systemctl show -p Wants -p Requires -p BindsTo -p Triggers -- $units | sed 's/^[A-Za-z]*=//' |
            tr ' ' '\n' | grep -E '^[^\\]*\.(service|socket|target|timer|path)$' | sort -u |
            grep -v -x -F -f "$scratch/units")
    done
    # shellcheck disable=SC2046 # into words
    systemctl show -p FragmentPath -p DropInPaths -- $(cat "$scratch/units") | sed 's/^[A-Za-z]*=//' | tr ' ' '\n'
}

files_at_boot() { # what says what the next boot does: units or init scripts, and all that they name
    if has_systemd; then
        units_at_boot
    else
        printf '%s\n' /etc/rc[S2-5].d/S* /etc/runlevels/*/* /etc/init/*.conf
    fi >"$scratch/first"
    [ ! -x /etc/rc.local ] || echo /etc/rc.local >>"$scratch/first"
    {
        cat "$scratch/first"
        tr '\n' '\0' <"$scratch/first" | xargs -0 grep -h -s -o -E '/[A-Za-z0-9_.@/+-]+' -- /dev/null
    } | grep -v -E '^/(dev|proc|sys|run)/' | sort -u | while IFS= read -r file; do
        [ ! -f "$file" ] || printf '%s\n' "$file"
    done
}

made_at_boot() { # whether a file of these, be it a unit or a script, says one of the words
    tr '\n' '\0' <"$scratch/at-boot" | xargs -0 grep -l -s -E -e "$1" -- /dev/null >"$scratch/candidates"
    while IFS= read -r file; do
        case $file in
            /etc/init/* | *.service | *.conf) ;;
            *) [ "$(head -c 2 "$file" | tr '\0' ' ')" = '#!' ] || continue ;;
        esac
        code=$(grep -v '^[[:space:]]*#' "$file")
        case $code in *ConditionFirstBoot=[yt1]*) continue ;; esac # see forget_machine
        if says_"$2"; then return 0; fi
    done <"$scratch/candidates"
    return 1
}
says_host_keys() {
    case $code in
        *ssh-keygen*\ -A* | *dpkg-reconfigure*openssh-server*) return 0 ;;
        *ssh-keygen*) ;;
        *) return 1 ;;
    esac
    case $code in *ssh_host_*\ -t* | *\ -t*ssh_host_*) return 0 ;; esac
    return 1
}
says_machine_id() {
    case $code in *machine-id* | *dbus-uuidgen*) return 0 ;; esac
    return 1
}

cloud_init_makes_host_keys() {
    command -v cloud-init >/dev/null && grep -q cloud-init "$scratch/at-boot" || return 1
    if [ -e /etc/cloud/cloud-init.disabled ] || [ -e /run/cloud-init/disabled ]; then return 1; fi
    if grep -q cloud-init=disabled /proc/cmdline; then return 1; fi
    set -- /etc/cloud/cloud.cfg /etc/cloud/cloud.cfg.d/*.cfg
    if grep -q -s -E '^ *ssh_genkeytypes: *(\[ *\]|null|~)' "$@"; then return 1; fi
    grep -q -s -E '(^ *- *|[[,] *)ssh *($|[],])' "$@" # the module
}

forget_host_keys() {
    for file in $("$sshd" -T 2>/dev/null | sed -n 's/^hostkey //p'); do
        case $file in
            /etc/ssh/ssh_host_*_key) ;;
            *) [ ! -e "$file" ] ||
                warn "the SSH host key $file stays, because none of that name is made at a first boot: $shared" ;;
        esac
    done
    [ -n "$(ls /etc/ssh/ssh_host_*_key 2>/dev/null)" ] || return 0
    if cloud_init_makes_host_keys || made_at_boot 'ssh-keygen|openssh-server' host_keys; then
        remove /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
    else
        warn "the SSH host keys stay, because nothing on the builder makes others at a first boot: $shared"
    fi
}

# machine-id(5): empty in an image. "uninitialized", or none, would be a first boot, at which systemd enables and
# disables units as the distribution would have it. Other inits have no part in it, and dbus-uuidgen(1) and cloud-init
# make one only where there is none.
forget_machine() {
    if has_systemd; then
        if grep -q ' /etc/machine-id ' /proc/self/mountinfo && ! umount /etc/machine-id; then
            warn "/etc/machine-id could not be emptied, because something is mounted there: $shared"
        elif [ -e /etc/machine-id ] && ! (: >/etc/machine-id); then
            warn "/etc/machine-id could not be emptied: $shared"
        fi
        # A link to the other one is as it should be.
        [ -L /var/lib/dbus/machine-id ] || [ -L /etc/machine-id ] || remove /var/lib/dbus/machine-id
    elif [ -s /etc/machine-id ] || [ -s /var/lib/dbus/machine-id ]; then
        made_at_boot 'machine-id|dbus-uuidgen' machine_id ||
            warn "the machine id is removed, and nothing on the builder makes another at a first boot"
        remove /etc/machine-id /var/lib/dbus/machine-id
    fi
}

seal() {
    scratch=$(mktemp -d /run/amibake-seal.XXXXXX || mktemp -d /tmp/amibake-seal.XXXXXX) || fail "nothing can be written"
    trap 'rm -rf "$scratch"' EXIT
    sshd=$(command -v sshd || echo sshd) # which wants its whole path
    homes >"$scratch/homes"
    end_timer
    end_terminals
    end_cloud_init
    [ -z "$key" ] || forget_key
    files_at_boot >"$scratch/at-boot"
    forget_host_keys
    forget_instance
    forget_seeds
    forget_leases
    forget_history
    remove_temporary_files
    forget_machine
    sync # a spot instance is imaged while it runs
}

seal
