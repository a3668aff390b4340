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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
  else
    {
      commyd_server_note (self, result->revision);
      commyd_ledger_put (self->ledger, self->host_key, self->rights.own_uid, 0, self->host_lease);
    }
  commyd_server_end_write (self);
}

static void
run_put (gpointer data)
{
  CommydServer *self = data;
  g_autoptr (GBytes) plain = describe (self);
  const CommydStamp stamp
      = { .uid = self->rights.own_uid, .lease = self->host_lease, .boot = self->boot };
  g_autoptr (GBytes) value = commyd_value_wrap (plain, &stamp);
  const CommyStoreOp op = { .kind = COMMY_STORE_PUT, .key = self->host_key, .value = value };

  self->ops->txn (self->store, NULL, 0, &op, 1, on_written, self);
}

static gboolean
on_look (gpointer data)
{
  CommydServer *self = data;
  double load = read_load ();

  if (fabs (load - self->host_load) < CHANGE * MAX (self->host_load, 1))
    return G_SOURCE_CONTINUE;
  self->host_load = load;
  commyd_server_write (self, run_put, self);
  return G_SOURCE_CONTINUE;
}

void
commyd_host_start (CommydServer *self)
{
  self->host_key = g_strconcat (COMMYD_HOSTS, commy_env_host_id (), NULL);
  self->host_lease = commyd_server_grant (self);
  self->host_load = read_load ();
  self->host_timer = g_timeout_add_seconds (LOOK_S, on_look, self);
  commyd_server_write (self, run_put, self);
}

void
commyd_host_stop (CommydServer *self)
{
  if (self->host_timer != 0)
    g_source_remove (self->host_timer);
  self->host_timer = 0;
  if (self->host_lease != 0)
    commyd_server_doom (self, self->host_lease);
}
