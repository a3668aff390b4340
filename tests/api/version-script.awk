# SPDX-License-Identifier: LGPL-2.1-or-later
# From the list of symbols (commy-1.symbols: a name, and the version that brought it if that is not
# 0.1.0) the linker's version script: one node for each version, and nothing else leaves the library.
# Names in `private` are exported as well, in a node that promises nothing.
/^#/ || NF == 0 { next }
{
  version = NF > 1 ? $2 : "0.1.0"
  if (!(version in names))
    order[++n] = version
  names[version] = names[version] "    " $1 ";\n"
}
END {
  for (i = 1; i <= n; i++)
    printf "COMMY_%s {\n  global:\n%s%s};\n", order[i], names[order[i]], i == 1 ? "  local:\n    *;\n" : ""
  gsub (/ /, ";\n    ", private)
  if (private != "")
    printf "COMMY_PRIVATE {\n  global:\n    %s;\n};\n", private
}
