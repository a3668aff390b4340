/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asking a running daemon: see the header. It waits as long as a person would.
 */
#include "config.h"

#include "daemon/commyd-status.h"

#include "stores/common/commy-store-door.h"

#include "base/commy-error-private.h"
#include "base/commy-json.h"

#include <stdlib.h>

#define EXIT_NOT_RUNNING 3
#define PATIENCE_US (5 * G_USEC_PER_SEC)

static void
print_lines (GVariant *report)
{
  GVariantIter iter;
  const char *name;
  GVariant *value;

  g_variant_iter_init (&iter, report);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &value))
    {
      gboolean is_time
          = g_str_equal (name, "since") && g_variant_is_of_type (value, G_VARIANT_TYPE_INT64);
      g_autoptr (GDateTime) since
          = is_time ? g_date_time_new_from_unix_local (g_variant_get_int64 (value)) : NULL;
      g_autofree char *text = since != NULL ? g_date_time_format (since, "%F %T")
                              : g_variant_is_of_type (value, G_VARIANT_TYPE_STRING)
                                  ? g_variant_dup_string (value, NULL)
                                  : g_variant_print (value, FALSE);

      g_print ("%-12s %s\n", name, text);
    }
}

int
commyd_status_show (const char *socket, gboolean as_json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) report = NULL;
  int fd = store_door_connect (socket, &error);

  if (fd >= 0)
    report = store_door_ask (fd, "", PATIENCE_US, NULL, &error);
  if (report == NULL)
    {
      g_autoptr (GError) told
          = commy_error_new_from_wire ((guint32) error->code, FALSE, error->message);

      g_printerr ("commyd: %s\n", error->domain == COMMY_ERROR ? told->message : error->message);
      return EXIT_NOT_RUNNING;
    }
  if (as_json)
    {
      g_autofree char *json = commy_json_print (report, 2);

      g_print ("%s\n", json);
    }
  else
    print_lines (report);
  return EXIT_SUCCESS;
}
