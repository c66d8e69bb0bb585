"""The end of everything that a command has started, wherever it has gone: `KILL` is a program for the far side."""

from __future__ import annotations

from amibake.remote import program

# What is killed: the run's first process, those that carry its token (in the environment or the command line), those in
# a session that such a process leads or whose leader is gone, and all descendants of these. Besides, where this login
# was made by sshd and the run's is numbered by the kernel's audit: those of the run's login that were started after the
# run and belong to nobody in it, which is what a daemon is that sudo has cleaned of its environment. What was found
# once stays found, by its pid and the moment of its start. After another boot there is nothing to kill.
#
# Left alone: this program with all that it descends from, sshd with its connections, and what carries another run's
# token. What init has started is not a descendant.
#
# An empty token would be one that all processes carry: when the line has not arrived whole, since the connection was
# lost or closed before, nothing is killed.
_KILL = r"""
LC_ALL=C; export LC_ALL
read -r token main || token=
case $token in
    ????????????????*) ;;
    *) echo 'what to kill did not arrive' >&2; exit 2 ;;
esac
IFS=: read -r main start session login boot <<END
$main
END
cd /proc || exit 2
if [ -n "$boot" ] && read -r now 2>/dev/null <sys/kernel/random/boot_id && [ "$now" != "$boot" ]; then
    echo nothing
    exit
fi

numbers() { for entry do entry=${entry#./}; printf '%s %s\n' "$kind" "${entry%%/*}"; done; }
list() { kind=$1; shift; numbers $("$@"); }
marked() {
    printf '%s\n' "$token" | grep -s -l -F -f - ./[0-9]*/environ ./[0-9]*/cmdline
    [ -z "${SUDO_UID-}" ] || # root of a container may not look at everybody's
        printf '%s\n' "$token" | sudo -n -u "#$SUDO_UID" sh -c 'cd /proc; grep -s -l -F -f - ./[0-9]*/environ'
}
[ -n "$login" ] || login=$(cat self/sessionid 2>/dev/null)
case $login in ''|4294967295) login=none ;; esac

look() {
    found=$({
        for one in $found; do printf 'known %s\n' "$one"; done
        list marked marked
        [ -z "$main" ] || printf 'run %s %s %s\n' "$main" "$start" "$session"
        list others grep -s -l AMIBAKE_RUN= ./[0-9]*/environ
        list login grep -s -l -x "$login" ./[0-9]*/sessionid
        grep -s -H '' ./[0-9]*/stat
    } | awk -v self=$$ '
        $1 == "known" { split($2, known, ":"); before[known[1]] = known[2]; next }
        $1 == "marked" { marked[$2]; next }
        $1 == "run" { main = $2; main_start = $3; main_session = $4; next }
        $1 == "others" { others[$2]; next }
        $1 == "login" { login[$2]; next }
        { split($0, path, "/"); text[path[2]] = text[path[2]] substr($0, index($0, ":") + 1) " " }
        function is_sshd(pid) { return names[pid] ~ /^(sshd|dropbear)/ }
        END {
            for (pid in text) { # a name may have anything in it, also newlines and parentheses
                name = rest = text[pid]
                sub(/^[0-9]+ \(/, "", name); sub(/\) [^)]*$/, "", name); sub(/.*\) /, "", rest); split(rest, field, " ")
                if (field[1] ~ /[ZX]/) continue
                parent[pid] = field[2]; session[pid] = field[4]; start[pid] = field[20]; names[pid] = name
            }
            if (main in start && (main_start == "" || start[main] == main_start)) marked[main]
            since = main_start == "" ? -1 : main_start
            for (pid in marked) if (pid in start && (since < 0 || start[pid] < since)) since = start[pid]
            above = self
            while (names[above] ~ /^(sudo|busybox|[a-z]*sh)$/) { spared[above]; above = parent[above] }
            by_sshd = is_sshd(above)
            while (above in parent) { spared[above]; above = parent[above] }
            do {
                more = 0
                for (pid in parent) {
                    if (pid in found || pid in spared || pid + 0 < 2 || is_sshd(pid)) continue
                    left = main_session != "" && session[pid] == main_session && !(main_session in parent)
                    orphan = by_sshd && since >= 0 && pid in login && !(pid in others) && !(parent[pid] in login)
                    late = (orphan || left) && start[pid] >= since
                    if (pid in marked || (pid in before && before[pid] == start[pid]) || parent[pid] in found \
                        || session[pid] in sessions || late) { found[pid]; more = 1 }
                }
                for (pid in found) {
                    leader = session[pid]
                    if (leader > 1 && !(leader in sessions) && (leader in found || !(leader in parent))) {
                        sessions[leader]; more = 1
                    }
                }
            } while (more)
            for (pid in found) print pid ":" start[pid]
        }') || exit
}
send() { for one in $found; do kill -s "$1" "${one%%:*}" 2>/dev/null; done; }

found= round=0 ever=
while look; [ -n "$found" ] && ever=yes && [ "$round" -lt $(($1 + 30)) ]; do
    if [ "$round" -eq 0 ]; then send TERM; send CONT; fi
    if [ "$round" -ge "$1" ]; then send STOP; look; send KILL; fi
    round=$((round + 1))
    sleep 0.1 2>/dev/null || sleep 1
done
[ -n "$ever" ] || echo nothing
for one in $found; do
    name=
    read -r name 2>/dev/null <"${one%%:*}/comm"
    echo "${one%%:*} $name"
done
"""

_GRACE = 30
"""Rounds, of a tenth of a second and the time that it takes to look, for what SIGTERM has been sent to."""

_SHORT_GRACE = 5


def kill_after(rounds: int) -> str:
    """The program with this grace."""
    return program("kill", _KILL, str(rounds))


KILL = kill_after(_GRACE)
"""Reads the token of a run and, if that is known, what it said of its first process. Kills all that is found of it, by
SIGTERM and after some seconds by SIGKILL. Prints what is still there then, a line for each: its pid and name. Where
nothing has been found it prints "nothing"."""

KILL_SHORTLY = kill_after(_SHORT_GRACE)
"""The same, with hardly any time between the signals."""
