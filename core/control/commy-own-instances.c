/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Own instances: see the header. What is kept is read from the record that was written, because
 * the instance itself goes on being changed while snapshots are shared.
 */
#include "config.h"

#include "control/commy-own-instances.h"

#include "base/commy-error-private.h"
#include "base/commy-failpoint.h"
#include "control/commy-source.h"

#include <string.h>

struct _CommyOwnInstances
{
  grefcount refs; /* one for each that is being added, one for who made it */
  gboolean is_closed;
  CommyRegistration *registration;
  CommyOwnGoneFunc gone;
  gpointer data;
  GHashTable *offered; /* key of the store -> CommyInstance */
};

typedef struct
{
  CommyOwnInstances *own;
  CommyRegistrationFunc func;
  gpointer data;
  CommyInstance *copy; /* NULL: what was written cannot be read */
} Adding;

static void
own_unref (CommyOwnInstances *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;
  g_hash_table_unref (self->offered);
  g_free (self);
}

static char *
dup_key (const CommyInstance *instance)
{
  return g_strdup_printf (COMMY_SERVICES_PREFIX "%s/%s", instance->service, instance->id);
}

static GBytes *
dup_record (CommyInstance *instance)
{
  char *text = commy_instance_write (instance);

  return g_bytes_new_take (text, strlen (text));
}

static CommyInstance *
read_back (const CommyInstance *instance, GBytes *record)
{
  gsize size;
  const char *text = g_bytes_get_data (record, &size);

  return commy_instance_read (instance->id, instance->service, text, size, NULL);
}

static void
keep (CommyOwnInstances *self, CommyInstance *copy)
{
  copy->lease = commy_registration_get_lease (self->registration);
  g_hash_table_replace (self->offered, dup_key (copy), copy);
}

static void
on_added (gpointer data, const GError *error)
{
  Adding *adding = data;
  CommyOwnInstances *self = adding->own;

  if (error == NULL && !self->is_closed && adding->copy != NULL)
    keep (self, g_steal_pointer (&adding->copy));
  adding->func (adding->data, error);
  g_clear_pointer (&adding->copy, commy_instance_unref);
  own_unref (self);
  g_free (adding);
}

void
commy_own_instances_add (CommyOwnInstances *self,
                         CommyInstance *instance,
                         CommyRegistrationFunc done,
                         gpointer data)
{
  g_autofree char *key = dup_key (instance);
  g_autoptr (GBytes) value = dup_record (instance);
  g_autoptr (GError) error = NULL;
  Adding *adding;

  if (COMMY_FAILPOINT ("registry-add"))
    {
      commy_set_error (&error, COMMY_ERROR_STORE, "fail point registry-add");
      done (data, error);
      return;
    }
  adding = g_new (Adding, 1);
  *adding = (Adding){ self, done, data, read_back (instance, value) };
  g_ref_count_inc (&self->refs);
  commy_registration_add (self->registration, key, value, on_added, adding);
}

void
commy_own_instances_update (CommyOwnInstances *self,
                            CommyInstance *instance,
                            CommyRegistrationFunc done,
                            gpointer data)
{
  g_autofree char *key = dup_key (instance);
  g_autoptr (GBytes) value = dup_record (instance);
  CommyInstance *copy
      = g_hash_table_contains (self->offered, key) ? read_back (instance, value) : NULL;

  if (copy != NULL)
    keep (self, copy);
  commy_registration_update (self->registration, key, value, done, data);
}

void
commy_own_instances_remove (CommyOwnInstances *self,
                            CommyInstance *instance,
                            CommyRegistrationFunc done,
                            gpointer data)
{
  g_autofree char *key = dup_key (instance);

  if (g_hash_table_remove (self->offered, key))
    self->gone (self->data, instance->service, instance->id);
  commy_registration_remove (self->registration, key, done, data);
}

void
commy_own_instances_append (CommyOwnInstances *self,
                            const char *service,
                            GHashTable *listed,
                            GPtrArray *out)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->offered);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      CommyInstance *instance = value;

      if (strcmp (instance->service, service) == 0 && !g_hash_table_contains (listed, instance->id))
        g_ptr_array_add (out, commy_instance_ref (instance));
    }
}

CommyOwnInstances *
commy_own_instances_new (CommyRegistration *registration, CommyOwnGoneFunc gone, gpointer data)
{
  CommyOwnInstances *self = g_new0 (CommyOwnInstances, 1);

  g_ref_count_init (&self->refs);
  self->registration = registration;
  self->gone = gone;
  self->data = data;
  self->offered = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                         (GDestroyNotify) commy_instance_unref);
  return self;
}

void
commy_own_instances_free (CommyOwnInstances *self)
{
  if (self == NULL)
    return;
  self->is_closed = TRUE;
  own_unref (self);
}
