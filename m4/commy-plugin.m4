dnl SPDX-License-Identifier: LGPL-2.1-or-later
dnl
dnl COMMY_PLUGIN(KIND, ID, [VARIABLE-PREFIX, PKG-CONFIG-MODULES])
dnl
dnl Declares one plugin: --enable-KIND-ID=yes|no|auto, the conditional ENABLE_KIND_ID for its
dnl make fragment, VARIABLE-PREFIX_CFLAGS/_LIBS, and a line in the summary.
AC_DEFUN([COMMY_PLUGIN], [
  m4_pushdef([_commy_var], m4_translit([$1_$2], [-], [_]))
  m4_pushdef([_commy_cond], m4_toupper(m4_translit([ENABLE_$1_$2], [-], [_])))
  AC_ARG_ENABLE([$1-$2],
    [AS_HELP_STRING([--disable-$1-$2], [leave out the $1 "$2"])],
    [], [enable_[]_commy_var=auto])
  commy_why=
  m4_ifval([$3], [
    AS_IF([test "x$enable_[]_commy_var" != xno],
      [PKG_CHECK_MODULES([$3], [$4], [],
        [AS_IF([test "x$enable_[]_commy_var" = xyes],
           [AC_MSG_ERROR([$1 $2 needs $4])])
         enable_[]_commy_var=no
         commy_why=" (needs $4)"])])])
  AS_IF([test "x$enable_[]_commy_var" = xno], [],
    [enable_[]_commy_var=yes])
  AM_CONDITIONAL(_commy_cond, [test "x$enable_[]_commy_var" = xyes])
  COMMY_SUMMARY="$COMMY_SUMMARY
    m4_format([%-24s], [$1 $2]) $enable_[]_commy_var$commy_why"
  m4_popdef([_commy_cond])
  m4_popdef([_commy_var])
])
