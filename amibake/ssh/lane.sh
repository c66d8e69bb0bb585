# shellcheck shell=sh
# Upload: what comes on standard input is passed on to the `put.sh` that has made the directory `name`, through its named
# pipe of this number. That is open once this has said so. The directory is where `put.sh` has it: in one of these.
set -eu
name=$1 number=$2
shift 2
round=0
until for beside do [ -p "$beside/lane$number" ] && cd -P "$beside" && break; done; do
    round=$((round + 1))
    [ "$round" -lt 100 ] # then it is not coming: it has ended
    sleep 0.05
done
# What is named so may be another's, if somebody who may write there has moved ours: in a directory which is ours and closed
# to everybody else, nobody has planted anything.
case $PWD in */"$name") ;; *) exit 1 ;; esac
case $(stat -c %a .) in 700 | 2700) ;; *) exit 1 ;; esac
# shellcheck disable=SC3067 # dash has it, and bash, and busybox
[ -O . ] && [ -p "lane$number" ] || exit 1
# First for both, which waits for nobody: if `put.sh` has just been cut, nobody would ever come.
# shellcheck disable=SC2094 # it is a pipe
exec 4<>"lane$number" 3>"lane$number" 4>&-
echo amibake-lane-open
cat >&3 || exit # not by `exec`: this process has the name in its command line, by which what was cut is found and killed
