#!/bin/sh
# Seals a builder. Arguments: our own boot id, the device:inode of our own /etc/machine-id, the bake's public key, or
# an empty word where it has none.
# Exits with 3 on our own machine, and with 4 where we are neither root nor may sudo without a password; in both cases
# nothing was changed.
set -eu
ours_boot=$1 ours_machine=$2 key=$3

boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo +)
machine=$(stat -L -c %d:%i /etc/machine-id 2>/dev/null || echo +)
[ "$boot:$machine" != "$ours_boot:$ours_machine" ] || exit 3
if [ "$(id -u)" = 0 ]; then
    as_root() { "$@"; } # there may be no sudo then
else
    as_root() { sudo -n "$@"; }
fi
if ! as_root true 2>/dev/null; then
    sync # a spot instance is imaged while it runs
    exit 4
fi

# shellcheck disable=SC2016 # for the inner shell
as_root sh -euc '
    key=$1 user=$2
    forget() {
        keys=$1/.ssh/authorized_keys
        [ -n "$key" ] && [ -f "$keys" ] || return 0
        # Written in place: owner, mode and links of the file stay as they are.
        kept=$(grep -v -F -e "$key" "$keys" || true)
        if [ -n "$kept" ]; then printf "%s\n" "$kept" > "$keys"; else : > "$keys"; fi
    }
    for home in "$(getent passwd "$user" | cut -d: -f6)" "$(getent passwd root | cut -d: -f6)"; do forget "$home"; done
    rm -rf /tmp/amibake-* /tmp/.amibake-*
' seal "$key" "$(id -un)"
sync
