/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who the other side proved to be: a name and who vouches for it, immutable and shared.
 */
#include "config.h"

#include "security/commy-policy.h"

#include <string.h>

struct _CommyPrincipal
{
  gatomicrefcount ref_count;
  char *name;
  char *provider;
  gboolean own;
  GPtrArray *attributes; /* texts and NULL; or NULL: none */
};

G_DEFINE_BOXED_TYPE (CommyPrincipal, commy_principal, commy_principal_ref, commy_principal_unref)

CommyPrincipal *
commy_principal_new (const char *name, const char *provider)
{
  CommyPrincipal *principal = g_new0 (CommyPrincipal, 1);

  g_atomic_ref_count_init (&principal->ref_count);
  principal->name = g_strdup (name);
  principal->provider = g_strdup (provider);
  return principal;
}

void
commy_principal_set_own (CommyPrincipal *principal)
{
  principal->own = TRUE;
}

gboolean
commy_principal_is_own (CommyPrincipal *principal)
{
  return principal->own;
}

void
commy_principal_add_attribute (CommyPrincipal *principal, const char *attribute)
{
  if (principal->attributes == NULL)
    principal->attributes = g_ptr_array_new_with_free_func (g_free);
  else
    g_ptr_array_set_size (principal->attributes, (int) principal->attributes->len - 1);
  g_ptr_array_add (principal->attributes, g_strdup (attribute));
  g_ptr_array_add (principal->attributes, NULL);
}

const char *const *
commy_principal_get_attributes (CommyPrincipal *principal)
{
  static const char *const none[] = { NULL };

  g_return_val_if_fail (principal != NULL, none);
  return principal->attributes != NULL ? (const char *const *) principal->attributes->pdata : none;
}

gboolean
commy_principal_is_same (CommyPrincipal *principal, CommyPrincipal *other)
{
  return principal == other
         || (strcmp (principal->name, other->name) == 0
             && g_strv_equal (commy_principal_get_attributes (principal),
                              commy_principal_get_attributes (other)));
}

CommyPrincipal *
commy_principal_ref (CommyPrincipal *principal)
{
  g_return_val_if_fail (principal != NULL, NULL);
  g_atomic_ref_count_inc (&principal->ref_count);
  return principal;
}

void
commy_principal_unref (CommyPrincipal *principal)
{
  if (principal == NULL || !g_atomic_ref_count_dec (&principal->ref_count))
    return;
  g_free (principal->name);
  g_free (principal->provider);
  g_clear_pointer (&principal->attributes, g_ptr_array_unref);
  g_free (principal);
}

const char *
commy_principal_get_name (CommyPrincipal *principal)
{
  g_return_val_if_fail (principal != NULL, NULL);
  return principal->name;
}

const char *
commy_principal_get_provider (CommyPrincipal *principal)
{
  g_return_val_if_fail (principal != NULL, NULL);
  return principal->provider;
}
