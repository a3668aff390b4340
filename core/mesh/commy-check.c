/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Life and time of a check, what the keyfile says about it, and the two kinds that ask through the
 * mesh. A client is made for each look: what went wrong before must not keep it from asking.
 */
#include "config.h"

#include "mesh/commy-check.h"

#include "base/commy-error-private.h"
#include "base/commy-units.h"
#include "mesh/commy-client-private.h"
#include "mesh/commy-command.h"
#include "mesh/commy-interface-check.h"

#include <string.h>

/* --- the keyfile --- */

static const char *const kinds[] = { "none", "heartbeat", "call", "tcp", "http", "command" };

const char *
commy_check_kind_to_string (CommyCheckKind kind)
{
  return kinds[kind];
}

const char commy_check_cannot_tell[] = "cannot tell";

static CommyCheckKind
read_kind (const char *word)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (g_strcmp0 (word, kinds[i]) == 0)
      return i;
  return COMMY_CHECK_NONE;
}

/* "PORT", and "/PATH" if that may follow. */
static gboolean
read_port (CommyCheckSpec *self, const char *target)
{
  gsize digits = strspn (target, "0123456789");
  const char *rest = target + digits;
  gboolean fits = self->kind == COMMY_CHECK_HTTP ? *rest == '\0' || *rest == '/' : *rest == '\0';
  guint64 port = digits > 0 && digits < 6 ? g_ascii_strtoull (target, NULL, 10) : 0;

  if (!fits || port == 0 || port > G_MAXUINT16)
    return FALSE;
  for (const char *at = rest; *at != '\0'; at++)
    if (!g_ascii_isgraph (*at))
      return FALSE;
  self->port = (guint16) port;
  self->path = g_strdup (*rest == '/' ? rest : "/");
  return TRUE;
}

/* NULL: it is usable; else what to write. */
static const char *
read_target (CommyCheckSpec *self, const char *target)
{
  switch (self->kind)
    {
    case COMMY_CHECK_CALL:
      self->method = g_strdup (target);
      return target[0] != '\0' ? NULL : "health-target=METHOD, which takes no arguments";
    case COMMY_CHECK_TCP:
      return read_port (self, target) ? NULL : "health-target=PORT";
    case COMMY_CHECK_HTTP:
      return read_port (self, target) ? NULL : "health-target=PORT/PATH";
    case COMMY_CHECK_COMMAND:
      return g_shell_parse_argv (target, NULL, &self->argv, NULL) ? NULL : "health-target=COMMAND";
    case COMMY_CHECK_NONE:
    case COMMY_CHECK_HEARTBEAT:
    default:
      return NULL;
    }
}

static char *
dup_how (const CommyCheckSpec *self, const char *target)
{
  g_autofree char *escaped = g_strescape (target, NULL);

  return g_strdup_printf ("%s every %" G_GINT64_FORMAT " within %" G_GINT64_FORMAT
                          " rise %u fall %u: %s",
                          kinds[self->kind], self->interval_ns, self->timeout_ns, self->rules.rise,
                          self->rules.fall, escaped);
}

/* @out_wanted: NULL, or what its target should look like. */
static CommyCheckSpec *
read_spec (CommyConfig *config, const char *group, const char **out_wanted)
{
  const char *target = commy_config_get (config, group, "health-target");
  CommyCheckSpec *self = g_new0 (CommyCheckSpec, 1);

  g_ref_count_init (&self->refs);
  self->kind = read_kind (commy_config_get (config, group, "health-check"));
  self->interval_ns = commy_config_get_duration (config, group, "health-interval");
  self->timeout_ns = commy_config_get_duration (config, group, "health-timeout");
  self->rules.rise = (guint) commy_config_get_int (config, group, "health-rise");
  self->rules.fall = (guint) commy_config_get_int (config, group, "health-fall");
  *out_wanted = read_target (self, target != NULL ? target : "");
  self->how = dup_how (self, target != NULL ? target : "");
  return self;
}

gboolean
commy_check_config (CommyConfig *config, GError **error)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (config, "service ");

  for (guint i = 0; i < groups->len; i++)
    {
      const char *group = groups->pdata[i], *wanted;
      CommyCheckSpec *spec = read_spec (config, group, &wanted);

      if (wanted != NULL)
        commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: health-check=%s of [%s] needs %s",
                         commy_config_get_origin (config, group, "health-check"), kinds[spec->kind],
                         group, wanted);
      commy_check_spec_unref (spec);
      if (wanted != NULL)
        return FALSE;
    }
  return TRUE;
}

CommyCheckSpec *
commy_check_spec_new (CommyConfig *config, const char *service)
{
  g_autofree char *group = g_strdup_printf ("service %s", service);
  const char *wanted;
  CommyCheckSpec *self = read_spec (config, group, &wanted);

  if (self->kind != COMMY_CHECK_NONE)
    return self;
  commy_check_spec_unref (self);
  return NULL;
}

CommyCheckSpec *
commy_check_spec_ref (CommyCheckSpec *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

void
commy_check_spec_unref (CommyCheckSpec *self)
{
  if (self == NULL || !g_ref_count_dec (&self->refs))
    return;
  g_free (self->method);
  g_free (self->path);
  g_strfreev (self->argv);
  g_free (self->how);
  g_free (self);
}

/* --- life --- */

static void
finish (CommyCheck *self, const char *reason)
{
  self->func (self->data, reason);
  g_source_destroy (self->timeout);
  g_source_unref (self->timeout);
  g_object_unref (self->cancellable);
  commy_instance_unref (self->instance);
  commy_check_spec_unref (self->spec);
  g_free (self);
}

void
commy_check_end (CommyCheck *self, const char *format, ...)
{
  g_autofree char *reason = NULL;
  va_list arguments;

  va_start (arguments, format);
  if (format != NULL)
    reason = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  finish (self, reason);
}

void
commy_check_fail (CommyCheck *self, const GError *error)
{
  g_autofree char *time = NULL;

  if (!self->is_late)
    {
      commy_check_end (self, "%s", commy_error_bare (error));
      return;
    }
  time = commy_format_duration ((double) self->spec->timeout_ns);
  commy_check_end (self, "no answer within %s", time);
}

static gboolean
on_timeout (gpointer data)
{
  CommyCheck *self = data;

  self->is_late = TRUE;
  g_cancellable_cancel (self->cancellable);
  return G_SOURCE_REMOVE;
}

static void
on_command (gpointer data, const GError *error)
{
  CommyCheck *self = data;

  if (error != NULL)
    commy_check_fail (self, error);
  else
    commy_check_end (self, NULL);
}

void
commy_check_begin_command (CommyCheck *self)
{
  g_auto (GStrv) environment = g_get_environ ();

  environment = g_environ_setenv (environment, "COMMY_SERVICE", self->instance->service, TRUE);
  environment = g_environ_setenv (environment, "COMMY_INSTANCE", self->instance->id, TRUE);
  environment = g_environ_setenv (environment, "COMMY_HOST",
                                  self->instance->host != NULL ? self->instance->host : "", TRUE);
  commy_command_run ((const char *const *) self->spec->argv, (const char *const *) environment,
                     self->cancellable, on_command, self);
}

static gboolean
begin (gpointer data)
{
  CommyCheck *self = data;

  switch (self->spec->kind)
    {
    case COMMY_CHECK_HEARTBEAT:
    case COMMY_CHECK_CALL:
      commy_check_begin_call (self);
      break;
    case COMMY_CHECK_TCP:
    case COMMY_CHECK_HTTP:
      commy_check_begin_socket (self);
      break;
    case COMMY_CHECK_COMMAND:
      commy_check_begin_command (self);
      break;
    case COMMY_CHECK_NONE:
    default:
      commy_check_end (self, NULL);
      break;
    }
  return G_SOURCE_REMOVE;
}

CommyCheck *
commy_check_begin (CommyMesh *mesh,
                   CommyCheckSpec *spec,
                   CommyInstance *instance,
                   CommyCheckFunc func,
                   gpointer data)
{
  CommyCheck *self = g_new0 (CommyCheck, 1);
  g_autoptr (GSource) idle = g_idle_source_new ();

  self->mesh = mesh;
  self->spec = commy_check_spec_ref (spec);
  self->instance = commy_instance_ref (instance);
  self->cancellable = g_cancellable_new ();
  self->func = func;
  self->data = data;
  self->timeout = g_timeout_source_new ((guint) MAX (spec->timeout_ns / 1000000, 1));
  g_source_set_callback (self->timeout, on_timeout, self, NULL);
  g_source_attach (self->timeout, mesh->context);
  g_source_set_priority (idle, G_PRIORITY_DEFAULT);
  g_source_set_callback (idle, begin, self, NULL);
  g_source_attach (idle, mesh->context);
  return self;
}

void
commy_check_cancel (CommyCheck *self)
{
  g_cancellable_cancel (self->cancellable);
}

/* --- through the mesh --- */

/* That it is hung is all that a heartbeat wants to know: an error is an answer too. */
static gboolean
is_answer (const CommyCheck *self, const GError *error)
{
  return self->spec->kind == COMMY_CHECK_HEARTBEAT
         && (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NO_METHOD)
             || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DENIED)
             || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_REMOTE));
}

/* Who looks for others is not told apart from them: what it is not allowed to say or cannot reach
 * may be well for who uses it. */
static gboolean
says_nothing (const CommyCheck *self, const GError *error)
{
  return self->mesh->looks_for_host
         && (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DENIED)
             || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE)
             || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_CERTIFICATE));
}

static gboolean
asks_node (const CommyCheck *self)
{
  return self->spec->kind == COMMY_CHECK_HEARTBEAT && !self->asks_itself;
}

static void ask_itself (CommyCheck *self);

static void
on_called (GObject *source, GAsyncResult *result, gpointer data)
{
  CommyCheck *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  if (answer == NULL && asks_node (self) && !is_answer (self, error) && !self->is_late
      && !g_error_matches (error, COMMY_ERROR, COMMY_ERROR_CANCELLED))
    {
      ask_itself (self);
      return;
    }
  self->is_late |= g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  if (answer != NULL || is_answer (self, error))
    commy_check_end (self, NULL);
  else if (says_nothing (self, error))
    finish (self, commy_check_cannot_tell);
  else
    commy_check_fail (self, error);
}

static void
call (CommyCheck *self,
      const char *service,
      const char *instance,
      const char *method,
      gint64 timeout_ns)
{
  g_autoptr (CommyClient) client = commy_client_new_look (self->mesh, service, instance);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();

  commy_call_options_set_timeout (options, MAX (timeout_ns / 1000, 1));
  commy_client_call (client, method, NULL, options, self->cancellable, on_called, self);
}

/* The node's own service in its process, or NULL while it is not known. (transfer full) */
static char *
find_node_service (const CommyCheck *self)
{
  g_autoptr (CommySnapshot) nodes
      = commy_registry_lookup (self->mesh->registry, COMMY_CHECK_NODE_SERVICE);

  for (guint i = 0; nodes != NULL && i < nodes->instances->len; i++)
    {
      const CommyInstance *node = nodes->instances->pdata[i];

      if (g_strcmp0 (node->node, self->instance->node) == 0)
        return g_strdup (node->id);
    }
  return NULL;
}

static void
ask_itself (CommyCheck *self)
{
  self->asks_itself = TRUE;
  call (self, self->instance->service, self->instance->id, COMMY_INTERFACE_METHOD,
        self->spec->timeout_ns);
}

/* One connection to its node is enough for all that it offers. But which node that is, its record
 * and another one of the store say, and not the instance: where nobody answers there within half
 * the time, or no store lists its node, it is asked itself what it offers. */
static void
beat (CommyCheck *self)
{
  g_autofree char *node = find_node_service (self);

  if (commy_mesh_is_ours (self->mesh, self->instance))
    commy_check_end (self, NULL); /* who asks beats */
  else if (node != NULL)
    call (self, COMMY_CHECK_NODE_SERVICE, node, "Ping", self->spec->timeout_ns / 2);
  else
    ask_itself (self);
}

void
commy_check_begin_call (CommyCheck *self)
{
  if (self->spec->kind == COMMY_CHECK_HEARTBEAT)
    beat (self);
  else
    call (self, self->instance->service, self->instance->id, self->spec->method,
          self->spec->timeout_ns);
}
