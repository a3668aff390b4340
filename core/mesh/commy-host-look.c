/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One record a service, under a lease, written twice an interval: that it is written says that
 * somebody looks.
 */
#include "config.h"

#include "mesh/commy-host-look.h"

#include "control/commy-host-checks.h"
#include "mesh/commy-check.h"
#include "mesh/commy-health-checks.h"

#include <string.h>

#define SERVICE_GROUP "service "
#define LEASE_NS G_GINT64_CONSTANT (10000000000)
#define TELLS_AN_INTERVAL 2
#define PAUSE_MOST 6u /* 2^6 turns */

struct _CommyHostLook
{
  grefcount refs;      /* the mesh's, and one for each question to the store */
  CommyMesh *mesh;     /* NULL: it is being left */
  GPtrArray *services; /* of Looked */
  gint64 lease;        /* 0: none yet */
  gboolean granting;
};

typedef struct
{
  CommyHostLook *look;
  char *name;
  char *key;
  GSource *timer;
  gboolean writing;
  gint64 lease;    /* of the last write */
  guint n_refused; /* times in turn that the store would not have it */
  guint n_to_skip; /* turns, therefore */
} Looked;

static void
looked_free (gpointer data)
{
  Looked *self = data;

  g_source_unref (self->timer);
  g_free (self->name);
  g_free (self->key);
  g_free (self);
}

static CommyHostLook *
look_ref (CommyHostLook *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

static void
look_unref (CommyHostLook *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;
  g_ptr_array_unref (self->services);
  g_free (self);
}

static const CommyStoreOps *
ops_of (const CommyHostLook *self)
{
  return &self->mesh->store->ops.store;
}

/* --- telling --- */

static void
on_granted (gpointer data, const CommyStoreResult *result, const GError *error)
{
  CommyHostLook *self = data;

  self->granting = FALSE;
  self->lease = error == NULL ? result->lease : 0;
  look_unref (self);
}

static void
ensure_lease (CommyHostLook *self)
{
  if (self->lease != 0 || self->granting)
    return;
  self->granting = TRUE;
  ops_of (self)->grant (self->mesh->store->instance, LEASE_NS, on_granted, look_ref (self));
}

static void
on_revoked (gpointer data, const CommyStoreResult *result, const GError *error)
{
  look_unref (data); /* mostly it is an error: there is none */
}

/* What was written under it before goes with it, and is written again in a moment. */
static void
give_lease_up (CommyHostLook *self, gint64 lease)
{
  if (self->lease != lease)
    return; /* another record's write failed before, and there is a new one */
  self->lease = 0;
  if (self->mesh != NULL)
    ops_of (self)->revoke (self->mesh->store->instance, lease, on_revoked, look_ref (self));
}

/* Whose record it is that the store will not have: a new lease would change nothing. */
static gboolean
is_refusal (const GError *error)
{
  return g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DENIED)
         || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_TOO_BIG);
}

/* A lease that is gone is taken anew: the store may have been away. */
static void
on_written (gpointer data, const CommyStoreResult *result, const GError *error)
{
  Looked *self = data;
  CommyHostLook *look = self->look;

  self->writing = FALSE;
  if (error != NULL)
    g_message ("what was found of %s was not written: %s", self->name, error->message);
  if (error == NULL)
    self->n_refused = 0;
  else if (is_refusal (error))
    {
      self->n_refused = MIN (self->n_refused + 1, PAUSE_MOST);
      self->n_to_skip = (1u << self->n_refused) - 1;
    }
  else
    give_lease_up (look, self->lease);
  look_unref (look);
}

static gboolean
on_tell (gpointer data)
{
  Looked *self = data;
  CommyHostLook *look = self->look;
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GBytes) value = NULL;
  CommyStoreOp op = { .kind = COMMY_STORE_PUT, .key = self->key };

  if (self->n_to_skip > 0)
    {
      self->n_to_skip--;
      return G_SOURCE_CONTINUE;
    }
  ensure_lease (look);
  if (self->writing || look->lease == 0
      || !commy_health_checks_write (look->mesh->health, self->name, text))
    return G_SOURCE_CONTINUE;
  value = g_bytes_new (text->str, text->len);
  op.value = value;
  op.lease = self->lease = look->lease;
  self->writing = TRUE;
  look_ref (look);
  ops_of (look)->txn (look->mesh->store->instance, NULL, 0, &op, 1, on_written, self);
  return G_SOURCE_CONTINUE;
}

/* --- who is looked at --- */

static void
on_ensured (gpointer data, const GError *error)
{
}

static void
look_at (CommyHostLook *self, const char *service)
{
  g_autofree char *prefix = commy_host_checks_dup_prefix (commy_env_host_id ());
  CommyCheckSpec *spec = commy_check_spec_new (self->mesh->config, service);
  Looked *looked;

  if (spec == NULL)
    return;
  looked = g_new0 (Looked, 1);
  looked->look = self;
  looked->name = g_strdup (service);
  looked->key = g_strconcat (prefix, service, NULL);
  looked->timer
      = g_timeout_source_new ((guint) MAX (spec->interval_ns / 1000000 / TELLS_AN_INTERVAL, 1));
  commy_check_spec_unref (spec);
  g_source_set_callback (looked->timer, on_tell, looked, NULL);
  g_source_attach (looked->timer, self->mesh->context);
  g_ptr_array_add (self->services, looked);
  commy_registry_ensure (self->mesh->registry, service, FALSE, on_ensured, NULL);
}

/* --- life --- */

CommyHostLook *
commy_host_look_new (CommyMesh *mesh)
{
  g_autoptr (GPtrArray) groups = NULL;
  CommyHostLook *self;

  if (!mesh->looks_for_host)
    return NULL;
  self = g_new0 (CommyHostLook, 1);
  g_ref_count_init (&self->refs);
  self->mesh = mesh;
  self->services = g_ptr_array_new_with_free_func (looked_free);
  ensure_lease (self);
  groups = commy_config_list_groups (mesh->config, SERVICE_GROUP);
  for (guint i = 0; i < groups->len; i++)
    look_at (self, (const char *) groups->pdata[i] + strlen (SERVICE_GROUP));
  return self;
}

void
commy_host_look_free (CommyHostLook *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->services->len; i++)
    g_source_destroy (((Looked *) self->services->pdata[i])->timer);
  self->mesh = NULL;
  look_unref (self);
}
