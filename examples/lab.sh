# What the examples share; each one begins with `. "$(dirname "$0")/lab.sh"`. It wants bash.
#
# An example is a lab in a directory of its own, which is where it runs. When it ends, for whatever reason, so do all
# the processes of the lab, and the directory goes. No step of it needs root.

set -eu
export PATH="$PATH:/usr/sbin:/sbin" # where ip, tc and nft are, and where an ordinary user's PATH does not look

export no_proxy='*' # for curl: a proxy of the host is of no use in a lab

LAB=$(mktemp -d)
cd "$LAB"

# With job control, each `&` starts a process group, which can be ended as a whole. What was started last ends first,
# so that no switch vanishes under a namespace.
set -m
clean_up() {
  local status=$? groups group
  trap '' EXIT HUP INT TERM
  [ "$status" = 0 ] || tail -q -n 5 ./*.log 2> /dev/null || true
  exec 2> /dev/null # bash would tell of each job's end
  groups=$(jobs -p | tac)
  (sleep 3 && for group in $groups; do kill -KILL -- "-$group"; done) & # those who do not listen
  for group in $groups; do
    kill -TERM -- "-$group" || true
    wait "$group" || true
    kill -KILL -- "-$group" || true # what the leader has left
  done
  kill -KILL -- "-$!" || true
  rm -rf "$LAB"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

fail() {
  echo "$*" >&2
  exit 1
}

# Waits until a command succeeds, 30 seconds at most: `wait_until test -S sw/ctl`.
wait_until() {
  local tries=300
  until "$@" > /dev/null 2>&1; do
    [ $((tries -= 1)) -gt 0 ] || fail "not within 30 seconds: $*"
    sleep 0.1
  done
}

# Starts a switch, whose locator is then vde://$LAB/NAME. It would end with its standard input, so that is a fifo which
# is open for writing too: `echo port/print 1<> NAME.in`, and the answer is in NAME.log.
switch() {
  mkfifo "$1.in"
  echo "\$ vde_switch -s $LAB/$1"
  vde_switch -s "$LAB/$1" <> "$1.in" > "$1.log" 2>&1 &
  wait_until test -S "$1/ctl"
}

# Starts vdens as if in a terminal of its own: `namespace NAME ARGUMENTS`. Its shell reads the fifo NAME.in. What ON holds
# comes before the command.
namespace() {
  mkfifo "$1.in" "$1.out"
  echo "$1\$ vdens ${*:2}"
  ${ON-} vdens "${@:2}" sh <> "$1.in" &
  type_in "$1" :
}

# Types lines into the shell of a namespace, one after the other: `at NAME LINES`. Ends with the first that fails, and
# with its status.
at() {
  local line
  while read -r line; do
    echo "$1# $line"
    type_in "$1" "$line" || return
  done <<< "$2"
}

type_in() {
  local status
  {
    printf '{ %s\n} < /dev/null\necho $? > %s.out\n' "$2" "$1" >&8
    read -r -t 30 status <&9 || fail "$1 does not answer"
  } 8<> "$1.in" 9<> "$1.out"
  return "$status"
}
