/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The topics of `commy help`: what a reader needs to know that belongs to no single verb.
 */
#include "config.h"

#include "cli/commy-help.h"

#include <glib/gi18n.h>

static const CommyHelpTopic topics[] = {
  { "words", N_ ("mesh, node, service, instance, route: what they mean"),
    N_ ("mesh      a named trust domain: all that can find each other; yours is \"default\"\n"
        "node      one process that joined a mesh\n"
        "service   a name that can be called, such as org.example.Echo\n"
        "instance  one node's offer of a service\n"
        "endpoint  one address of an instance on one transport\n"
        "channel   a live connection between two nodes over one endpoint\n"
        "route     a client's choice: instance, transport and serializer\n"
        "plugin    a transport, serializer, auth provider, balancer, store or policy engine\n\n"
        "  commy nodes ls            the nodes\n"
        "  commy services ls         the services and their instances\n"
        "  commy stats               the channels\n"
        "  commy route explain NAME  the route, and why not another one") },
  { "values", N_ ("how arguments of commy call are written"),
    N_ ("Arguments are values in GVariant text. The shell takes one pair of quotes away, so a\n"
        "string needs two:\n\n"
        "  \"'text'\"             a string        5                 a number (int32)\n"
        "  true                 a boolean       \"uint64 7\"        a number of another type\n"
        "  1.5                  a double        \"[1, 2, 3]\"       an array\n"
        "  \"('a', 1)\"           a tuple         \"{'key': <5>}\"    a dictionary of variants\n"
        "  \"@as []\"             an empty array  \"b'abc'\"          bytes\n\n"
        "Where the service says the types of its arguments (commy introspect), they need not be\n"
        "written: [] and 7 are then what the method takes. Arguments that begin with \"-\" stand\n"
        "behind \"--\". With --bytes or --bytes-file raw bytes are the only argument.") },
  { "keyfiles", N_ ("where settings come from"),
    N_ ("Settings are keyfiles: KEY=VALUE below a [group]; comments stand on lines of their own.\n"
        "They are read in this order, and later ones win key by key:\n\n"
        "  shipped      what the installation brings\n"
        "  system       commy/commy.conf in the system's folder of settings\n"
        "  drop-ins     commy/commy.conf.d/*.conf beside it, in order of name\n"
        "  user         commy/commy.conf in the user's folder of settings (~/.config)\n"
        "  environment  the files that COMMY_CONFIG names, separated by \":\"\n"
        "  program      what the program itself says\n\n"
        "Lists are separated by \";\". Sizes are like 64KiB, times like 20ms, shares like 10%.\n\n"
        "  commy config show         every setting in force and the line that set it\n"
        "  commy config check FILE   whether a keyfile is right\n"
        "  commy doctor              finds the files that are read") },
  { "environment", N_ ("variables that change what commy does"),
    N_ ("COMMY_CONFIG       keyfiles that go over the user's, separated by \":\"\n"
        "COMMY_RUNTIME_DIR  folder for sockets, instead of XDG_RUNTIME_DIR/commy\n"
        "COMMY_STATE_DIR    folder for what stays, instead of ~/.local/state/commy\n"
        "COMMY_PLUGIN_PATH  folders with more plugins (user-plugins=true in [plugins])\n"
        "NO_COLOR           if set, nothing is coloured; a pipe never is\n"
        "LANGUAGE           languages for messages, such as de; numbers of errors, names and\n"
        "                   JSON are the same in all of them\n\n"
        "Programs with more rights than their caller ignore those that begin with COMMY_.") },
  { "security", N_ ("who may call whom, on one host and between hosts"),
    N_ ("On one host the kernel says who the other side is: your programs find and call each\n"
        "other, those of other users do not. Another host is reachable only with certificates\n"
        "of one authority, over mutual TLS. Security is a limit on routes, never a weight.\n\n"
        "  commy pki init       make an authority and a certificate\n"
        "  commy pki show       what there is and until when it is valid\n"
        "  commy route explain NAME --why-not tls\n"
        "  commy help CMY0401   identity not accepted; CMY0402: not allowed by the policy") },
  { "json", N_ ("what programs read: -o json"),
    N_ ("With -o json a verb writes one JSON document to the standard output and nothing else;\n"
        "messages go to the standard error. Keys are in English in every language. Bytes are\n"
        "base64, numbers that are not finite are null. With --watch each line is a document.\n\n"
        "  commy services ls -o json | jq -r '.[].service'\n"
        "  commy stats --watch -o json | jq '.[].stats.dropped'\n"
        "  commy doctor -o json | jq '.[] | select(.state != \"ok\")'") },
  { "slow", N_ ("what to do when calls are slow"),
    N_ ("1. How slow? The first call finds the service and connects; later ones do not.\n"
        "     commy call NAME METHOD --count 1000\n"
        "2. Over which path, and why not over a faster one?\n"
        "     commy route explain NAME --size 64,4k,1M\n"
        "3. Is somebody waiting? BLOCKED: the peer does not take more; PARKED: its owner slept.\n"
        "     commy stats --of NAME --watch\n"
        "4. Is the machine fit? D015 (processors), D018 (time of each transport).\n"
        "     commy doctor") },
};

const CommyHelpTopic *
commy_help_topics (guint *out_n)
{
  *out_n = G_N_ELEMENTS (topics);
  return topics;
}
