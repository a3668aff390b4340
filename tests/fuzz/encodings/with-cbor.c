/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plugin "cbor" under a name of its own: several lie in one program. */
#define commy_plugin_query_v1 commy_plugin_query_cbor
#include "../../../serializers/cbor/commy-serializer-cbor.c"
