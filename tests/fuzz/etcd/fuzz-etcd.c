/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a server that calls itself etcd answers: the first byte chooses the kind of answer, the
 * rest is its text.
 */
#include "config.h"

#include "stores/etcd/commy-etcd-codec.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* What a store hands on: keys without NUL, values for all but deletions. */
static void
check_entries (CommyEtcdAnswerKind kind, const CommyEtcdAnswer *answer)
{
  for (guint i = 0; answer->entries != NULL && i < answer->entries->len; i++)
    {
      const CommyStoreEntry *entry = &g_array_index (answer->entries, CommyStoreEntry, i);

      g_assert_nonnull (entry->key);
      g_assert_cmpstr (entry->key, !=, "");
      g_assert_cmpint (entry->mod_revision, >, 0);
      if (kind == COMMY_ETCD_RANGE)
        g_assert_nonnull (entry->value);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_auto (CommyEtcdAnswer) answer = { 0 };
  g_autoptr (GError) error = NULL;
  CommyEtcdAnswerKind kind;

  if (size == 0)
    return 0;
  kind = (CommyEtcdAnswerKind) (data[0] % COMMY_ETCD_N_ANSWERS);
  if (!commy_etcd_read (kind, "p/", (const char *) data + 1, size - 1, &answer, &error))
    {
      g_assert_nonnull (error);
      return 0;
    }
  check_entries (kind, &answer);
  if (answer.message != NULL)
    g_assert_null (strchr (answer.message, '\n'));
  return 0;
}
