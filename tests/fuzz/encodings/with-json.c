/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plugin "json" under a name of its own: several lie in one program. */
#define commy_plugin_query_v1 commy_plugin_query_json
#include "../../../serializers/json/commy-serializer-json.c"
