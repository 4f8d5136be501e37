# What a cell reads that has somebody to answer: its standard input is one file, __syla_none, at its end, so that what
# reads it otherwise sees that; by that file `read` knows that it is to ask. All that it can be told it does as bash's
# own, which gets the answers.

# A line for the cell, in __syla_line; 1 at the end. Takes the prompt, whether it is hidden, and seconds to wait.
__syla_ask() {
  local IFS='' __syla_at __syla_code __syla_part __syla_said=''
  local -a __syla_timed=(${3:+-t} ${3:+"$3"})
  for ((__syla_at = 0; __syla_at < ${#1} && __syla_at < 2000; __syla_at++)); do
    printf -v __syla_code %d "'${1:__syla_at:1}"
    if ((__syla_code < 0)); then ((__syla_code &= 255)); fi
    if ((__syla_code > 0xffff)); then
      ((__syla_code -= 0x10000))
      printf -v __syla_part '\\u%04x\\u%04x' $((0xd800 + (__syla_code >> 10))) $((0xdc00 + (__syla_code & 0x3ff)))
    else
      printf -v __syla_part '\\u%04x' "$__syla_code"
    fi
    __syla_said+=$__syla_part
  done
  __syla_say "{\"say\":\"input\",\"prompt\":\"$__syla_said\",\"password\":$2}"
  builtin read -r "${__syla_timed[@]}" -u "$__syla_commands" __syla_line || return
  case $__syla_line in
    ': ='*) printf -v __syla_line %b "${__syla_line#': ='}" ;;
    *) return 1 ;;
  esac
}

__syla_asks() { [[ /dev/fd/$1 -ef /dev/fd/$__syla_none ]]; }

read() {
  { local -; set +exu; } 2>/dev/null
  local __syla_option __syla_value __syla_letters __syla_at=0 __syla_status=0 __syla_in
  local __syla_fd=0 __syla_prompt='' __syla_hidden=false __syla_seconds='' __syla_end=$'\n' __syla_count=0
  local -a __syla_given=("$@") __syla_passed=()
  while [[ ${__syla_given[__syla_at]-} == -?* && ${__syla_given[__syla_at]} != -- ]]; do
    __syla_letters=${__syla_given[__syla_at]#-}
    while [ -n "$__syla_letters" ]; do
      __syla_option=${__syla_letters:0:1} __syla_letters=${__syla_letters:1}
      case $__syla_option in
        [adinNptu])
          __syla_value=$__syla_letters __syla_letters=''
          if [ -z "$__syla_value" ]; then __syla_value=${__syla_given[__syla_at += 1]-}; fi
          ;;
      esac
      case $__syla_option in
        r) __syla_passed+=(-r) ;;
        e | i) ;;
        s) __syla_hidden=true ;;
        p) __syla_prompt=$__syla_value ;;
        t) __syla_seconds=$__syla_value ;;
        u) __syla_fd=$__syla_value ;;
        d) __syla_end=${__syla_value:0:1} ;;&
        N) __syla_count=$__syla_value ;;&
        [adnN]) __syla_passed+=("-$__syla_option" "$__syla_value") ;;
        *) __syla_fd=none ;;
      esac
    done
    ((__syla_at += 1))
  done
  if ! __syla_asks "$__syla_fd"; then
    builtin read "$@"
    return
  fi
  if [ "$__syla_seconds" = 0 ]; then
    [ -n "$__syla_rest" ]
    return
  fi
  if [ "${__syla_given[__syla_at]-}" = -- ]; then ((__syla_at += 1)); fi
  until [ -n "$__syla_rest" ] && if [[ $__syla_count == [1-9]* ]]; then
    ((${#__syla_rest} >= __syla_count))
  else
    [[ -n $__syla_end && $__syla_rest == *"$__syla_end"* ]]
  fi; do
    __syla_ask "$__syla_prompt" "$__syla_hidden" "$__syla_seconds" || { __syla_status=$?; break; }
    __syla_rest+=$__syla_line$'\n' __syla_prompt=''
  done
  if [ -z "$__syla_rest" ]; then
    builtin read "${__syla_passed[@]}" -- "${__syla_given[@]:__syla_at}" </dev/null
    return "$__syla_status"
  fi
  exec {__syla_in}<<<"${__syla_rest%$'\n'}"
  builtin read "${__syla_passed[@]}" -u "$__syla_in" -- "${__syla_given[@]:__syla_at}"
  __syla_status=$?
  IFS= builtin read -r -d '' -u "$__syla_in" __syla_rest
  exec {__syla_in}<&-
  return "$__syla_status"
}

mapfile() {
  if [[ " $* " == *' -u'* ]] || ! __syla_asks 0; then
    builtin mapfile "$@"
    return
  fi
  local __syla_one __syla_all=''
  while IFS= read -r __syla_one; do __syla_all+=$__syla_one$'\n'; done
  if [ -z "$__syla_all" ]; then builtin mapfile "$@" </dev/null; else builtin mapfile "$@" <<<"${__syla_all%$'\n'}"; fi
}
readarray() { mapfile "$@"; }

cat() {
  if [[ $# -gt 0 && $* != - ]] || ! __syla_asks 0; then
    command cat "$@"
    return
  fi
  local __syla_one
  while IFS= read -r __syla_one; do printf '%s\n' "$__syla_one"; done
}

# `select name in words; do` is `while __syla_select name in words; do`, and without `in` about the arguments.
__syla_select() {
  { local -; set +exu; } 2>/dev/null
  local __syla_at __syla_shown=''
  local -a __syla_choices=("${@:2:$1}")
  shift $(($1 + 1))
  if [ "${2-}" = in ]; then __syla_choices=("${@:3}"); fi
  [ ${#__syla_choices[@]} -gt 0 ] || return
  REPLY=''
  while [ -z "$REPLY" ]; do
    for __syla_at in "${!__syla_choices[@]}"; do
      printf '%d) %s\n' $((__syla_at + 1)) "${__syla_choices[__syla_at]}" >&2
    done
    __syla_asks 0 || printf %s "${PS3-#? }" >&2
    if ! read -p "${PS3-#? }"; then
      echo
      return 1
    fi
  done
  printf -v "$1" %s ''
  if [[ $REPLY =~ ^[1-9][0-9]{0,5}$ ]]; then printf -v "$1" %s "${__syla_choices[REPLY - 1]-}"; fi
  return 0
}
alias select='while __syla_select "$#" "$@"'
