/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Typed C code for interfaces: what gdbus-codegen makes for D-Bus, for Commy.
 */
#pragma once

#include "cli/codegen/commy-template.h"

#include <gio/gio.h>

typedef struct
{
  const char *prefix;    /* stripped from names of interfaces; "" */
  const char *namespace; /* in CamelCase; "" */
} CommyCodegenNames;

/* Describes an interface as the templates want it, at the end of the list "interfaces".
 * FALSE with @error: two of its members would get one name in C. */
gboolean commy_codegen_add_interface (CommyScope *file,
                                      GDBusInterfaceInfo *interface,
                                      const CommyCodegenNames *names,
                                      GError **error);

/* The templates of both files, from templates/. */
extern const char *const commy_codegen_header[];
extern const char *const commy_codegen_body[];

/* --- commy-codegen-type.c: how a value of D-Bus's types is held in C --- */

typedef struct
{
  const char *type; /* "" for all others */
  const char *c_in; /* with what stands between it and a name */
  const char *c_out;
  const char *c_dup;    /* as it is kept by who owns it */
  const char *c_signal; /* as it is passed to handlers */
  const char *gtype;
  const char *format; /* of g_variant_new() and g_variant_get(); NULL: '@' and the type */
  const char *spec;   /* of a property: behind the nick and blurb */
  gboolean is_pointer;
  gboolean is_variant;
  const char *notes; /* for the documentation of an owned value */
} CommyCodegenType;

const CommyCodegenType *commy_codegen_find_type (const char *signature,
                                                 GDBusAnnotationInfo **annotations);

/* --- commy-codegen-name.c --- */

/* (transfer full): "GetUUIDOf" -> "get_uuidof", as gdbus-codegen does */
char *commy_codegen_to_lower (const char *camel);
/* (transfer full): the name of a member in C in lower case; its annotation org.gtk.GDBus.C.Name may
 * give another one */
char *commy_codegen_dup_member (const char *name, GDBusAnnotationInfo **annotations);
/* (transfer full): @text with '_' for what no identifier may have */
char *commy_codegen_dup_identifier (const char *text);
gboolean commy_codegen_is_reserved (const char *identifier);
