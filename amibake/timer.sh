#!/bin/sh
# Lets a machine power itself off, as root. Arguments:
#   arm SECONDS   in so many seconds from now, in place of what was armed before
#   keep SECONDS  the same, unless something is armed; for a machine that is still booting, where it must wait for nothing:
#                 systemd-run would wait for what waits for the boothook that this is in
#   cancel        not at all
# Nothing of it is outside /run. Never by `shutdown +N`: while that is pending every other shutdown refuses, the one of
# StopInstances included. Never by `halt`, which EC2 does not notice.
set -eu
verb=$1 seconds=$2 name=amibake-timer
PATH=$PATH:/usr/sbin:/sbin
# In the environment of what sleeps: it is known by that, and left alone when a run is killed. It is in two words so that
# it is not in the environment of who is given this as an argument: sudo puts the command line there.
mark=AMIBAKE_RUN=$name

by_systemd() { [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; }
sleepers() { grep -s -l -F "$mark" /proc/[0-9]*/environ | cut -d / -f 3; }
armed() {
    [ -n "$(sleepers)" ] || { by_systemd && systemctl --quiet is-active $name.timer; }
}
cancel() {
    ! by_systemd || systemctl stop $name.timer 2>/dev/null || true # which fails where there is none
    for _ in 1 2 3 4 5 6 7 8 9 10; do # one that is just beginning may have a child by now
        for pid in $(sleepers); do kill -s KILL "$pid" 2>/dev/null || true; done
        armed || return 0
        sleep 0.1
    done
    return 1
}
arm() {
    if by_systemd && systemd-run --quiet --unit=$name --description='the end of a bake' \
        --on-active="$seconds" --timer-property=AccuracySec=1s "$(command -v systemctl)" poweroff; then
        return
    fi
    sleep_for_it
}
sleep_for_it() {
    command -v setsid >/dev/null
    # shellcheck disable=SC2016 # for the inner shell
    env "$mark" setsid sh -c 'sleep "$1" && { poweroff || shutdown -h now; }' $name "$seconds" \
        >/dev/null 2>&1 </dev/null &
}

case $verb in
    cancel) cancel ;;
    arm) cancel && arm ;;
    keep) [ -n "$(sleepers)" ] || sleep_for_it ;;
esac
