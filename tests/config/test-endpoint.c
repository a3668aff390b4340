/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Items of `endpoints=`: what is taken, what is refused and in which words, and the names that
 * are asked for in DNS.
 */
#include "config.h"

#include "config/commy-config-endpoint.h"
#include "config/commy-config.h"

#include <commy/commy-error.h>
#include <string.h>

static void
test_taken (void)
{
  static const struct
  {
    const char *text, *transport, *host, *address;
    guint16 port;
  } cases[] = {
    { "tls://host-b:7001", "tls", "host-b", "host-b:7001", 7001 },
    { "tls://host-b.example:1", "tls", "host-b.example", "host-b.example:1", 1 },
    { "tls://host_b.example.:65535", "tls", "host_b.example.", "host_b.example.:65535", 65535 },
    { "tls://10.1.1.2:7001", "tls", "10.1.1.2", "10.1.1.2:7001", 7001 },
    { "tls://[fd00::2]:7001", "tls", "fd00::2", "[fd00::2]:7001", 7001 },
    { "my-transport://3com.example:7001", "my-transport", "3com.example", "3com.example:7001",
      7001 },
    { "srv:", NULL, "", NULL, 0 },
    { "srv:example.org", NULL, "example.org", NULL, 0 },
    { "srv:_commy-digest._tcp.example.org", NULL, "_commy-digest._tcp.example.org", NULL, 0 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (CommyConfigEndpoint) endpoint = { NULL };
      g_autofree char *why = NULL;
      g_autofree char *address = NULL;

      if (!commy_config_endpoint_parse (cases[i].text, &endpoint, &why))
        g_error ("%s: %s", cases[i].text, why);
      g_assert_cmpstr (endpoint.transport, ==, cases[i].transport);
      g_assert_cmpstr (endpoint.host, ==, cases[i].host);
      g_assert_cmpuint (endpoint.port, ==, cases[i].port);
      if (cases[i].address == NULL)
        continue;
      address = commy_config_endpoint_address (endpoint.host, endpoint.port);
      g_assert_cmpstr (address, ==, cases[i].address);
    }
}

static void
test_refused (void)
{
  static const struct
  {
    const char *text, *words;
  } cases[] = {
    { "", "no endpoint" },
    { "host-b", "no endpoint" },
    { "host-b:7001", "no endpoint" },
    { "://host-b:7001", "no endpoint" },
    { "TLS://host-b:7001", "no name of a transport" },
    { "t l s://host-b:7001", "no name of a transport" },
    { "tls://", "no port" },
    { "tls://host-b", "no port" },
    { "tls://host-b:", "no port of 1 to 65535" },
    { "tls://host-b:0", "no port of 1 to 65535" },
    { "tls://host-b:65536", "no port of 1 to 65535" },
    { "tls://host-b:-1", "no port of 1 to 65535" },
    { "tls://host-b:7001x", "no port of 1 to 65535" },
    { "tls://host-b: 7001", "more than host and port" },
    { "tls://:7001", "neither a host's name nor an address" },
    { "tls://host-b:7001/path", "more than host and port" },
    { "tls://user@host-b:7001", "more than host and port" },
    { "tls://fd00::2:7001", "stands in brackets" },
    { "tls://[fd00::2]", "no port" },
    { "tls://[fd00::2", "stands in brackets" },
    { "tls://[]:7001", "neither" },
    { "tls://[10.1.1.2]:7001", "neither" },
    { "tls://[zz::1]:7001", "neither" },
    { "tls://300.1.1.1:7001", "neither" },
    { "tls://10.1.1:7001", "neither" },
    { "tls://-host:7001", "neither" },
    { "tls://a..b:7001", "neither" },
    { "tls://h\303\266st:7001", "neither" },
    { "srv://example.org", "no endpoint" },
    { "srv:example..org", "no name in DNS" },
    { "srv:10.1.1.2", "no name in DNS" },
    { "srv:exa mple.org", "no name in DNS" },
    { "srv:_commy-digest", "no name of an SRV record" },
    { "srv:_commy-digest.example.org", "no name of an SRV record" },
    { "srv:_commy-digest._tcp", "no name of an SRV record" },
  };
  g_autofree char *label = g_strnfill (64, 'a');
  g_autofree char *endless = g_strnfill (100000, 'a');
  g_autofree char *long_label = g_strdup_printf ("tls://%s.example:7001", label);
  const char *const sizes[] = { long_label, endless };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *why = NULL;

      if (commy_config_endpoint_parse (cases[i].text, NULL, &why))
        g_error ("\"%s\" was taken", cases[i].text);
      if (strstr (why, cases[i].words) == NULL)
        g_error ("\"%s\": %s (expected: %s)", cases[i].text, why, cases[i].words);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *why = NULL;

      g_assert_false (commy_config_endpoint_parse (sizes[i], NULL, &why));
    }
}

static void
test_names (void)
{
  static const struct
  {
    const char *rest, *service, *name;
  } cases[] = {
    { "", "org.example.Digest", "_commy-digest._tcp.example.org" },
    { "", "org.example.sub.Digest2", "_commy-digest2._tcp.sub.example.org" },
    { "example.net", "org.example.Digest", "_commy-digest._tcp.example.net" },
    { "example.net", "Digest", "_commy-digest._tcp.example.net" },
    { "_x._udp.example.net", "Digest", "_x._udp.example.net" },
    { "", "Digest", NULL },
    { "", "example.Digest", NULL },
    { "", "org.example.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      char *why = NULL;
      g_autofree char *name
          = commy_config_endpoint_srv_name (cases[i].rest, cases[i].service, &why);

      g_assert_cmpstr (name, ==, cases[i].name);
      g_assert_true ((why == NULL) == (name != NULL));
      g_free (why);
    }
}

static CommyConfig *
load (const char *value, GError **error)
{
  g_autofree char *text = g_strdup_printf ("[service org.example.Digest]\nendpoints=%s\n", value);

  return commy_config_load_text (text, strlen (text), "test.conf", error);
}

static void
test_keyfile (void)
{
  g_autoptr (CommyConfig) config = load ("tls://host-b:7001; srv:;tls://[::1]:1", NULL);
  g_autoptr (CommyConfig) none = load ("", NULL);
  g_auto (GStrv) items = NULL;
  g_auto (GStrv) empty = NULL;

  g_assert_nonnull (config);
  items = commy_config_get_list (config, "service org.example.Digest", "endpoints");
  g_assert_cmpuint (g_strv_length (items), ==, 3);
  g_assert_cmpstr (items[1], ==, "srv:");
  g_assert_nonnull (none);
  empty = commy_config_get_list (none, "service org.example.Digest", "endpoints");
  g_assert_cmpuint (g_strv_length (empty), ==, 0);
}

static void
test_keyfile_refused (void)
{
  static const char *const values[]
      = { "tls://host-b:7001;;tls://host-c:7001", "tls://host-b:99999", "http:/host-b" };

  for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (CommyConfig) config = load (values[i], &error);

      g_assert_null (config);
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_VALUE);
      g_assert_nonnull (strstr (error->message, "test.conf:2"));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/config/endpoint/takes-names-and-addresses", test_taken);
  g_test_add_func ("/config/endpoint/refuses-what-is-none-and-says-why", test_refused);
  g_test_add_func ("/config/endpoint/makes-names-for-dns", test_names);
  g_test_add_func ("/config/endpoint/is-read-from-keyfiles", test_keyfile);
  g_test_add_func ("/config/endpoint/bad-ones-are-named-with-file-and-line", test_keyfile_refused);
  return g_test_run ();
}
