/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plugin "compact" under a name of its own: several lie in one program. */
#define commy_plugin_query_v1 commy_plugin_query_compact
#include "../../../serializers/compact/commy-serializer-compact.c"
