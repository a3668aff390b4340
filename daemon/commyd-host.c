/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's own entry, hosts/BOOT-ID: what a host is, and how busy it is. It lives under a lease
 * of the daemon and is written again when the load has changed so much that somebody may care.
 */
#include "config.h"

#include "daemon/commyd-server.h"
#include "daemon/commyd-value.h"

#include "base/commy-env.h"

#include <math.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

#define LEASE_TTL_NS G_GINT64_CONSTANT (2000000000)
#define LOOK_S 30u
#define CHANGE 0.25

static double
read_load (void)
{
  double load = 0;

  return getloadavg (&load, 1) == 1 ? load : 0;
}

static GBytes *
describe (CommydServer *self)
{
  const guint64 page = (guint64) MAX (sysconf (_SC_PAGESIZE), 0);
  g_autoptr (GVariant) value = NULL;
  GVariantDict dict;
  char *text;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "name", "s", g_get_host_name ());
  g_variant_dict_insert (&dict, "host", "s", commy_env_host_id ());
  g_variant_dict_insert (&dict, "cpus", "u", (guint32) g_get_num_processors ());
  g_variant_dict_insert (&dict, "memory", "t", page * (guint64) MAX (sysconf (_SC_PHYS_PAGES), 0));
  g_variant_dict_insert (&dict, "load", "d", self->host_load);
  g_variant_dict_insert (&dict, "commyd", "s", PACKAGE_VERSION);
  g_variant_dict_insert (&dict, "since", "x", self->since);
  value = g_variant_ref_sink (g_variant_dict_end (&dict));
  text = g_variant_print (value, TRUE);
  return g_bytes_new_take (text, strlen (text));
}

static void
on_written (gpointer data, const CommyStoreResult *result, const GError *error)
{
  CommydServer *self = data;

  if (error != NULL)
    g_message ("the entry of this host was not written: %s", error->message);
  commyd_server_end_write (self);
}

static void
run_put (gpointer data)
{
  CommydServer *self = data;
  g_autoptr (GBytes) plain = describe (self);
  g_autoptr (GBytes) value = commyd_value_wrap (plain, self->rights.own_uid);
  const CommyStoreOp op = {
    .kind = COMMY_STORE_PUT, .key = self->host_key, .value = value, .lease = self->host_lease
  };

  self->ops->txn (self->store, NULL, 0, &op, 1, on_written, self);
}

static void
on_granted (gpointer data, const CommyStoreResult *result, const GError *error)
{
  CommydServer *self = data;

  if (error == NULL)
    {
      self->host_lease = result->lease;
      run_put (self);
      return;
    }
  g_message ("the entry of this host has no lease: %s", error->message);
  commyd_server_end_write (self);
}

static void
run_update (gpointer data)
{
  CommydServer *self = data;

  if (self->host_lease != 0)
    run_put (self);
  else
    self->ops->grant (self->store, LEASE_TTL_NS, on_granted, self);
}

static gboolean
on_look (gpointer data)
{
  CommydServer *self = data;
  double load = read_load ();

  if (self->host_lease != 0 && fabs (load - self->host_load) < CHANGE * MAX (self->host_load, 1))
    return G_SOURCE_CONTINUE;
  self->host_load = load;
  commyd_server_write (self, run_update, self);
  return G_SOURCE_CONTINUE;
}

void
commyd_host_start (CommydServer *self)
{
  self->host_key = g_strconcat (COMMYD_HOSTS, commy_env_host_id (), NULL);
  self->host_load = read_load ();
  self->host_timer = g_timeout_add_seconds (LOOK_S, on_look, self);
  commyd_server_write (self, run_update, self);
}

void
commyd_host_stop (CommydServer *self)
{
  if (self->host_timer != 0)
    g_source_remove (self->host_timer);
  self->host_timer = 0;
  if (self->host_lease != 0)
    commyd_server_doom (self, self->host_lease);
  self->host_lease = 0;
  g_clear_pointer (&self->host_key, g_free);
}
