/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls to a cluster: see the header. One member is asked at a time; when it fails the next one
 * is, at once until all have failed, then with growing pauses. What may have happened already is
 * asked again only where twice is as good as once.
 */
#include "config.h"

#include "commy-etcd-cluster.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MS G_GINT64_CONSTANT (1000000)
#define PAUSE_NS (50 * MS)
#define MAX_PAUSE_NS (1000 * MS)
#define MAX_PASSWORD 1024
#define MAX_DOUBLINGS 6u
/* An older revision than was seen is what a member says that was left behind. If the whole cluster
 * says so for this long it was set back, and that is what there is now. */
#define SET_BACK_NS (10000 * MS)

struct _CommyEtcdCluster
{
  CommyEtcdClusterSettings settings;
  guint n_members;
  guint current;
  guint failures; /* since the last answer */
  char *token;
  gint64 revision;  /* the newest seen */
  gint64 behind_ns; /* since when older ones are answered; 0: they are not */
  gint64 heard_ns;
  GPtrArray *calls;
};

struct _CommyEtcdCall
{
  CommyEtcdCluster *cluster;
  CommyEtcdAsk ask;
  gint64 until_ns;
  guint timer;
  guint n_tries;
  CommyHttpExchange *exchange;
  const char *member;
  gint64 floor; /* the newest revision that was seen when it was asked */
  gboolean is_login;
  gboolean had_new_token; /* a token that was refused is renewed once */
  GError *last;           /* why the last attempt failed */
};

static void attempt (CommyEtcdCall *self);

/* --- life of a call --- */

static void
call_free (CommyEtcdCall *self)
{
  CommyHost *host = self->cluster->settings.host;

  g_ptr_array_remove_fast (self->cluster->calls, self);
  if (self->timer != 0)
    host->remove (host, self->timer);
  commy_http_cancel (self->exchange);
  g_clear_error (&self->last);
  g_free (self->ask.body);
  g_free (self);
}

void
commy_etcd_call_cancel (CommyEtcdCall *self)
{
  call_free (self);
}

static void
end (CommyEtcdCall *self, const CommyEtcdAnswer *answer, int code, const GError *error)
{
  CommyEtcdCallFunc done = self->ask.done;
  gpointer user_data = self->ask.user_data;
  g_autoptr (GError) kept = error != NULL ? g_error_copy (error) : NULL;

  call_free (self);
  done (user_data, answer, code, kept);
}

static void end_with_error (CommyEtcdCall *self, CommyError number, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

static void
end_with_error (CommyEtcdCall *self, CommyError number, const char *format, ...)
{
  g_autoptr (GError) error = NULL;
  va_list arguments;

  va_start (arguments, format);
  error = g_error_new_valist (COMMY_ETCD_ERROR, (int) number, format, arguments);
  va_end (arguments);
  end (self, NULL, 0, error);
}

static void
on_pause_over (gpointer user_data)
{
  CommyEtcdCall *self = user_data;

  self->timer = 0;
  attempt (self);
}

static void
attempt_later (CommyEtcdCall *self, gint64 pause_ns)
{
  CommyHost *host = self->cluster->settings.host;

  self->timer = host->add_timer (host, pause_ns, on_pause_over, self);
}

/* The member did not do what was asked; another may. */
static void
try_elsewhere (CommyEtcdCall *self, const char *why)
{
  CommyEtcdCluster *cluster = self->cluster;
  CommyHost *host = cluster->settings.host;
  gint64 pause_ns = commy_etcd_cluster_failed (cluster, self->member, why);

  if (host->now_ns (host) + pause_ns < self->until_ns)
    attempt_later (self, pause_ns);
  else
    end_with_error (self, COMMY_ERROR_STORE,
                    "no member of the etcd cluster answers in time (%u known), the last, %s: %s",
                    cluster->n_members, self->member, why);
}

/* Nobody knows whether it happened. */
static void
fail_or_repeat (CommyEtcdCall *self, const char *why)
{
  if (self->ask.is_repeatable)
    {
      try_elsewhere (self, why);
      return;
    }
  commy_etcd_cluster_failed (self->cluster, self->member, why);
  end_with_error (self, COMMY_ERROR_STORE,
                  "the change may or may not have happened: etcd's member %s failed in the middle: "
                  "%s",
                  self->member, why);
}

/* --- answers --- */

static gboolean
is_in_order (CommyEtcdCall *self, gint64 revision)
{
  CommyEtcdCluster *cluster = self->cluster;
  CommyHost *host = cluster->settings.host;
  gint64 now_ns = host->now_ns (host);
  g_autofree char *line = NULL;

  if (self->ask.kind != COMMY_ETCD_RANGE && self->ask.kind != COMMY_ETCD_TXN)
    return TRUE; /* what a member says that may be a little behind */
  if (revision >= self->floor)
    {
      cluster->behind_ns = 0;
      return TRUE;
    }
  if (cluster->behind_ns == 0)
    cluster->behind_ns = now_ns;
  if (now_ns - cluster->behind_ns < SET_BACK_NS)
    return FALSE;
  line = g_strdup_printf ("the etcd cluster was set back from revision %" G_GINT64_FORMAT
                          " to %" G_GINT64_FORMAT,
                          self->floor, revision);
  host->log (host, G_LOG_LEVEL_MESSAGE, line);
  cluster->revision = revision;
  cluster->behind_ns = 0;
  return TRUE;
}

static void
take_answer (CommyEtcdCall *self, const CommyHttpReply *reply)
{
  CommyEtcdCluster *cluster = self->cluster;
  g_auto (CommyEtcdAnswer) answer = { 0 };
  g_autoptr (GError) error = NULL;
  CommyHost *host = cluster->settings.host;

  if (!commy_etcd_read (self->is_login ? COMMY_ETCD_TOKEN : self->ask.kind,
                        cluster->settings.prefix, reply->data, reply->size, &answer, &error))
    {
      fail_or_repeat (self, error->message);
      return;
    }
  if (self->is_login)
    {
      g_free (cluster->token);
      cluster->token = g_steal_pointer (&answer.token);
      self->is_login = FALSE;
      attempt (self);
      return;
    }
  if (!is_in_order (self, answer.revision))
    {
      g_autofree char *why = g_strdup_printf ("it answers from revision %" G_GINT64_FORMAT
                                              ", and %" G_GINT64_FORMAT " was seen already",
                                              answer.revision, self->floor);

      fail_or_repeat (self, why);
      return;
    }
  commy_etcd_cluster_saw (cluster, answer.revision);
  cluster->failures = 0;
  cluster->heard_ns = host->now_ns (host);
  end (self, &answer, 0, NULL);
}

/* Refused before anything was done. */
static gboolean
was_not_done (const CommyEtcdAnswer *failure)
{
  return strstr (failure->message, "no leader") != NULL
         || strstr (failure->message, "too many requests") != NULL
         || strstr (failure->message, "rpc not supported for learner") != NULL;
}

static gboolean
is_about_token (const CommyEtcdAnswer *failure)
{
  return failure->code == COMMY_ETCD_CODE_UNAUTHENTICATED
         || strstr (failure->message, "revision of auth store is old") != NULL;
}

static CommyError
number_of (const CommyEtcdAnswer *failure)
{
  if (failure->code == COMMY_ETCD_CODE_DENIED || failure->code == COMMY_ETCD_CODE_UNAUTHENTICATED
      || strstr (failure->message, "user name is empty") != NULL
      || strstr (failure->message, "authentication failed") != NULL)
    return COMMY_ERROR_DENIED;
  return failure->code == 3 ? COMMY_ERROR_INVALID_ARGUMENT : COMMY_ERROR_STORE;
}

static void
take_failure (CommyEtcdCall *self, const CommyHttpReply *reply)
{
  g_auto (CommyEtcdAnswer) failure = { 0 };
  g_autoptr (GError) error = NULL;
  CommyError number;

  if (!commy_etcd_read (COMMY_ETCD_FAILURE, "", reply->data, reply->size, &failure, NULL))
    {
      g_autofree char *text = commy_etcd_one_line (reply->data, (gssize) MIN (reply->size, 100));
      /* Who answers a login with something else may quote the password. */
      g_autofree char *why = self->is_login
                                 ? g_strdup_printf ("status %u", reply->status)
                                 : g_strdup_printf ("status %u: %s", reply->status, text);

      fail_or_repeat (self, why);
      return;
    }
  if (is_about_token (&failure) && self->cluster->settings.user[0] != '\0' && !self->is_login
      && !self->had_new_token)
    {
      self->had_new_token = TRUE;
      commy_etcd_cluster_drop_token (self->cluster);
      attempt (self);
      return;
    }
  if (was_not_done (&failure) || (self->is_login && failure.code == COMMY_ETCD_CODE_UNAVAILABLE))
    {
      try_elsewhere (self, failure.message);
      return;
    }
  if (failure.code == COMMY_ETCD_CODE_UNAVAILABLE || failure.code < 3 || failure.code == 4)
    {
      fail_or_repeat (self, failure.message);
      return;
    }
  self->cluster->failures = 0;
  number = number_of (&failure);
  g_set_error (&error, COMMY_ETCD_ERROR, (int) number, "etcd refuses%s: %s%s",
               self->is_login ? " the user" : "", failure.message,
               number == COMMY_ERROR_DENIED ? " (see the parameters user and password-file)" : "");
  end (self, NULL, failure.code, error);
}

static void
end_too_big (CommyEtcdCall *self)
{
  g_autoptr (GError) error = g_error_new (COMMY_ETCD_ERROR, COMMY_ERROR_TOO_BIG,
                                          "etcd's answer has more than the %" G_GSIZE_FORMAT
                                          " bytes that max-answer allows",
                                          self->cluster->settings.max_answer);

  end (self, NULL, 0, error);
}

static void
on_reply (gpointer user_data, const CommyHttpReply *reply, const GError *error)
{
  CommyEtcdCall *self = user_data;

  self->exchange = NULL;
  if (self->ask.is_repeatable && g_error_matches (error, COMMY_ETCD_ERROR, COMMY_ERROR_TOO_BIG))
    end_too_big (self); /* so it would be elsewhere */
  else if (error != NULL && (!reply->was_sent || self->is_login))
    try_elsewhere (self, error->message);
  else if (error != NULL)
    fail_or_repeat (self, error->message);
  else if (reply->status == 200)
    take_answer (self, reply);
  else
    take_failure (self, reply);
}

/* --- asking --- */

/* A file that others can read keeps no secret. */
static char *
read_password (const char *path, GError **error)
{
  char text[MAX_PASSWORD + 1];
  char *password;
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  struct stat status;
  gssize size = -1;

  if (fd >= 0 && fstat (fd, &status) == 0 && S_ISREG (status.st_mode)
      && (status.st_mode & (S_IRWXG | S_IRWXO)) == 0)
    size = read (fd, text, sizeof text);
  if (fd >= 0)
    close (fd);
  if (size < 0 || size > MAX_PASSWORD)
    {
      explicit_bzero (text, sizeof text);
      g_set_error (error, COMMY_ETCD_ERROR, COMMY_ERROR_CONFIG_VALUE,
                   "the password in %s cannot be used: it must be a file of at most %d bytes that "
                   "only its owner may read",
                   path, MAX_PASSWORD);
      return NULL;
    }
  text[size] = '\0';
  g_strchomp (text);
  password = g_strdup (text);
  explicit_bzero (text, sizeof text);
  return password;
}

static void
free_secret (gpointer text)
{
  if (text != NULL)
    explicit_bzero (text, strlen (text));
  g_free (text);
}

static char *
write_login (CommyEtcdCall *self, GError **error)
{
  const CommyEtcdClusterSettings *settings = &self->cluster->settings;
  char *password = read_password (settings->password_file, error);
  char *login = password != NULL ? commy_etcd_write_login (settings->user, password) : NULL;

  free_secret (password);
  return login;
}

/* Asks the present member; @rest: what is to be said beside. */
static CommyHttpExchange *
send (CommyEtcdCluster *self, const char *path, const char *body, const CommyHttpRequest *rest)
{
  g_autofree char *url = g_strconcat (commy_etcd_cluster_get_member (self), path, NULL);
  char *copy = g_strdup (body);
  /* It may be a login, and somebody may hold it longer than this. */
  g_autoptr (GBytes) bytes = g_bytes_new_with_free_func (copy, strlen (copy), free_secret, copy);
  CommyHttpRequest request = *rest;

  request.url = url; /* members were checked */
  request.body = bytes;
  request.type = "application/json";
  request.max = self->settings.max_answer;
  return commy_http_send (self->settings.http, &request);
}

/* All were asked, and none was quick enough: they get twice the time, or who has too much to do
 * would only ever be asked again. */
static gint64
next_limit (CommyEtcdCall *self, gint64 left_ns)
{
  CommyEtcdCluster *cluster = self->cluster;
  gint64 attempt_ns
      = self->ask.attempt_ns != 0 ? self->ask.attempt_ns : cluster->settings.attempt_ns;
  guint n_rounds = self->n_tries++ / cluster->n_members;

  return CLAMP (left_ns, MS, attempt_ns << MIN (n_rounds, MAX_DOUBLINGS));
}

static void
attempt (CommyEtcdCall *self)
{
  CommyEtcdCluster *cluster = self->cluster;
  CommyHost *host = cluster->settings.host;
  gint64 left_ns = self->until_ns - host->now_ns (host);
  g_autoptr (GError) error = NULL;
  char *login = NULL;
  const char *path, *body;

  self->member = commy_etcd_cluster_get_member (cluster);
  self->floor = cluster->revision;
  self->is_login = commy_etcd_cluster_lacks_token (cluster);
  if (self->is_login && (login = write_login (self, &error)) == NULL)
    {
      end (self, NULL, 0, error);
      return;
    }
  path = self->is_login ? "/v3/auth/authenticate" : self->ask.path;
  body = self->is_login ? login : self->ask.body;
  self->exchange
      = send (cluster, path, body,
              &(CommyHttpRequest){ .authorization = self->is_login ? NULL : cluster->token,
                                   .is_repeatable = self->is_login || self->ask.is_repeatable,
                                   .limit_ns = next_limit (self, left_ns),
                                   .done = on_reply,
                                   .user_data = self });
  free_secret (login);
}

CommyEtcdCall *
commy_etcd_cluster_call (CommyEtcdCluster *self, const CommyEtcdAsk *ask)
{
  CommyEtcdCall *call = g_new0 (CommyEtcdCall, 1);
  CommyHost *host = self->settings.host;

  call->cluster = self;
  call->ask = *ask;
  call->until_ns
      = host->now_ns (host) + (ask->timeout_ns != 0 ? ask->timeout_ns : self->settings.timeout_ns);
  g_ptr_array_add (self->calls, call);
  attempt_later (call, 0);
  return call;
}

CommyHttpExchange *
commy_etcd_cluster_open_stream (CommyEtcdCluster *self,
                                const char *path,
                                const char *body,
                                CommyHttpLineFunc line,
                                CommyHttpReplyFunc done,
                                gpointer user_data)
{
  return send (self, path, body,
               &(CommyHttpRequest){ .authorization = self->token,
                                    .limit_ns = self->settings.attempt_ns,
                                    .line = line,
                                    .done = done,
                                    .user_data = user_data });
}

/* --- the members --- */

/* Half of it and a random part of the other half: not all clients come back at once. */
static gint64
jitter (CommyEtcdCluster *self, gint64 pause_ns)
{
  CommyHost *host = self->settings.host;
  guint32 random = 0;

  host->random (host, &random, sizeof random);
  return pause_ns / 2 + (gint64) (random % (guint32) (pause_ns / 2 / 1000 + 1)) * 1000;
}

static gint64
next_pause (CommyEtcdCluster *self)
{
  guint rounds = self->failures / self->n_members;

  return rounds > 0 ? jitter (self, MIN (PAUSE_NS << MIN (rounds - 1, 10), MAX_PAUSE_NS)) : 0;
}

gint64
commy_etcd_cluster_failed (CommyEtcdCluster *self, const char *member, const char *why)
{
  CommyHost *host = self->settings.host;
  gint64 pause_ns;

  /* Several requests to one member fail together; the first of them has moved on already. */
  if (member != commy_etcd_cluster_get_member (self))
    return next_pause (self);
  if (self->failures < self->n_members)
    {
      g_autofree char *line = g_strdup_printf ("etcd's member %s failed: %s", member, why);

      host->log (host, G_LOG_LEVEL_MESSAGE, line);
    }
  self->failures++;
  self->current = (self->current + 1) % self->n_members;
  pause_ns = next_pause (self);
  self->settings.moved (self->settings.moved_data, pause_ns);
  return pause_ns;
}

const char *
commy_etcd_cluster_get_member (CommyEtcdCluster *self)
{
  return self->settings.members[self->current];
}

const char *
commy_etcd_cluster_get_prefix (CommyEtcdCluster *self)
{
  return self->settings.prefix;
}

gint64
commy_etcd_cluster_get_timeout (CommyEtcdCluster *self)
{
  return self->settings.timeout_ns;
}

gint64
commy_etcd_cluster_get_attempt (CommyEtcdCluster *self)
{
  return self->settings.attempt_ns;
}

gint64
commy_etcd_cluster_get_heard (CommyEtcdCluster *self)
{
  return self->heard_ns;
}

gboolean
commy_etcd_cluster_is_silent (CommyEtcdCluster *self)
{
  return self->failures > 0;
}

gboolean
commy_etcd_cluster_is_reading (CommyEtcdCluster *self)
{
  for (guint i = 0; i < self->calls->len; i++)
    if (((CommyEtcdCall *) self->calls->pdata[i])->ask.kind == COMMY_ETCD_RANGE)
      return TRUE;
  return FALSE;
}

gint64
commy_etcd_cluster_get_revision (CommyEtcdCluster *self)
{
  return self->revision;
}

gboolean
commy_etcd_cluster_lacks_token (CommyEtcdCluster *self)
{
  return self->token == NULL && self->settings.user[0] != '\0';
}

void
commy_etcd_cluster_drop_token (CommyEtcdCluster *self)
{
  g_clear_pointer (&self->token, g_free);
}

void
commy_etcd_cluster_saw (CommyEtcdCluster *self, gint64 revision)
{
  self->revision = MAX (self->revision, revision);
}

CommyEtcdCluster *
commy_etcd_cluster_new (const CommyEtcdClusterSettings *settings)
{
  CommyEtcdCluster *self = g_new0 (CommyEtcdCluster, 1);
  CommyHost *host = settings->host;
  guint32 random = 0;

  self->settings = *settings;
  self->n_members = g_strv_length (settings->members);
  self->calls = g_ptr_array_new ();
  /* Not all processes ask the member that was written first. */
  host->random (host, &random, sizeof random);
  self->current = random % self->n_members;
  return self;
}

void
commy_etcd_cluster_free (CommyEtcdCluster *self)
{
  if (self == NULL)
    return;
  while (self->calls->len > 0)
    commy_etcd_call_cancel (self->calls->pdata[0]);
  commy_http_free (self->settings.http);
  g_ptr_array_unref (self->calls);
  g_strfreev (self->settings.members);
  g_free (self->token);
  g_free (self);
}
