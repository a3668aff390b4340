/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asks instances for their descriptions and keeps what came out. A description that has the hash
 * its instance announced speaks for all instances of that hash; any other only for its own, so that
 * nobody can talk ill of others.
 */
#include "config.h"

#include "mesh/commy-interface-check.h"

#include "base/commy-error-private.h"
#include "mesh/commy-client-private.h"
#include "mesh/commy-service-private.h"

#include <string.h>

#define DESCRIPTION_MAX (64u * 1024) /* comparing takes the mesh thread some ms then */
#define ASK_TIMEOUT_US (5 * G_USEC_PER_SEC)
#define ASK_AGAIN_NS G_GINT64_CONSTANT (30000000000)
#define ASKS_AT_ONCE 8u
/* Then all are forgotten and made anew as they are needed: hashes come from others. */
#define ENTRIES_MAX 1024u

typedef struct
{
  CommyInterfaceFinding finding;
  gint64 again_ns; /* when an UNKNOWN one may be asked again; G_MAXINT64: it would not help */
} Entry;

typedef struct
{
  gatomicrefcount refs;
  CommyInterfaceChecks *checks; /* NULL: they are gone; mesh thread */
  CommyMesh *mesh;
  CommyExpectation *expectation;
  CommyInstance *instance;
  GCancellable *cancellable;
  CommyClient *client; /* mesh thread; NULL: not begun */
} Ask;

typedef struct
{
  char *hash;
  CommyRegistryFunc done;
  gpointer data;
} Waiter;

struct _CommyInterfaceChecks
{
  CommyMesh *mesh;
  GMutex lock;         /* of all below */
  GHashTable *entries; /* "MINE THEIRS" or "MINE THEIRS INSTANCE" -> Entry */
  GPtrArray *asks;     /* Ask: under way, in the order in which they were begun */
  guint n_begun;
  GQueue waiters; /* Waiter */
  gboolean stopped;
};

/* --- life --- */

static void
ask_unref (gpointer data)
{
  Ask *self = data;

  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_clear_object (&self->client);
  g_object_unref (self->cancellable);
  commy_instance_unref (self->instance);
  commy_expectation_unref (self->expectation);
  g_object_unref (self->mesh);
  g_free (self);
}

static void
waiter_answer (Waiter *waiter, const GError *error)
{
  waiter->done (waiter->data, error);
  g_free (waiter->hash);
  g_free (waiter);
}

CommyInterfaceChecks *
commy_interface_checks_new (CommyMesh *mesh)
{
  CommyInterfaceChecks *self = g_new0 (CommyInterfaceChecks, 1);

  self->mesh = mesh;
  g_mutex_init (&self->lock);
  g_queue_init (&self->waiters);
  self->entries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->asks = g_ptr_array_new_with_free_func (ask_unref);
  return self;
}

void
commy_interface_checks_stop (CommyInterfaceChecks *self)
{
  g_autoptr (GPtrArray) asks = NULL;
  g_autoptr (GError) error = NULL;
  Waiter *waiter;

  commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
  g_mutex_lock (&self->lock);
  self->stopped = TRUE;
  asks = g_steal_pointer (&self->asks);
  self->asks = g_ptr_array_new_with_free_func (ask_unref);
  while ((waiter = g_queue_pop_head (&self->waiters)) != NULL)
    waiter_answer (waiter, error);
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < asks->len; i++)
    {
      Ask *ask = asks->pdata[i];

      ask->checks = NULL;
      g_cancellable_cancel (ask->cancellable);
    }
}

void
commy_interface_checks_free (CommyInterfaceChecks *self)
{
  if (self == NULL)
    return;
  commy_interface_checks_stop (self);
  g_hash_table_unref (self->entries);
  g_ptr_array_unref (self->asks);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* --- verdicts --- */

static void G_GNUC_PRINTF (3, 4)
    set_finding (CommyInterfaceFinding *finding, CommyInterfaceState state, const char *format, ...)
{
  va_list arguments;
  const char *end;

  finding->state = state;
  va_start (arguments, format);
  g_vsnprintf (finding->text, sizeof finding->text, format, arguments);
  va_end (arguments);
  if (!g_utf8_validate (finding->text, -1, &end)) /* cut inside of a letter */
    finding->text[end - finding->text] = '\0';
}

/* What others wrote, short and printable. */
static char *
dup_clean (const char *text)
{
  g_autofree char *start = g_strndup (text, 40);

  return g_strescape (start, NULL);
}

static const char *
text_of (GVariant *record, const char *key)
{
  const char *text = "";

  g_variant_lookup (record, key, "&s", &text);
  return text;
}

static void
describe_difference (GVariant *record, CommyInterfaceFinding *finding)
{
  g_autofree char *name = dup_clean (text_of (record, "name"));
  g_autofree char *mine = dup_clean (text_of (record, "client"));
  g_autofree char *theirs = dup_clean (text_of (record, "service"));
  const char *field = text_of (record, "field");
  const char *why = text_of (record, "why");
  g_autofree char *member
      = g_strjoin (name[0] != '\0' ? " " : "", text_of (record, "kind"), name, NULL);
  g_autofree char *index = NULL;
  guint32 number = 0;

  if (g_variant_lookup (record, "index", "u", &number))
    index = g_strdup_printf (" %u", number);
  if (strcmp (field, "member") == 0)
    set_finding (finding, finding->state, "%s: %s", member, why);
  else
    set_finding (finding, finding->state, "%s, %s%s is \"%s\", not \"%s\": %s", member, field,
                 index != NULL ? index : "", theirs, mine, why);
}

/* The first of those that the verdict comes from. */
static void
compare (GDBusInterfaceInfo *mine, GDBusInterfaceInfo *theirs, CommyInterfaceFinding *finding)
{
  static const char *const words[] = { "compatible", "warnings", "incompatible" };
  static const CommyInterfaceState states[]
      = { COMMY_INTERFACE_FITS, COMMY_INTERFACE_WARNS, COMMY_INTERFACE_DIFFERS };
  g_autoptr (GVariant) differences = NULL;
  CommySchemaVerdict verdict = commy_schema_compare (mine, theirs, &differences);
  gsize n = g_variant_n_children (differences);

  set_finding (finding, states[verdict], "%s", "");
  for (gsize i = 0; i < n && verdict != COMMY_SCHEMA_VERDICT_COMPATIBLE; i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (differences, i);

      if (strcmp (text_of (record, "verdict"), words[verdict]) != 0)
        continue;
      describe_difference (record, finding);
      return;
    }
}

/* Once for each entry: it is kept. */
static void
tell (const CommyInstance *instance, const CommyInterfaceFinding *finding)
{
  const char *service = instance->service;

  if (finding->state == COMMY_INTERFACE_DIFFERS)
    g_message ("%s (instance %.8s) does not fit the interface that this program was written for: "
               "%s",
               service, instance->id, finding->text);
  else if (finding->state == COMMY_INTERFACE_WARNS)
    g_message ("%s (instance %.8s) has another interface than this program was written for: %s",
               service, instance->id, finding->text);
  else if (finding->state == COMMY_INTERFACE_UNKNOWN)
    g_message ("the interface of %s (instance %.8s) is another one and was not compared: %s",
               service, instance->id, finding->text);
}

/* --- entries; lock held --- */

static char *
dup_key (const CommyExpectation *expectation, const CommyInstance *instance, gboolean alone)
{
  return g_strconcat (expectation->hash, " ", instance->interface_hash, alone ? " " : NULL,
                      instance->id, NULL);
}

static const Entry *
find_entry (CommyInterfaceChecks *self, const CommyExpectation *expectation, CommyInstance *of)
{
  g_autofree char *alone = dup_key (expectation, of, TRUE);
  g_autofree char *pair = dup_key (expectation, of, FALSE);
  const Entry *entry = g_hash_table_lookup (self->entries, alone);

  return entry != NULL ? entry : g_hash_table_lookup (self->entries, pair);
}

static gboolean
is_news (CommyInterfaceChecks *self,
         const CommyExpectation *expectation,
         CommyInstance *instance,
         const Entry *entry)
{
  const Entry *old = find_entry (self, expectation, instance);

  return old == NULL || old->finding.state != entry->finding.state;
}

/* @alone: of this instance only. */
static void
put_entry (CommyInterfaceChecks *self,
           const CommyExpectation *expectation,
           CommyInstance *instance,
           gboolean alone,
           const Entry *entry)
{
  g_autofree char *key = dup_key (expectation, instance, TRUE);

  if (g_hash_table_size (self->entries) >= ENTRIES_MAX)
    g_hash_table_remove_all (self->entries);
  if (!alone)
    g_hash_table_remove (self->entries, key);
  g_hash_table_replace (self->entries, dup_key (expectation, instance, alone),
                        g_memdup2 (entry, sizeof *entry));
}

/* One instance of a pair of hashes is asked at a time. */
static gboolean
is_asked (CommyInterfaceChecks *self, const CommyExpectation *expectation, CommyInstance *instance)
{
  for (guint i = 0; i < self->asks->len; i++)
    {
      const Ask *ask = self->asks->pdata[i];

      if (strcmp (ask->expectation->hash, expectation->hash) == 0
          && strcmp (ask->instance->interface_hash, instance->interface_hash) == 0)
        return TRUE;
    }
  return FALSE;
}

/* --- asking: mesh thread --- */

static void begin_asks (CommyInterfaceChecks *self);

/* Whoever waits sees the verdict no earlier than those who waited before: the lock is held. */
static void
wake_waiters (CommyInterfaceChecks *self, const char *hash)
{
  GQueue woken = G_QUEUE_INIT;
  Waiter *waiter;

  for (GList *at = self->waiters.head, *next; at != NULL; at = next)
    {
      next = at->next;
      if (strcmp (((Waiter *) at->data)->hash, hash) != 0)
        continue;
      g_queue_unlink (&self->waiters, at);
      g_queue_push_tail_link (&woken, at);
    }
  while ((waiter = g_queue_pop_head (&woken)) != NULL)
    waiter_answer (waiter, NULL);
}

static void
settle (Ask *ask, gboolean alone, const Entry *entry)
{
  CommyInterfaceChecks *self = ask->checks;
  gboolean news;

  g_mutex_lock (&self->lock);
  news = is_news (self, ask->expectation, ask->instance, entry);
  g_mutex_unlock (&self->lock);
  if (news)
    tell (ask->instance, &entry->finding);
  g_mutex_lock (&self->lock);
  put_entry (self, ask->expectation, ask->instance, alone, entry);
  self->n_begun--;
  g_ptr_array_remove (self->asks, ask);
  __atomic_add_fetch (&self->mesh->epoch, 1, __ATOMIC_RELEASE);
  wake_waiters (self, ask->expectation->hash);
  g_mutex_unlock (&self->lock);
  begin_asks (self);
}

/* Whether it is worth to ask the same instance again later. */
static gboolean
may_pass (const GError *error)
{
  if (error->domain != COMMY_ERROR)
    return FALSE;
  switch (error->code)
    {
    case COMMY_ERROR_DEADLINE:
    case COMMY_ERROR_UNREACHABLE:
    case COMMY_ERROR_REFUSED:
    case COMMY_ERROR_HANDSHAKE:
    case COMMY_ERROR_OUTCOME_UNKNOWN:
    case COMMY_ERROR_NO_ROUTE:
    case COMMY_ERROR_NO_SERVICE:
    case COMMY_ERROR_BUSY:
    case COMMY_ERROR_LEAVING:
      return TRUE;
    default:
      return FALSE;
    }
}

/* (transfer full) (nullable) */
static GDBusInterfaceInfo *
read_description (const Ask *ask, GVariant *answer, GError **error)
{
  g_autoptr (GDBusNodeInfo) node = NULL;
  GDBusInterfaceInfo *found;
  const char *xml;

  if (!g_variant_is_of_type (answer, G_VARIANT_TYPE ("(s)")))
    {
      commy_set_error (error, COMMY_ERROR_TYPE, "it describes itself with %.32s",
                       g_variant_get_type_string (answer));
      return NULL;
    }
  g_variant_get (answer, "(&s)", &xml);
  if (strlen (xml) > DESCRIPTION_MAX)
    {
      commy_set_error (error, COMMY_ERROR_TOO_BIG, "its description is longer than %u bytes",
                       DESCRIPTION_MAX);
      return NULL;
    }
  node = commy_schema_parse (xml, -1, error);
  if (node == NULL)
    return NULL;
  found = g_dbus_node_info_lookup_interface (node, ask->instance->interface_name);
  if (found != NULL)
    return g_dbus_interface_info_ref (found);
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "its description has no interface %.64s",
                   ask->instance->interface_name);
  return NULL;
}

static void
on_description (GObject *source, GAsyncResult *result, gpointer data)
{
  Ask *ask = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (source), result, &error);
  GDBusInterfaceInfo *theirs = answer != NULL ? read_description (ask, answer, &error) : NULL;
  Entry entry = { .again_ns = G_MAXINT64 };

  if (ask->checks != NULL && theirs != NULL)
    {
      g_autofree char *hash = commy_schema_to_hash (theirs);

      compare (ask->expectation->interface, theirs, &entry.finding);
      settle (ask, strcmp (hash, ask->instance->interface_hash) != 0, &entry);
    }
  else if (ask->checks != NULL)
    {
      g_autofree char *why = g_strdup (commy_error_bare (error));

      for (char *at = why; *at != '\0'; at++)
        if (g_ascii_iscntrl (*at))
          *at = ' ';
      set_finding (&entry.finding, COMMY_INTERFACE_UNKNOWN, "%s", why);
      if (may_pass (error))
        entry.again_ns = commy_env_now (ask->mesh->env) + ASK_AGAIN_NS;
      settle (ask, TRUE, &entry);
    }
  g_clear_pointer (&theirs, g_dbus_interface_info_unref);
  ask_unref (ask);
}

static void
begin (Ask *ask)
{
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();

  commy_call_options_set_timeout (options, ASK_TIMEOUT_US);
  commy_call_options_set_idempotent (options, TRUE);
  ask->client = commy_client_new_look (ask->mesh, ask->instance->service, ask->instance->id);
  g_atomic_ref_count_inc (&ask->refs);
  commy_client_call (ask->client, COMMY_INTERFACE_METHOD, NULL, options, ask->cancellable,
                     on_description, ask);
}

static void
begin_asks (CommyInterfaceChecks *self)
{
  for (;;)
    {
      Ask *next = NULL;

      g_mutex_lock (&self->lock);
      if (self->n_begun < MIN (self->asks->len, ASKS_AT_ONCE))
        next = self->asks->pdata[self->n_begun++];
      g_mutex_unlock (&self->lock);
      if (next == NULL)
        return;
      begin (next);
    }
}

static void
asks_here (gpointer data)
{
  g_autoptr (CommyMesh) mesh = data;

  if (mesh->interface_checks != NULL)
    begin_asks (mesh->interface_checks);
}

/* --- what routes ask --- */

/* lock held. Whether there is something to be done on the mesh thread. */
static gboolean
add_ask (CommyInterfaceChecks *self, CommyExpectation *expectation, CommyInstance *instance)
{
  Ask *ask;

  if (self->stopped || is_asked (self, expectation, instance))
    return FALSE;
  ask = g_new0 (Ask, 1);
  g_atomic_ref_count_init (&ask->refs);
  ask->checks = self;
  ask->mesh = g_object_ref (self->mesh);
  ask->expectation = commy_expectation_ref (expectation);
  ask->instance = commy_instance_ref (instance);
  ask->cancellable = g_cancellable_new ();
  g_ptr_array_add (self->asks, ask);
  return TRUE;
}

/* What this process offers itself needs no asking. Whether it does. */
static gboolean
look_at_own (CommyInterfaceChecks *self,
             CommyExpectation *expectation,
             CommyInstance *instance,
             CommyInterfaceFinding *out_finding)
{
  g_autoptr (CommyService) service = NULL;
  Entry entry = { .again_ns = G_MAXINT64 };
  gboolean news;

  if (g_strcmp0 (instance->node, self->mesh->node) != 0)
    return FALSE;
  service = commy_mesh_dup_offer (
      self->mesh, instance->peer_instance != NULL ? instance->peer_instance : instance->id);
  if (service == NULL || service->interface == NULL)
    return FALSE;
  compare (expectation->interface, service->interface, &entry.finding);
  g_mutex_lock (&self->lock);
  news = is_news (self, expectation, instance, &entry);
  put_entry (self, expectation, instance, TRUE, &entry); /* its record may lie about the hash */
  g_mutex_unlock (&self->lock);
  if (news)
    tell (instance, &entry.finding);
  *out_finding = entry.finding;
  return TRUE;
}

void
commy_interface_checks_get (CommyInterfaceChecks *self,
                            CommyExpectation *expectation,
                            CommyInstance *instance,
                            CommyInterfaceFinding *out_finding)
{
  const Entry *entry;
  gboolean begin_one = FALSE;

  set_finding (out_finding, COMMY_INTERFACE_UNKNOWN, "it does not say what it offers");
  if (instance->interface_hash == NULL)
    return;
  if (strcmp (instance->interface_hash, expectation->hash) == 0)
    {
      set_finding (out_finding, COMMY_INTERFACE_SAME, "%s", "");
      return;
    }
  if (look_at_own (self, expectation, instance, out_finding))
    return;
  g_mutex_lock (&self->lock);
  entry = find_entry (self, expectation, instance);
  if (entry != NULL)
    *out_finding = entry->finding;
  else
    set_finding (out_finding, COMMY_INTERFACE_AWAITED, "it is being asked what it offers");
  if (entry == NULL || entry->again_ns <= commy_env_now (self->mesh->env))
    begin_one = add_ask (self, expectation, instance);
  g_mutex_unlock (&self->lock);
  if (begin_one)
    commy_mesh_post (self->mesh, asks_here, g_object_ref (self->mesh));
}

void
commy_interface_checks_wait (CommyInterfaceChecks *self,
                             const CommyExpectation *expectation,
                             CommyRegistryFunc done,
                             gpointer data)
{
  gboolean waits = FALSE;
  g_autoptr (GError) left = NULL;

  g_mutex_lock (&self->lock);
  if (self->stopped)
    commy_set_error (&left, COMMY_ERROR_LEAVING, "the mesh is being left");
  for (guint i = 0; i < self->asks->len && !waits; i++)
    waits = strcmp (((Ask *) self->asks->pdata[i])->expectation->hash, expectation->hash) == 0;
  if (waits)
    {
      Waiter *waiter = g_new (Waiter, 1);

      *waiter = (Waiter){ g_strdup (expectation->hash), done, data };
      g_queue_push_tail (&self->waiters, waiter);
    }
  else
    done (data, left);
  g_mutex_unlock (&self->lock);
}
