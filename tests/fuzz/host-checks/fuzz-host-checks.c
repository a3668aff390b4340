/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a host's daemon is said to have found: what was read and is written again must read the
 * same, and what is no record tells nothing.
 */
#include "config.h"

#include "control/commy-host-checks.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define HOW "how"

typedef struct
{
  GString *again;
  guint n;
} Told;

static void
check (gboolean ok)
{
  if (!ok)
    abort ();
}

static void
on_verdict (gpointer data, const char *instance, CommyHealthState state, const char *reason)
{
  Told *told = data;

  check (strlen (instance) == 32 && strlen (reason) < COMMY_HEALTH_REASON_MAX);
  check (g_utf8_validate (reason, -1, NULL) && strchr (reason, '\n') == NULL);
  check (state >= COMMY_HEALTH_UNKNOWN && state <= COMMY_HEALTH_UNWELL);
  commy_host_checks_add (told->again, instance, state, reason);
  told->n++;
}

static void
count (gpointer data, const char *instance, CommyHealthState state, const char *reason)
{
  (*(guint *) data)++;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  Told told = { .again = g_string_new (NULL) };
  guint n = 0;

  commy_host_checks_begin (told.again, HOW);
  if (commy_host_checks_read ((const char *) data, size, HOW, on_verdict, &told)
      == COMMY_HOST_CHECKS_OK)
    {
      check (commy_host_checks_read (told.again->str, told.again->len, HOW, count, &n)
             == COMMY_HOST_CHECKS_OK);
      check (n == told.n);
    }
  else
    check (told.n == 0);
  g_string_free (told.again, TRUE);
  return 0;
}
