/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The version of the library that the headers belong to. Protocol, shared-memory layout
 * and plugin ABI have version numbers of their own.
 */
#pragma once

#define COMMY_VERSION "0.1.0"
