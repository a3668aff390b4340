/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Beta-Binomial distribution: how many of n calls fail if the share that fails is itself known
 * from some other calls only. Pure.
 */
#pragma once

#include <glib.h>

/* The probability of @k or more of @n, where @failed of @failed + @passed others failed and every
 * share was as likely before. At most about 1; rounding is far below what it is compared with. */
double commy_beta_binomial_tail (guint64 n, guint64 k, guint64 failed, guint64 passed);
