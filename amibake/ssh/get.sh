# shellcheck shell=sh
# Download: what a path or a pattern names goes to standard output.
#
# Arguments: the path or pattern, a marker, and `directory` where it can only be one.
# After the marker come: `path` or `pattern`; what was found, each ended by a NUL, and one NUL more; the lines of
# sha256sum for all files, and an empty line; a tar archive.
set -eu
LC_ALL=C
export LC_ALL
marker=$2 only=$3
set -- "$1"

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

if [ -e "$1" ] || [ -L "$1" ]; then
    kind=path
    # with a dot, because $(…) drops all newlines at the end
    found=$(readlink -f "$1" && echo .) || fail 'it is a symlink that leads nowhere'
    set -- "${found%??}"
    if [ "$only" ] && ! [ -d "$1" ]; then fail 'it is no directory'; fi
    if ! [ -f "$1" ] && ! [ -d "$1" ]; then fail 'it is neither a file nor a directory'; fi
else
    kind=pattern
    case $1 in
        *[*?[]*) ;;
        *)
            ls -d "$1" >/dev/null
            fail 'there is no such file'
            ;;
    esac
    IFS=
    # shellcheck disable=SC2086 # expanding names is what this is for; nothing else can be in it
    set -- $1${only:+/}
    [ -e "$1" ] || [ -L "$1" ] || fail 'nothing matches'
fi

printf '%s\0' "$marker" "$kind" "$@" ''
printf '%s\0' "$@" | xargs -0 sh -c 'exec find "$@" -type f -print0' amibake-find | xargs -0 -r sha256sum --
echo
printf '%s\0' "$@" | tar -c -f - -P -S --hard-dereference --format=gnu --null --no-unquote -T -
