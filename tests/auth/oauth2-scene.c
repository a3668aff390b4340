/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header.
 */
#include "config.h"

#include "oauth2-scene.h"

#include <glib/gstdio.h>
#include <string.h>

char *
node_write_secret (CommyTestHost *host, const char *text)
{
  char *path = g_build_filename (commy_test_host_get_dir (host), "secret", NULL);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  return path;
}

void
node_init (Node *node, OidcChild *child, const char *id, const char *secret)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("auth", "oauth2", &error);
  g_autofree char *path = NULL;

  g_assert_no_error (error);
  node->child = child;
  node->ops = descriptor->ops;
  node->host = commy_test_host_new (NULL, descriptor);
  commy_test_host_set_param (node->host, "issuer", child->issuer);
  commy_test_host_set_param (node->host, "insecure-loopback", "true");
  commy_test_host_set_param (node->host, "client-id", id);
  path = node_write_secret (node->host, secret);
  commy_test_host_set_param (node->host, "client-secret", path);
  commy_test_host_use_virtual_clock (node->host);
}

void
node_start (Node *node)
{
  g_autoptr (GError) error = NULL;

  if (node->instance != NULL)
    return;
  node->instance = commy_test_host_start (node->host, &error);
  g_assert_no_error (error);
}

gboolean
scene_init (Scene *scene)
{
  memset (scene, 0, sizeof *scene);
  scene->child = oidc_child_start (NULL, NULL);
  if (scene->child == NULL)
    return FALSE;
  node_init (&scene->caller, scene->child, "build", "s e:c%ret");
  node_init (&scene->service, scene->child, "service", "another");
  commy_test_host_set_param (scene->caller.host, "show-to", SERVICE);
  commy_test_host_set_param (scene->service.host, "audience", "commy");
  return TRUE;
}

void
scene_clear (Scene *scene)
{
  commy_test_host_free (scene->caller.host);
  commy_test_host_free (scene->service.host);
  oidc_child_free (scene->child);
}

void
scene_advance (Scene *scene, gint64 by_s)
{
  commy_test_host_advance (scene->caller.host, by_s * OAUTH2_SECOND);
  commy_test_host_advance (scene->service.host, by_s * OAUTH2_SECOND);
}

void
scene_tell (Scene *scene, const char *command)
{
  g_free (oidc_child_tell (scene->child, command));
}

void
scene_check_count (Scene *scene, const char *what, guint n)
{
  g_assert_cmpuint (oidc_child_count (scene->child, what), ==, n);
}

GBytes *
scene_show (Scene *scene, const char *words)
{
  CommyEvidence evidence = auth_side_evidence (1, SERVICE);
  GBytes *bytes = NULL;
  AuthSide side;

  node_start (&scene->caller);
  auth_side_begin (&side, scene->caller.ops, scene->caller.instance, FALSE, &evidence);
  auth_side_step_sync (&side, NULL);
  if (words == NULL && side.verdict != COMMY_AUTH_NOT_MINE)
    g_error ("refused: %s", side.text);
  if (words != NULL && (side.verdict != COMMY_AUTH_REFUSED || strstr (side.text, words) == NULL))
    g_error ("\"%s\" does not say \"%s\"", side.text, words);
  if (side.bytes != NULL)
    bytes = g_bytes_ref (side.bytes);
  auth_side_end (&side);
  return bytes;
}

void
scene_begin_check (Scene *scene, AuthSide *side)
{
  CommyEvidence evidence = auth_side_evidence (1, BUILD);

  node_start (&scene->service);
  auth_side_begin (side, scene->service.ops, scene->service.instance, TRUE, &evidence);
}

CommyAuthVerdict
scene_ask (Scene *scene, GBytes *bytes)
{
  AuthSide side;

  scene_begin_check (scene, &side);
  auth_side_step_sync (&side, bytes);
  auth_side_end (&side);
  return side.verdict;
}

static void
check_verdict (Scene *scene, GBytes *bytes, CommyAuthVerdict verdict, const char *words)
{
  AuthSide side;

  scene_begin_check (scene, &side);
  auth_side_step_sync (&side, bytes);
  if (side.verdict != verdict || strstr (side.text, words) == NULL)
    g_error ("%d, \"%s\" does not say \"%s\"", side.verdict, side.text, words);
  auth_side_end (&side);
}

void
scene_check (Scene *scene, GBytes *bytes, gboolean accepted, const char *words)
{
  check_verdict (scene, bytes, accepted ? COMMY_AUTH_ACCEPTED : COMMY_AUTH_REFUSED, words);
}

void
scene_check_unable (Scene *scene, GBytes *bytes, const char *words)
{
  check_verdict (scene, bytes, COMMY_AUTH_UNABLE, words);
}

void
scene_await_count (Scene *scene, const char *what, guint n)
{
  while (oidc_child_count (scene->child, what) < n)
    g_main_context_iteration (NULL, FALSE);
}
