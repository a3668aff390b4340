/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decisions of an external engine: see the header. The table is anybody's under the lock; the
 * plugin is called on the mesh thread only, and never under it.
 */
#include "config.h"

#include "security/commy-engine.h"

#include "route/commy-route.h"
#include "security/commy-quota.h"

#include <arpa/inet.h>
#include <string.h>

#define REASON_MAX 200
#define MS G_GINT64_CONSTANT (1000000)

/* Who is asked about just now. */
typedef struct
{
  char *principal;
  guint n_running;
  GQueue waiting;    /* Entry, by when they were wanted */
  gboolean is_ready; /* in `ready`: one waits, and may be started as far as the principal goes */
} Asker;

/* One decision, and the question about it. */
typedef struct
{
  CommyEngine *engine;
  char *key;
  GList link; /* in `kept`, if data is not NULL: decided, and not asked about just now */
  /* the question */
  char *principal, *service, *method;
  char address[INET6_ADDRSTRLEN];
  CommyPolicyQuery query;
  gboolean is_asked;   /* it waits, or runs */
  gboolean is_running; /* the mesh thread has begun, or is about to */
  Asker *asker;        /* while it is asked */
  CommySeat *seat;     /* as long */
  gpointer decision;   /* the plugin's, or NULL; mesh thread */
  GSource *timer;      /* from when it is asked; then the mesh thread's */
  GArray *waiters;     /* CommyEngineWaiter */
  /* the answer */
  gboolean is_decided;
  gboolean is_failure; /* there was no answer */
  gboolean allowed;
  char *why;
  gint64 refresh_ns, until_ns, keep_until_ns;
} Entry;

struct _CommyEngine
{
  CommyPlugin *plugin;
  GMainContext *context;
  const CommyEnv *env;
  GMutex lock; /* of all below, and of entries but for what is said there */
  CommyEngineLimits limits;
  GHashTable *entries; /* key -> Entry */
  GQueue kept;         /* Entry, by the time of their answers */
  GPtrArray *asked;    /* Entry, that wait or run */
  GHashTable *askers;  /* principal -> Asker, with any of these */
  CommyQuota *quota;   /* of questions that wait or run, by principal */
  GQueue ready;        /* Asker, in turn */
  guint n_running;
  GSource *source; /* that makes the mesh thread look; or NULL */
};

void
commy_engine_limits_read (CommyConfig *config, CommyEngineLimits *out)
{
  out->timeout_ns = commy_config_get_duration (config, "security", "policy-engine-timeout");
  out->cache_ns = commy_config_get_duration (config, "security", "policy-engine-cache");
  out->keep_ns = commy_config_get_duration (config, "security", "policy-engine-keep");
}

/* --- entries --- */

static void
entry_free (gpointer data)
{
  Entry *self = data;

  g_free (self->key);
  g_free (self->principal);
  g_free (self->service);
  g_free (self->method);
  g_free (self->why);
  g_array_unref (self->waiters);
  commy_seat_free (self->seat);
  g_free (self);
}

static const char *
describe_path (const CommyPolicyPath *path, char address[INET6_ADDRSTRLEN])
{
  *address = '\0';
  if (path == NULL || path->where == COMMY_WHERE_UNKNOWN)
    return "unknown";
  if (path->where == COMMY_WHERE_LOCAL)
    return "local";
  inet_ntop (AF_INET6, path->address, address, INET6_ADDRSTRLEN);
  if (g_str_has_prefix (address, "::ffff:") && strchr (address, '.') != NULL)
    memmove (address, address + strlen ("::ffff:"), strlen (address) - strlen ("::ffff:") + 1);
  return "network";
}

static Entry *
entry_new (CommyEngine *engine, const CommyPolicyRequest *request, char *key)
{
  Entry *self = g_new0 (Entry, 1);

  self->engine = engine;
  self->key = key;
  self->principal = g_strdup (request->principal);
  self->service = g_strdup (request->resource);
  self->method = g_strdup (request->method);
  self->waiters = g_array_new (FALSE, FALSE, sizeof (CommyEngineWaiter));
  self->query = (CommyPolicyQuery){
    .struct_size = sizeof (CommyPolicyQuery),
    .principal = self->principal,
    .own = request->own,
    .verb = g_str_has_prefix (request->resource, "topic:") ? "subscribe" : "call",
    .service = self->service,
    .method = self->method,
    .where = describe_path (request->path, self->address),
    .security = request->path != NULL ? request->path->security : COMMY_SECURITY_NONE,
  };
  self->query.address = self->address[0] != '\0' ? self->address : NULL;
  return self;
}

/* Lengths, because names are the other side's and may have any character. */
static char *
make_key (const CommyPolicyRequest *request)
{
  const CommyPolicyPath *path = request->path;
  char address[INET6_ADDRSTRLEN];
  const char *where = describe_path (path, address);

  return g_strdup_printf ("%zu:%s%zu:%s%zu:%s%d%u%s%s", strlen (request->principal),
                          request->principal, strlen (request->resource), request->resource,
                          strlen (request->method), request->method, request->own,
                          path != NULL ? path->security : 0, where, address);
}

/* The oldest answer makes room. FALSE: all are being asked about. */
static gboolean
make_room (CommyEngine *self)
{
  GList *oldest;

  if (g_hash_table_size (self->entries) < COMMY_ENGINE_DECISIONS_MAX)
    return TRUE;
  oldest = g_queue_pop_head_link (&self->kept);
  if (oldest == NULL)
    return FALSE;
  g_hash_table_remove (self->entries, ((Entry *) oldest->data)->key);
  return TRUE;
}

static void
unkeep (CommyEngine *self, Entry *entry)
{
  if (entry->link.data == NULL)
    return;
  g_queue_unlink (&self->kept, &entry->link);
  entry->link.data = NULL;
}

static void
keep (CommyEngine *self, Entry *entry)
{
  unkeep (self, entry);
  entry->link.data = entry;
  g_queue_push_tail_link (&self->kept, &entry->link);
}

/* --- what was said --- */

/* Any bytes, of any length, come from outside. */
static char *
dup_reason (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text != NULL ? text : "", -1);
  const char *end = valid;

  for (char *at = valid; *at != '\0'; at++)
    if ((guchar) *at < 0x20 || *at == 0x7f)
      *at = ' ';
  while (*end != '\0' && g_utf8_next_char (end) - valid <= REASON_MAX)
    end = g_utf8_next_char (end);
  return g_strndup (valid, (gsize) (end - valid));
}

static void
take_decision (CommyEngine *self, Entry *entry, gboolean allowed, const char *reason, gint64 now)
{
  entry->is_decided = TRUE;
  entry->is_failure = FALSE;
  entry->allowed = allowed;
  g_free (entry->why);
  entry->why = allowed           ? NULL
               : *reason != '\0' ? g_strdup_printf ("engine %s: %s", self->plugin->note.id, reason)
                                 : g_strdup_printf ("engine %s", self->plugin->note.id);
  entry->refresh_ns = now + self->limits.cache_ns / 4 * 3;
  entry->until_ns = now + self->limits.cache_ns;
  entry->keep_until_ns = entry->until_ns + self->limits.keep_ns;
}

/* What was decided before still counts, for its own time and, if that is wanted, for a while. */
static void
take_failure (CommyEngine *self, Entry *entry, const char *reason, gint64 now)
{
  if (entry->is_decided && !entry->is_failure && now < entry->keep_until_ns)
    {
      entry->refresh_ns = now + COMMY_ENGINE_RETRY_NS;
      entry->until_ns
          = MAX (entry->until_ns, MIN (now + COMMY_ENGINE_RETRY_NS + 2 * self->limits.timeout_ns,
                                       entry->keep_until_ns));
      return;
    }
  entry->is_decided = TRUE;
  entry->is_failure = TRUE;
  entry->allowed = FALSE;
  g_free (entry->why);
  entry->why = g_strdup_printf ("engine %s gives no decision: %s", self->plugin->note.id, reason);
  entry->refresh_ns = entry->until_ns = now + COMMY_ENGINE_RETRY_NS;
}

/* Not under the lock: who is told may ask again. */
static void
tell (GArray *waiters)
{
  for (guint i = 0; i < waiters->len; i++)
    {
      CommyEngineWaiter *waiter = &g_array_index (waiters, CommyEngineWaiter, i);

      waiter->ready (waiter->data);
    }
  g_array_unref (waiters);
}

/* --- turns: under the lock --- */

static void
asker_free (gpointer data)
{
  Asker *self = data;

  g_queue_clear (&self->waiting);
  g_free (self->principal);
  g_free (self);
}

static Asker *
find_asker (CommyEngine *self, const char *principal)
{
  Asker *asker = g_hash_table_lookup (self->askers, principal);

  if (asker != NULL)
    return asker;
  asker = g_new0 (Asker, 1);
  asker->principal = g_strdup (principal);
  g_queue_init (&asker->waiting);
  g_hash_table_insert (self->askers, asker->principal, asker);
  return asker;
}

/* What it has changed: it gets into line, leaves it, or is over. */
static void
sort_asker (CommyEngine *self, Asker *asker)
{
  gboolean is_ready = asker->waiting.length > 0 && asker->n_running < COMMY_ENGINE_QUESTIONS_EACH;

  if (is_ready && !asker->is_ready)
    g_queue_push_tail (&self->ready, asker);
  else if (!is_ready && asker->is_ready)
    g_queue_remove (&self->ready, asker);
  asker->is_ready = is_ready;
  if (asker->waiting.length == 0 && asker->n_running == 0)
    g_hash_table_remove (self->askers, asker->principal);
}

/* The next to be started, or NULL. */
static Entry *
take_next (CommyEngine *self)
{
  Asker *asker;
  Entry *entry;

  if (self->n_running >= COMMY_ENGINE_QUESTIONS_MAX)
    return NULL;
  asker = g_queue_pop_head (&self->ready);
  if (asker == NULL)
    return NULL;
  asker->is_ready = FALSE;
  entry = g_queue_pop_head (&asker->waiting);
  entry->is_running = TRUE;
  asker->n_running++;
  self->n_running++;
  sort_asker (self, asker);
  return entry;
}

static void
leave_turns (CommyEngine *self, Entry *entry)
{
  Asker *asker = g_steal_pointer (&entry->asker);

  if (entry->is_running)
    {
      asker->n_running--;
      self->n_running--;
    }
  else
    g_queue_remove (&asker->waiting, entry);
  entry->is_running = FALSE;
  g_clear_pointer (&entry->seat, commy_seat_free);
  sort_asker (self, asker);
}

static gboolean start_questions (gpointer user_data);

/* Has the mesh thread start what may be. */
static void
look_soon (CommyEngine *self)
{
  if (self->source != NULL || self->ready.length == 0
      || self->n_running >= COMMY_ENGINE_QUESTIONS_MAX)
    return;
  self->source = g_idle_source_new ();
  g_source_set_priority (self->source, G_PRIORITY_DEFAULT);
  g_source_set_callback (self->source, start_questions, self, NULL);
  g_source_attach (self->source, self->context);
}

/* --- asking: mesh thread --- */

static void
stop_asking (Entry *entry)
{
  if (entry->timer != NULL)
    g_source_destroy (entry->timer);
  g_clear_pointer (&entry->timer, g_source_unref);
  g_clear_pointer (&entry->decision, g_free);
}

static void
end_question (Entry *entry, CommyPolicyAnswer answer, const char *text)
{
  CommyEngine *self = entry->engine;
  g_autofree char *reason = dup_reason (text);
  gint64 now = commy_env_now (self->env);
  GArray *waiters;

  stop_asking (entry);
  g_mutex_lock (&self->lock);
  if (answer == COMMY_POLICY_ALLOWED || answer == COMMY_POLICY_DENIED)
    take_decision (self, entry, answer == COMMY_POLICY_ALLOWED, reason, now);
  else
    take_failure (self, entry, reason, now);
  entry->is_asked = FALSE;
  g_ptr_array_remove_fast (self->asked, entry);
  leave_turns (self, entry);
  look_soon (self);
  waiters = entry->waiters;
  entry->waiters = g_array_new (FALSE, FALSE, sizeof (CommyEngineWaiter));
  keep (self, entry);
  g_mutex_unlock (&self->lock);
  tell (waiters);
}

static void
on_answer (gpointer user_data, CommyPolicyAnswer answer, const char *reason)
{
  end_question (user_data, answer, reason);
}

static gboolean
on_timeout (gpointer user_data)
{
  Entry *entry = user_data;
  CommyEngine *self = entry->engine;
  g_autofree char *why
      = g_strdup_printf ("no answer in %g s", (double) (self->limits.timeout_ns / MS) / 1000);

  if (entry->decision == NULL)
    {
      end_question (entry, COMMY_POLICY_UNABLE, "too many questions are under way");
      return G_SOURCE_REMOVE;
    }
  self->plugin->ops.policy.cancel (entry->decision);
  end_question (entry, COMMY_POLICY_UNABLE, why);
  return G_SOURCE_REMOVE;
}

static void
start_timer (CommyEngine *self, Entry *entry)
{
  entry->timer = g_timeout_source_new ((guint) MAX (self->limits.timeout_ns / MS, 1));
  g_source_set_callback (entry->timer, on_timeout, entry, NULL);
  g_source_attach (entry->timer, self->context);
}

static void
start_question (CommyEngine *self, Entry *entry)
{
  const CommyPolicyEngineOps *ops = &self->plugin->ops.policy;

  entry->decision = g_malloc0 (MAX (ops->decision_size, 1));
  ops->decide (self->plugin->instance, entry->decision, &entry->query, on_answer, entry);
}

static gboolean
start_questions (gpointer user_data)
{
  CommyEngine *self = user_data;
  Entry *entry;

  for (;;)
    {
      g_mutex_lock (&self->lock);
      entry = take_next (self);
      if (entry == NULL)
        g_clear_pointer (&self->source, g_source_unref);
      g_mutex_unlock (&self->lock);
      if (entry == NULL)
        return G_SOURCE_REMOVE;
      start_question (self, entry);
    }
}

/* --- asking: any thread, under the lock --- */

/* Takes @seat. */
static void
begin_question (CommyEngine *self, Entry *entry, CommySeat *seat)
{
  unkeep (self, entry);
  entry->seat = seat;
  entry->is_asked = TRUE;
  entry->asker = find_asker (self, entry->principal);
  g_ptr_array_add (self->asked, entry);
  g_queue_push_tail (&entry->asker->waiting, entry);
  sort_asker (self, entry->asker);
  start_timer (self, entry);
  look_soon (self);
}

static void
deny (CommyEngine *self, const char *why, gint64 now, CommyEngineAnswer *answer)
{
  answer->state = COMMY_ENGINE_DENIES;
  answer->why = g_strdup_printf ("engine %s gives no decision: %s", self->plugin->note.id, why);
  answer->until_ns = now + COMMY_ENGINE_RETRY_NS;
}

/* Who has no share left does not push out what others were told. Takes @key. NULL: there is no
 * room, as says *@out_why. */
static Entry *
add_entry (CommyEngine *self,
           const CommyPolicyRequest *request,
           char *key,
           CommySeat *seat,
           const char **out_why)
{
  Entry *entry;

  if (seat == NULL || !make_room (self))
    {
      g_free (key);
      *out_why = commy_quota_get_used (self->quota) < COMMY_ENGINE_DECISIONS_MAX
                     ? "too many questions about this principal wait"
                     : "it has too many decisions to make";
      return NULL;
    }
  entry = entry_new (self, request, key);
  g_hash_table_insert (self->entries, entry->key, entry);
  return entry;
}

static gboolean
is_wanted (const Entry *entry, gint64 now)
{
  return entry == NULL || (!entry->is_asked && (!entry->is_decided || now >= entry->refresh_ns));
}

static void
answer_from (const Entry *entry, gint64 now, CommyEngineAnswer *answer)
{
  if (!entry->is_decided || now >= entry->until_ns)
    {
      answer->state = COMMY_ENGINE_THINKS;
      return;
    }
  answer->state = entry->allowed ? COMMY_ENGINE_ALLOWS : COMMY_ENGINE_DENIES;
  answer->why = g_strdup (entry->why);
  answer->until_ns = entry->is_asked ? entry->until_ns : entry->refresh_ns;
}

static void
ask (CommyEngine *self,
     const CommyPolicyRequest *request,
     char *key,
     gboolean wants_news,
     CommyEngineWaiter (*want_waiter) (gpointer data),
     gpointer data,
     CommyEngineAnswer *answer)
{
  gint64 now = commy_env_now (self->env);
  Entry *entry = g_hash_table_lookup (self->entries, key);
  gboolean wanted = is_wanted (entry, now);
  CommySeat *seat = wanted ? commy_quota_take (self->quota, request->principal, FALSE) : NULL;
  const char *why = NULL;

  if (entry != NULL)
    g_free (key);
  else
    entry = add_entry (self, request, key, seat, &why);
  if (entry == NULL)
    {
      commy_seat_free (seat);
      deny (self, why, now, answer);
      return;
    }
  if (seat != NULL)
    begin_question (self, entry, seat);
  else if (wanted)
    why = "too many questions about this principal wait";
  if (why == NULL && entry->waiters->len >= COMMY_ENGINE_WAITERS_MAX)
    why = "too many wait for it";
  answer_from (entry, now, answer);
  if (entry->is_asked && why == NULL && (wants_news || answer->state == COMMY_ENGINE_THINKS))
    {
      CommyEngineWaiter waiter = want_waiter (data);

      g_array_append_val (entry->waiters, waiter);
    }
  else if (answer->state == COMMY_ENGINE_THINKS)
    deny (self, why != NULL ? why : "", now, answer);
  else if (why != NULL)
    answer->until_ns = MIN (entry->until_ns, now + COMMY_ENGINE_RETRY_NS);
}

void
commy_engine_ask (CommyEngine *self,
                  const CommyPolicyRequest *request,
                  gboolean wants_news,
                  CommyEngineWaiter (*want_waiter) (gpointer data),
                  gpointer data,
                  CommyEngineAnswer *out_answer)
{
  char *key = make_key (request);

  *out_answer = (CommyEngineAnswer){ COMMY_ENGINE_THINKS, NULL, 0 };
  g_mutex_lock (&self->lock);
  ask (self, request, key, wants_news, want_waiter, data, out_answer);
  g_mutex_unlock (&self->lock);
}

/* --- forgetting --- */

/* Those that the mesh thread has begun; they are asked again. */
static void
ask_again (CommyEngine *self)
{
  g_autoptr (GPtrArray) begun = g_ptr_array_new ();

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->asked->len; i++)
    {
      Entry *entry = self->asked->pdata[i];

      entry->is_decided = FALSE;
      if (entry->decision != NULL)
        g_ptr_array_add (begun, entry);
    }
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < begun->len; i++)
    {
      Entry *entry = begun->pdata[i];

      self->plugin->ops.policy.cancel (entry->decision);
      stop_asking (entry);
    }
  for (guint i = 0; i < begun->len; i++)
    {
      start_timer (self, begun->pdata[i]);
      start_question (self, begun->pdata[i]);
    }
}

void
commy_engine_forget (CommyEngine *self, const CommyEngineLimits *limits)
{
  GList *link;

  g_mutex_lock (&self->lock);
  self->limits = *limits;
  while ((link = g_queue_pop_head_link (&self->kept)) != NULL)
    g_hash_table_remove (self->entries, ((Entry *) link->data)->key);
  g_mutex_unlock (&self->lock);
  ask_again (self);
}

/* --- life --- */

const char *
commy_engine_get_id (CommyEngine *engine)
{
  return engine->plugin->note.id;
}

CommyEngine *
commy_engine_new (CommyPlugin *plugin,
                  GMainContext *context,
                  const CommyEnv *env,
                  const CommyEngineLimits *limits)
{
  CommyEngine *self = g_new0 (CommyEngine, 1);

  self->plugin = plugin;
  self->context = g_main_context_ref (context);
  self->env = env;
  self->limits = *limits;
  g_mutex_init (&self->lock);
  self->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
  self->asked = g_ptr_array_new ();
  g_queue_init (&self->kept);
  self->askers = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, asker_free);
  g_queue_init (&self->ready);
  self->quota = commy_quota_new (COMMY_ENGINE_DECISIONS_MAX, COMMY_ENGINE_DECISIONS_MAX);
  return self;
}

void
commy_engine_free (CommyEngine *self)
{
  if (self == NULL)
    return;
  if (self->source != NULL)
    g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);
  for (guint i = 0; i < self->asked->len; i++)
    {
      Entry *entry = self->asked->pdata[i];
      GArray *waiters = g_steal_pointer (&entry->waiters);

      if (entry->decision != NULL)
        self->plugin->ops.policy.cancel (entry->decision);
      stop_asking (entry);
      entry->waiters = g_array_new (FALSE, FALSE, sizeof (CommyEngineWaiter));
      tell (waiters);
    }
  g_queue_clear (&self->ready);
  g_hash_table_unref (self->askers);
  g_ptr_array_unref (self->asked);
  commy_quota_unref (self->quota);
  g_hash_table_unref (self->entries); /* links of `kept` are inside the entries */
  g_main_context_unref (self->context);
  g_mutex_clear (&self->lock);
  g_free (self);
}
