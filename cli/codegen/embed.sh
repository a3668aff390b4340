#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Prints files as arrays of lines in C: NAME.tmpl becomes commy_codegen_NAME.
set -eu
printf '/* Made by embed.sh. */\n#include "config.h"\n\n#include "cli/codegen/commy-codegen.h"\n'
for file; do
  name=$(basename "$file" .tmpl)
  printf '\nconst char *const commy_codegen_%s[] = {\n' "$name"
  sed -e 's/\\/\\\\/g; s/"/\\"/g; s/^/  "/; s/$/",/' "$file"
  printf '  NULL,\n};\n'
done
