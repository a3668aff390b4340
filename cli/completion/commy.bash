# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Completion of commy in bash. What there is to complete the program itself says, so that this file
# never changes with it.
_commy () {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    if [ "$line" = :files ]; then
      compopt -o default -o filenames 2>/dev/null
    else
      COMPREPLY+=("$line")
    fi
  done < <("$1" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _commy commy
