/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every public header needs and nothing else: visibility of symbols and
 * alignment. No GLib type is used here.
 */
#pragma once

#if defined(__GNUC__) && !defined(__GI_SCANNER__)
#define COMMY_API __attribute__ ((visibility ("default")))
#else
#define COMMY_API
#endif
