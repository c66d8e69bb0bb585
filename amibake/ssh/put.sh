# shellcheck shell=sh
# Upload: a tar stream on standard input becomes one file or one directory at exactly this place.
#
# It is unpacked in a directory of our own beside its place, where nobody else can plant or read anything, compared with
# what was sent, given its owner and its mode, and only then put in place. So a stream that was cut changes nothing. No
# other attempt has this directory's name: one which the far side still takes for alive can't meddle.
#
# The stream has `tree`, which is what is sent; `names` of its files and of its `large` ones, each ended by a NUL; the
# SHA-256 `digests` of both, one a line; `modes`, pairs of mode and name for what could not have its own mode from the
# start, children first; and at last `end`.
set -eu
LC_ALL=C
export LC_ALL
destination=$1 kind=$2 name=$3 mode=$4 owner=$5 group=$6 lanes=$7
shift 7
case $destination in /*) ;; *) destination=$PWD/$destination ;; esac

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

make() {
    if [ -d "$1" ]; then return; fi
    if [ -n "${1%/*}" ]; then make "${1%/*}"; fi
    mkdir "$1" || [ -d "$1" ]
    if [ -n "$whose" ]; then chown -h "$whose" "$1"; fi
}

# What is stale may still be written to for a moment, by the attempt that was cut: then it is removed at the second go.
for stale do rm -rf "$stale" 2>/dev/null || { sleep 1; rm -rf "$stale"; }; done

case $owner in
    *[!0-9]*)
        login=$(id -g "$owner" 2>/dev/null) || fail "there is no user $owner"
        group=${group:-$login}
        ;;
    ?*) group=${group:-$(id -g "$owner" 2>/dev/null || echo 0)} ;;
esac
case $group in
    *[!0-9]*) getent group "$group" >/dev/null || fail "there is no group $group" ;;
esac
whose=$owner${group:+:$group}

merging=
if [ "$kind" = directory ] && [ -d "$destination" ]; then
    merging=yes into=$destination
else
    if [ "$kind" = file ] && [ -d "$destination" ]; then fail 'it is a directory'; fi
    if [ "$kind" = file ] && [ -e "$destination" ] && ! [ -f "$destination" ]; then fail 'it is no regular file'; fi
    into=${destination%/*}
    into=${into:-/}
    make "$into"
fi

staging=$into/$name
trap 'cd /; rm -rf "$staging"' EXIT
trap 'exit 1' HUP INT TERM
umask 077
mkdir "$staging"
cd -P "$staging"
# From here on nothing is reached through a path that somebody who may write to $into could bend.
case $PWD in */"$name") ;; *) fail "somebody has moved $staging" ;; esac

# The stream comes in blocks, unless `rest` comes first (blocks.py). A lane has its name once it is open here, so that what
# is written to it is read; not every file system has any. Its other end is open when `lanes` has come; and it has an end
# only while nobody here could write to it.
blocks() {
    if [ -n "$lanes" ] && mkdir new && mkfifo new/lane1 new/lane2 new/lane3 2>/dev/null; then
        exec 7<>new/lane1 8<>new/lane2 9<>new/lane3
        mv new/lane1 new/lane2 new/lane3 .
    fi
    while [ -n "$what" ]; do
        case $what in
            lanes) exec 3<lane1 4<lane2 5<lane3 7>&- 8>&- 9>&- ;;
            block)
                if [ -n "$how" ]; then
                    dd bs="$size" count="$count" iflag=fullblock <&"$source" 2>/dev/null | gzip -d -c
                else
                    dd bs="$size" count="$count" iflag=fullblock <&"$source" 2>/dev/null
                fi
                ;;
        esac
        read -r what source size count how || what=
    done
}
unpack() { tar -x -p -f - --no-same-owner --warning=no-timestamp; }
read -r what source size count how || fail 'the stream was cut'
if [ "$what" = rest ]; then
    unpack
else
    for needed in dd gzip; do command -v "$needed" >/dev/null || fail "there is no $needed, which an upload from afar needs"; done
    blocks | unpack
fi
[ -f end ] || fail 'the stream was cut'

# In this output each file has one line, whatever its name: a backslash ahead of the digest says that the name is escaped.
# openssl uses what the processor has for this, and takes a fifth of the time.
{
    xargs -0 -r sha256sum -- <names
    # shellcheck disable=SC2016 # for the inner shell
    xargs -0 -r -n 1 sh -c 'openssl dgst -sha256 -r 2>/dev/null <"$1" || exec sha256sum -- "$1"' amibake-digest <large
} | sed 's/^\\//; s/ .*//' >found
if ! cmp -s digests found; then
    cat names large | tr '\0\n' '\n?' | paste -d : digests found - | while IFS=: read -r sent there name; do
        name=${name#./tree} name=${name#/}
        [ "$sent" = "$there" ] || fail "${name:-it} is not on the disk as it was sent: its SHA-256 is another"
    done
    fail 'what is on the disk is not what was sent'
fi

root=
if [ "$(id -u)" = 0 ]; then root=yes; fi
if [ -n "$whose" ]; then chown -R -h "$whose" tree; fi

if [ "$kind" = file ]; then
    chmod "$mode" tree
    mv -f -T tree "$destination"
    exit
fi

cd tree
if [ -n "$root" ]; then xargs -0 -r -n 2 chmod <../modes; fi
if [ -z "$merging" ]; then
    mv -T ../tree "$destination"
    chmod "$mode" .
else
    # A directory that is not there yet is moved as a whole; the files of the others are linked, so nothing is copied
    # (but where a file system is mounted inside). What is there keeps its mode and its owner.
    export destination
    find . -mindepth 1 -type d -exec sh -c '
        for entry do
            ! [ -L "$destination/$entry" ] && continue
            printf "%s\n" "$destination/${entry#./} is a symlink there and a directory here: it is not followed" >&2
            exit 1
        done
        ' amibake-merge {} +
    find . -mindepth 1 -type d ! -exec sh -c '[ -d "$destination/$1" ] && ! [ -L "$destination/$1" ]' amibake-merge {} \; \
        -prune ! -exec sh -c 'exec mv -T "$1" "$destination/$1"' amibake-merge {} \; -exec false {} +
    find . -mindepth 1 ! -type d -exec sh -c '
        cp -P -l -f --parents -t "$destination" "$@" 2>/dev/null && exit
        for entry do mv -f -T "$entry" "$destination/$entry" || exit; done
        ' amibake-merge {} +
fi

# Who is not root can neither move a directory that he may not write to, nor fill it.
if [ -z "$root" ]; then
    cd "$destination"
    # shellcheck disable=SC2016 # for the inner shell
    xargs -0 -r -n 2 sh -c '[ -d "$0/tree/$2" ] || chmod "$1" "$2"' "$staging" <"$staging/modes"
fi
