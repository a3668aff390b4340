/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system's clock and random source, and the ids made from them.
 */
#include "config.h"

#include "base/commy-env.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

static gint64
system_now_ns (gpointer data)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (gint64) now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

static void
system_random (gpointer data, gpointer out, gsize size)
{
  guint8 *at = out;

  while (size > 0)
    {
      gssize got = getrandom (at, MIN (size, 256), 0);

      if (got < 0)
        continue; /* only EINTR can happen for up to 256 bytes */
      at += got;
      size -= (gsize) got;
    }
}

const CommyEnv *
commy_env_system (void)
{
  static const CommyEnv env = { .now_ns = system_now_ns, .random = system_random };

  return &env;
}

void
commy_env_new_id (const CommyEnv *env, char out[33])
{
  static const char digits[] = "0123456789abcdef";
  guint8 bytes[16];

  env->random (env->data, bytes, sizeof bytes);
  for (guint i = 0; i < sizeof bytes; i++)
    {
      out[2 * i] = digits[bytes[i] >> 4];
      out[2 * i + 1] = digits[bytes[i] & 15];
    }
  out[32] = '\0';
}

guint64
commy_env_random64 (const CommyEnv *env)
{
  guint64 value;

  env->random (env->data, &value, sizeof value);
  return value;
}

const char *
commy_env_host_id (void)
{
  static gsize once = 0;

  if (g_once_init_enter (&once))
    {
      char *text = NULL;

      if (!g_file_get_contents ("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
        text = g_strdup ("");
      g_once_init_leave (&once, (gsize) g_strstrip (text));
    }
  return (const char *) once;
}
