# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of commy in fish. What there is to complete the program itself says.
function __commy_candidates
  set -l words (commandline -opc) (commandline -ct)
  for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
    if test "$line" = :files
      __fish_complete_path (commandline -ct)
    else
      echo $line
    end
  end
end
complete -c commy -f -a '(__commy_candidates)'
