/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chains of auth providers from a keyfile: which one counts where, and what cannot be one.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "security/commy-auth-chain.h"

#include <string.h>

static CommyPlugin *
make_provider (const char *id, gsize session_size)
{
  CommyPlugin *plugin = g_new0 (CommyPlugin, 1);

  g_strlcpy (plugin->note.id, id, sizeof plugin->note.id);
  plugin->ops.auth.session_size = session_size;
  return plugin;
}

typedef struct
{
  CommyPlugin *kernel, *paper, *word, *code; /* the last two go by steps */
  CommyPlugin *auth[2];
  guint n_started;
} Scene;

static void
scene_set_up (Scene *scene, gconstpointer data)
{
  scene->kernel = make_provider ("kernel", 0);
  scene->paper = make_provider ("paper", 0);
  scene->word = make_provider ("word", 64);
  scene->code = make_provider ("code", 64);
  scene->auth[0] = scene->kernel;
}

static void
scene_tear_down (Scene *scene, gconstpointer data)
{
  g_free (scene->kernel);
  g_free (scene->paper);
  g_free (scene->word);
  g_free (scene->code);
}

static CommyPlugin *
start (gpointer data, const char *id, GError **error)
{
  Scene *scene = data;
  CommyPlugin *all[] = { scene->kernel, scene->paper, scene->word, scene->code };

  scene->n_started++;
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    if (strcmp (all[i]->note.id, id) == 0)
      return all[i];
  commy_set_error (error, COMMY_ERROR_PLUGIN_MISSING, "no usable plugin auth/%s", id);
  return NULL;
}

static CommyAuthChains *
compile (Scene *scene, const char *text, GError **error)
{
  g_autoptr (CommyConfig) config = commy_config_load_text (text, strlen (text), "test", error);

  return config != NULL ? commy_auth_chains_new (config, scene->auth, start, scene, error) : NULL;
}

static void
test_default (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyAuthChains) chains = compile (scene, "[log]\nlevel=info\n", &error);
  const CommyAuthChain *chain;

  g_assert_no_error (error);
  g_assert_true (commy_auth_chains_is_simple (chains));
  chain = commy_auth_chains_get_offered (chains, "org.example.A", "unix");
  g_assert_true (chain == commy_auth_chains_get_default (chains));
  g_assert_true (chain == commy_auth_chains_get_expected (chains, "org.example.A"));
  g_assert_true (chain->any == scene->auth);
  g_assert_null (chain->require[0]);
  g_assert_null (commy_auth_chains_get_steppers (chains)[0]);
  g_assert_cmpuint (scene->n_started, ==, 0);
}

#define CHAINS                                                   \
  "[auth-chain both]\nrequire=paper;word\nsame-principal=true\n" \
  "[auth-chain one]\nany=kernel;paper;word\nrequire=code\n"      \
  "[auth-chain paper]\nrequire=paper\n"                          \
  "[mesh]\nauth-chain=one\n"                                     \
  "[plugin transport/tls]\nauth-chain=both\n"                    \
  "[service org.example.A]\nauth-chain=paper\n"                  \
  "[service org.example.B]\nexpect-chain=both\n"

static void
test_nearest (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyAuthChains) chains = compile (scene, CHAINS, &error);
  const CommyAuthChain *chain;

  g_assert_no_error (error);
  g_assert_false (commy_auth_chains_is_simple (chains));
  chain = commy_auth_chains_get_offered (chains, "org.example.A", "tls");
  g_assert_cmpstr (chain->name, ==, "[auth-chain paper]");
  g_assert_false (chain->same_principal);
  chain = commy_auth_chains_get_offered (chains, "org.example.B", "tls");
  g_assert_cmpstr (chain->name, ==, "[auth-chain both]");
  g_assert_null (chain->any[0]);
  g_assert_true (chain->require[0] == scene->paper);
  g_assert_true (chain->require[1] == scene->word);
  g_assert_null (chain->require[2]);
  g_assert_true (chain->same_principal);
  chain = commy_auth_chains_get_offered (chains, "org.example.B", "unix");
  g_assert_cmpstr (chain->name, ==, "[auth-chain one]");
  chain = commy_auth_chains_get_expected (chains, "org.example.B");
  g_assert_cmpstr (chain->name, ==, "[auth-chain both]");
  chain = commy_auth_chains_get_expected (chains, "org.example.A");
  g_assert_true (chain == commy_auth_chains_get_default (chains));
  g_assert_true (commy_auth_chains_find_stepper (chains, "word") == scene->word);
  g_assert_true (commy_auth_chains_find_stepper (chains, "code") == scene->code);
  g_assert_null (commy_auth_chains_find_stepper (chains, "paper"));
}

/* What would ask for less than somebody meant is no chain. */
static void
test_refused (Scene *scene, gconstpointer data)
{
  static const struct
  {
    const char *text;
    const char *words;
  } cases[] = {
    { "[auth-chain x]\n", "asks nobody" },
    { "[auth-chain x]\nrequire=\n", "asks nobody" },
    { "[auth-chain x]\nrequire=word;word\n", "twice" },
    { "[auth-chain x]\nany=word\nrequire=word\n", "leave one out" },
    { "[auth-chain x]\nrequire=kernel;paper;word;code;other\n", "more than four" },
    { "[auth-chain x]\nrequire=word\nsame-principal=true\n", "asks for one proof only" },
    { "[auth-chain x]\nany=kernel;word\nsame-principal=true\n", "asks for one proof only" },
    { "[auth-chain x]\nrequire=wird\n", "needs the auth provider wird" },
    { "[auth-chain x]\nrequire=word\n[mesh]\nauth-chain=y\n", "no [auth-chain y]" },
    { "[auth-chain strict]\nrequire=word\n[service s]\nauth-chain=strikt\n",
      "did you mean \"strict\"" },
    { "[service s]\nexpect-chain=y\n", "no [auth-chain y]" },
    { "[plugin transport/tls]\nauth-chain=y\n", "no [auth-chain y]" },
    { "[auth-chain]\nrequire=word\n", "needs a name" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (CommyAuthChains) chains = compile (scene, cases[i].text, &error);

      if (chains != NULL)
        g_error ("taken: %s", cases[i].text);
      g_assert_nonnull (error);
      if (strstr (error->message, cases[i].words) == NULL)
        g_error ("\"%s\" does not say \"%s\"", error->message, cases[i].words);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, FUNC) \
  g_test_add ("/security/auth-chain/" NAME, Scene, NULL, scene_set_up, FUNC, scene_tear_down)
  ADD ("without-any-it-is-as-always", test_default);
  ADD ("the-nearest-name-counts", test_nearest);
  ADD ("what-would-ask-for-less-is-an-error", test_refused);
#undef ADD
  return g_test_run ();
}
