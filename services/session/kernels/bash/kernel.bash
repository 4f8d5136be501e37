# Keeps a bash's state between cells. It is an interactive bash without a terminal, whose lines are the platform's: one
# that an interrupt ends takes the next, and what comes before its prompt says how the cell ended. Texts come as %b of
# printf reads them, and words go to what was descriptor 3.
PS1='' PS2=''
exec {__syla_words}>&3 3>&- 2>&"$__syla_errors" {__syla_errors}>&-
unset __syla_errors
exec {__syla_commands}<&0 {__syla_none}<<<''
builtin read -r -u "$__syla_none" __syla_rest
__syla_cell='' __syla_kind='' __syla_count=0 __syla_status=0 __syla_left=''
set +o history +H
declare -A __syla_before=()

__syla_say() { printf '%s\n' "$1" >&"$__syla_words"; }

# Cell, what kind of one, code, and names and values of variables; answers what the cell before answered.
__syla_begin() {
  local name value count=''
  __syla_cell=$1 __syla_left='' __syla_rest=''
  printf -v __syla_code %b "$3"
  __syla_kind=$2
  if [ "$2" = counted ]; then
    __syla_count=$((__syla_count + 1))
    count=",\"count\":$__syla_count"
  fi
  shift 3
  while [ $# -gt 0 ]; do
    name=$1
    printf -v value %b "$2"
    if [ -v "$name" ]; then __syla_before[$name]="=${!name}"; else __syla_before[$name]=; fi
    export "$name=$value"
    shift 2
  done
  __syla_say "{\"say\":\"started\",\"cell\":$__syla_cell$count}"
  return "$__syla_status"
}

__syla_prompt() {
  local status=$? outcome=ok name
  [ -n "$__syla_cell" ] || return
  if [ -n "$__syla_left" ]; then
    status=$__syla_left
  elif [ $status = 130 ]; then
    outcome=interrupted
    __syla_say '{"say":"error","name":"Interrupt","message":"The cell was interrupted."}'
  fi
  for name in "${!__syla_before[@]}"; do
    if [ -n "${__syla_before[$name]}" ]; then export "$name=${__syla_before[$name]#=}"; else unset "$name"; fi
  done
  __syla_before=() __syla_status=$status
  if [ $status != 0 ] && [ $outcome = ok ] && [ "$__syla_kind" != silent ]; then
    __syla_say "{\"say\":\"result\",\"main\":true,\"forms\":{\"text/plain\":\"exit status $status\"}}"
  fi
  __syla_say "{\"say\":\"ended\",\"cell\":$__syla_cell,\"outcome\":\"$outcome\"}"
  __syla_cell=''
}
PROMPT_COMMAND=__syla_prompt

# A cell that exits has ended; its shell stays. Below it, exit is what it is.
exit() {
  if [ "$BASHPID" != $$ ]; then builtin exit "$@"; fi
  __syla_left=${1:-$?}
  kill -INT $$
}

__syla_check() {
  local code said verdict=complete
  printf -v code %b "$2"
  if ! said=$(bash -n <<<"$code" 2>&1); then
    case $said in
      *'unexpected end of file'* | *'unexpected EOF'*) verdict=incomplete ;;
      *) verdict=invalid ;;
    esac
  fi
  __syla_say "{\"say\":\"reply\",\"to\":$1,\"verdict\":\"$verdict\"}"
}

__syla_complete() {
  local code word kind=-f match list='' number=0
  printf -v code %b "$2"
  word=${code##*[[:space:];|&(]}
  if [[ $word == \$* ]]; then
    kind=-v word=${word#\$}
  elif [[ ${code%"$word"} =~ (^|[\;\|\&\(])[[:space:]]*$ ]]; then
    kind=-c
  fi
  while builtin read -r match; do
    [[ $match =~ ^[A-Za-z0-9_./+@:-]+$ ]] || continue
    list+="${list:+,}\"$match\""
    [ $((number += 1)) -lt 500 ] || break
  done < <(compgen $kind -- "$word" | sort -u)
  __syla_say "{\"say\":\"reply\",\"to\":$1,\"matches\":[$list],\"start\":$((${#code} - ${#word})),\"end\":${#code}}"
}

__syla_nothing() { __syla_say "{\"say\":\"reply\",\"to\":$1}"; }

__syla_say '{"say":"ready"}'
