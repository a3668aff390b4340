/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rights: see the header.
 */
#include "config.h"

#include "daemon/commyd-rights.h"

#include "base/commy-error-private.h"

#include <string.h>

#define SERVICES "services/"
#define DENIED "denied/"
#define NOBODY G_MAXUINT32

/* The kernel tells who somebody is, and no more. */
static const char *const nothing_more[] = { NULL };

/* [policy NAME] groups take away; what none of them says anything about is free for everybody:
 * of offers callers decide again whom they believe, and keys have owners. */
static gboolean
is_denied (const CommydRights *self,
           CommyVerb verb,
           guint32 uid,
           const char *resource,
           CommyPolicyVerdict *out_verdict)
{
  static const CommyPolicyPath path
      = { .where = COMMY_WHERE_LOCAL, .security = COMMY_SECURITY_KERNEL };
  g_autofree char *principal = g_strdup_printf ("unix:uid=%u", uid);
  const CommyPolicyRequest request = { .verb = verb,
                                       .principal = principal,
                                       .resource = resource,
                                       .path = &path,
                                       .attributes = nothing_more,
                                       .wall_us = g_get_real_time () };

  *out_verdict = commy_policy_judge (self->policy, &request);
  /* Rules are about texts; where there are any, other bytes are no way around them. */
  if (!g_utf8_validate (resource, -1, NULL) && commy_policy_is_about (self->policy, verb))
    out_verdict->rule = "any";
  return !out_verdict->allowed && out_verdict->rule != NULL;
}

static gboolean
check_offer (const CommydRights *self, guint32 uid, const char *key, GError **error)
{
  const char *name = key + strlen (SERVICES);
  const char *slash = strchr (name, '/');
  g_autofree char *service = NULL;
  CommyPolicyVerdict verdict;

  if (slash == NULL)
    {
      commy_set_error (error, COMMY_ERROR_DENIED, "%s is no key of an instance: services/NAME/ID",
                       key);
      return FALSE;
    }
  service = g_strndup (name, (gsize) (slash - name));
  if (!is_denied (self, COMMY_VERB_OFFER, uid, service, &verdict))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_DENIED,
                   "unix:uid=%u may not offer %s here: [policy %s] of commyd (%s)", uid, service,
                   verdict.rule, verdict.origin);
  return FALSE;
}

gboolean
commyd_rights_is_denial (const char *key)
{
  return g_str_has_prefix (key, DENIED);
}

gboolean
commyd_rights_touches_denials (const CommyStoreOp *op)
{
  return commyd_rights_is_denial (op->key)
         || (op->kind == COMMY_STORE_DELETE_PREFIX && g_str_has_prefix (DENIED, op->key));
}

gboolean
commyd_rights_may_read (const CommydRights *self, guint32 uid, const char *key)
{
  CommyPolicyVerdict verdict;

  return uid == 0 || uid == self->own_uid || commyd_rights_is_denial (key)
         || !commy_policy_is_about (self->policy, COMMY_VERB_READ)
         || !is_denied (self, COMMY_VERB_READ, uid, key, &verdict);
}

typedef struct
{
  const CommydRights *rights;
  guint32 uid;
  CommyPolicyVerdict verdict;
} Writer;

static gboolean
may_not_write (gpointer data, const char *key)
{
  Writer *writer = data;

  return is_denied (writer->rights, COMMY_VERB_WRITE, writer->uid, key, &writer->verdict);
}

/* The keys that an operation changes. */
static gboolean
check_write (const CommydRights *self, guint32 uid, const CommyStoreOp *op, GError **error)
{
  Writer writer = { .rights = self, .uid = uid };
  const char *key = NULL;

  if (!commy_policy_is_about (self->policy, COMMY_VERB_WRITE))
    return TRUE;
  if (op->kind == COMMY_STORE_DELETE_PREFIX)
    key = commyd_ledger_find_where (self->ledger, op->key, may_not_write, &writer);
  else if (may_not_write (&writer, op->key))
    key = op->key;
  if (key == NULL)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_DENIED,
                   "unix:uid=%u may not write %s here: [policy %s] of commyd (%s)", uid, key,
                   writer.verdict.rule, writer.verdict.origin);
  return FALSE;
}

/* Who writes here shuts others out, so that somebody has to have allowed it. */
static gboolean
check_denial (const CommydRights *self, guint32 uid, const char *key, GError **error)
{
  static const CommyPolicyPath path
      = { .where = COMMY_WHERE_LOCAL, .security = COMMY_SECURITY_KERNEL };
  g_autofree char *principal = g_strdup_printf ("unix:uid=%u", uid);
  const CommyPolicyRequest request = { .verb = COMMY_VERB_WRITE,
                                       .principal = principal,
                                       .resource = key,
                                       .path = &path,
                                       .attributes = nothing_more,
                                       .wall_us = g_get_real_time () };

  if (!g_str_has_prefix (key, DENIED))
    return TRUE;
  if (g_utf8_validate (key, -1, NULL) && commy_policy_is_about (self->policy, COMMY_VERB_WRITE)
      && commy_policy_judge (self->policy, &request).allowed)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_DENIED,
                   "user %u may not write %s: what begins with " DENIED
                   " shuts others out; a [policy] of commyd with verbs=write and keys=" DENIED
                   "* allows it",
                   uid, key);
  return FALSE;
}

static gboolean
check_key (const CommydRights *self, guint32 uid, const char *key, GError **error)
{
  guint32 owner;
  gsize bytes;

  if (g_str_has_prefix (key, COMMYD_HOSTS))
    {
      commy_set_error (error, COMMY_ERROR_DENIED,
                       "user %u may not write %s: what begins with " COMMYD_HOSTS
                       " is written by commyd alone",
                       uid, key);
      return FALSE;
    }
  if (!check_denial (self, uid, key, error))
    return FALSE;
  if (!commyd_ledger_find (self->ledger, key, &owner, &bytes) || owner == uid)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_DENIED,
                   "user %u may not write %s: it is user %u's, who can remove it", uid, key, owner);
  return FALSE;
}

static gboolean
check_prefix (const CommydRights *self, guint32 uid, const char *prefix, GError **error)
{
  guint32 owner;
  const char *key = commyd_ledger_find_foreign (self->ledger, prefix, uid, &owner);
  const CommyStoreOp op = { .kind = COMMY_STORE_DELETE_PREFIX, .key = (char *) prefix };

  /* Those whom he shut out himself he lets in only while he may shut others out. */
  if (key == NULL && commyd_rights_touches_denials (&op)
      && commyd_ledger_find_foreign (self->ledger, DENIED, NOBODY, &owner) != NULL)
    return check_denial (self, uid, DENIED, error);
  if (key == NULL)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_DENIED,
                   "user %u may not remove all that begins with \"%s\": %s is user %u's", uid,
                   prefix, key, owner);
  return FALSE;
}

/* What removals give back is not counted: who is at the limit removes first. */
static gboolean
check_room (
    const CommydRights *self, guint32 uid, const CommyStoreOp *ops, gsize n_ops, GError **error)
{
  CommydUsage usage = commyd_ledger_usage (self->ledger, uid);
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  gboolean grows = FALSE;

  for (gsize i = 0; i < n_ops; i++)
    {
      guint32 owner;
      gsize before = 0;

      if (ops[i].kind != COMMY_STORE_PUT)
        continue;
      usage.bytes
          += strlen (ops[i].key) + (ops[i].value != NULL ? g_bytes_get_size (ops[i].value) : 0);
      /* What a key had is given back once. */
      if (g_hash_table_add (seen, (gpointer) ops[i].key)
          && commyd_ledger_find (self->ledger, ops[i].key, &owner, &before) && owner == uid)
        usage.bytes -= MIN (usage.bytes, before);
      else
        usage.keys++;
      grows = TRUE;
    }
  if (!grows || (usage.keys <= self->limits.keys && usage.bytes <= self->limits.bytes))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_BUSY,
                   "user %u would have %" G_GUINT64_FORMAT " keys of %" G_GUINT64_FORMAT
                   " bytes in commyd: %u and %" G_GUINT64_FORMAT
                   " are allowed (keys and bytes of [daemon])",
                   uid, usage.keys, usage.bytes, self->limits.keys, self->limits.bytes);
  return FALSE;
}

gboolean
commyd_rights_check (const CommydRights *self,
                     guint32 uid,
                     const CommyStoreOp *ops,
                     gsize n_ops,
                     const CommyStoreOp **out_op,
                     GError **error)
{
  *out_op = NULL;
  if (uid == 0 || uid == self->own_uid)
    return TRUE;
  for (gsize i = 0; i < n_ops; i++)
    {
      const char *key = ops[i].key;

      *out_op = &ops[i];
      if (ops[i].kind == COMMY_STORE_DELETE_PREFIX && !check_prefix (self, uid, key, error))
        return FALSE;
      if (ops[i].kind != COMMY_STORE_DELETE_PREFIX && !check_key (self, uid, key, error))
        return FALSE;
      if (!check_write (self, uid, &ops[i], error))
        return FALSE;
      if (ops[i].kind == COMMY_STORE_PUT && g_str_has_prefix (key, SERVICES)
          && !check_offer (self, uid, key, error))
        return FALSE;
    }
  *out_op = NULL;
  return check_room (self, uid, ops, n_ops, error);
}
