# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may include, name and call what: the arrows of docs/ARCHITECTURE.md."""

import os
import re

from rules.tree import PLUGIN_FOLDERS, line_of

FLOORS = {
    "base": 1,
    "wire": 1,
    "route": 1,
    "schema": 1,
    "observe": 2,
    "config": 2,
    "plugin": 2,
    "security": 3,
    "control": 3,
    "channel": 4,
    "mesh": 5,
}
# On one floor: base is under the others, the catalog reads its settings from config.
SAME_FLOOR = {("plugin", "config"), ("plugin", "observe"), ("config", "observe")}
# What besides its own folder a plugin may use: the static helpers of its kind. Those of auth are
# about certificates, and only for these.
SHARED = ("plugins", "serializers", "balancers", "stores")
# For all kinds of plugins: fail points, of which nothing is left in a release, and what is said of
# parameters.
FOR_ALL = ("plugins/common/commy-failpoints.h", "plugins/common/commy-params.h")
USES_PKI = (
    "plugins/tls/",
    "auth/mtls/",
    "auth/token/",
    "auth/jwt/",
    "auth/oauth2/",
    "auth/totp/",
    "policies/opa/",
    "cli/",
    "bench/",
)
# A client that plugins of several kinds ask servers by.
HTTP = "plugins/common/commy-http.h"
USES_HTTP = ("auth/oauth2/", "stores/etcd/", "policies/opa/")
# The daemon starts its store through the ordinary host of plugins, and speaks its protocol with what
# the store of that name has, too.
USES_HOST = "daemon/"
HOST = ("core/base/", "core/config/", "core/plugin/", "core/security/", "stores/common/")
# The doctor knocks at the daemon's door as the store does.
KNOCKS = "cli/commy-doctor-daemon.c"
DOOR = "stores/common/commy-store-door.h"
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', re.M)


def resolve(tree, path, name):
    """The file of this tree that an include means, or None for one from outside."""
    folder = os.path.dirname(path)
    for start in (folder, "", "core", "include", folder.split("/", maxsplit=1)[0]):
        candidate = os.path.normpath(os.path.join(start, name))
        if candidate in tree.paths:
            return candidate
    ends = [p for p in tree.paths if p.endswith("/" + name)]
    return ends[0] if len(ends) == 1 else None


def why_not_core(path, target):
    mine, theirs = path.split("/")[1], target.split("/")[1]
    if not target.startswith("core/"):
        return "core includes nothing of ours but include/commy and core"
    if mine == theirs or theirs == "base":
        return None
    if mine not in FLOORS or theirs not in FLOORS:
        return "a folder of core without a floor (tools/rules/layers.py)"
    if FLOORS[theirs] < FLOORS[mine] or (mine, theirs) in SAME_FLOOR:
        return None
    return "core/%s (floor %d) must not use core/%s (floor %d)" % (
        mine,
        FLOORS[mine],
        theirs,
        FLOORS[theirs],
    )


def why_not_outside(path, target):
    parts = path.split("/")
    own = "/".join(parts[:2]) + "/" if parts[0] in PLUGIN_FOLDERS else parts[0] + "/"
    if target.startswith(own) or (parts[0] in SHARED and target.startswith(parts[0] + "/common/")):
        return None
    if target in FOR_ALL or (target == HTTP and path.startswith(USES_HTTP)):
        return None
    if path == KNOCKS and target == DOOR:
        return None
    if path.startswith(USES_HOST) and target.startswith(HOST):
        return None
    if target.startswith("auth/common/") and path.startswith(USES_PKI):
        return None
    return "%s uses <commy/...> and its own folder only, not %s" % (own, target)


def layers(tree):
    """includes follow the floors of core, and plugins know <commy/...> and their own folder"""
    outside = tuple(PLUGIN_FOLDERS) + ("cli", "daemon", "examples", "bench")
    for path in tree.c_files():
        top = path.split("/")[0]
        if top not in outside + ("core", "include"):
            continue
        code = tree.code(path)
        for found in INCLUDE.finditer(code):
            name = found.group(2)
            target = resolve(tree, path, name)
            why = None
            if target and target.startswith("include/commy/"):
                continue
            if top == "include":
                why = "a public header includes only <commy/...>" if target else None
            elif target:
                why = why_not_core(path, target) if top == "core" else why_not_outside(path, target)
            elif found.group(1) == '"' and name != "config.h":
                why = "no file %s in this tree" % name
            if why:
                yield path, line_of(code, found.start()), why


WORDS = ("raw", "unix", "token", "trace", "delay", "random", "weighted", "performance", "cut", "reorder", "corrupt")
# A field of every profile, too: there the string alone says nothing of the plugin.
FIELDS = ("loss",)


def ordinary_word(plugin_id):
    return plugin_id in WORDS + FIELDS


def core_names(tree):
    """core names no plugin, not even in a string: defaults come from the shipped keyfile"""
    ids = tree.plugin_ids()
    for path in tree.c_files():
        if not path.startswith("core/"):
            continue
        for line, content in tree.strings(path):
            if re.search(r"^commy/|\.h$", content):
                continue
            for plugin_id, kind in ids.items():
                word = r"(?<![\w-])%s(?![\w-])" % re.escape(plugin_id)
                if ordinary_word(plugin_id):
                    word = r"%s[ /:-]%s(?![\w-])" % (kind, plugin_id)
                    if plugin_id not in FIELDS:
                        word = r"^%s$|%s" % (plugin_id, word)
                if re.search(word, content):
                    yield path, line, 'names the %s "%s" in a string' % (kind, plugin_id)


TIME = r"clock_gettime|gettimeofday|g_get_monotonic_time|g_get_real_time|time|nanosleep|usleep|g_usleep"
CHANCE = r"rand|random|getrandom|g_random_\w+|g_rand_\w+"
OUTSIDE = r"getenv|secure_getenv|g_getenv|open|openat|fopen|read|write|socket|g_file_\w+|printf|fprintf"
LOGS = r"g_print|g_printerr|g_log\w*|g_message|g_warning|g_debug|g_info|g_critical"
MEMORY = r"malloc|calloc|realloc|free|strdup|g_new0?|g_malloc\w*|g_free|g_strdup\w*|g_slice_\w+"
MORE_MEMORY = r"g_realloc\w*|g_array_\w+|g_ptr_array_\w+|g_hash_table_\w+|g_string_\w+|g_variant_\w+|g_list_\w+"
LOCKS = r"g_mutex_\w+|pthread_\w+|g_cond_\w+|g_rw_lock_\w+"
PURE = "|".join((TIME, CHANCE, OUTSIDE, LOGS, LOCKS))
# What is kept and told about a decision is allocated; deciding is not.
MAY_ALLOCATE = re.compile(
    r"/commy-(requirements|demand|decision(-[\w-]+)?|measurement|explain(-[\w-]+)?|schema(-[\w-]+)?|words)\.[ch]$"
)
PLAIN_HEADERS = re.compile(
    r"^(std(bool|def|int|arg|align)|string|limits|inttypes|assert|endian|errno)\.h$"
)


def pure(tree):
    """core/route, core/schema and core/wire take everything as arguments; wire/ is plain C without GLib"""
    for path in tree.c_files():
        if not path.startswith(("core/route/", "core/schema/", "core/wire/")):
            continue
        wire = path.startswith("core/wire/")
        words = PURE if MAY_ALLOCATE.search(path) else PURE + "|" + MEMORY + "|" + MORE_MEMORY
        bare = tree.bare(path)
        for found in re.finditer(r"(?<![\w.>])(%s)[ \t]*\(" % words, bare):
            yield path, line_of(bare, found.start()), "calls %s" % found.group(1)
        if not wire:
            continue
        code = tree.code(path)
        for found in INCLUDE.finditer(code):
            name = found.group(2)
            if found.group(1) == "<" and not PLAIN_HEADERS.match(name):
                yield path, line_of(code, found.start()), "wire/ does without <%s>" % name
            if found.group(1) == '"' and not re.match(r"^(config\.h|(wire/)?commy-[\w-]+\.h)$", name):
                yield path, line_of(code, found.start()), "wire/ does without %s" % name


RULES = {"layers": layers, "core-names": core_names, "pure": pure}
