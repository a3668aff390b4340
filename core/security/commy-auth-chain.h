/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which auth providers must accept the other side, by the service and the path.
 *
 * Keyfile: [auth-chain NAME] with any=ID;... (one of them, in this order) and require=ID;... (each
 * of them); same-principal=true: all of them must speak of one principal. `auth-chain` of [service
 * NAME], else of [plugin transport/ID], else of [mesh] names the one for callers of what is offered
 * here; `expect-chain` of [service NAME] the one for instances that are called from here. Where
 * nothing is named it is any of `auth` of [mesh].
 *
 * Immutable; mesh thread.
 */
#pragma once

#include "config/commy-config.h"
#include "plugin/commy-catalog.h"

/* Providers in one list of a chain. */
#define COMMY_AUTH_CHAIN_MAX 4u

typedef struct
{
  const char *name;        /* for logs: "[auth-chain NAME]", or "\"auth\" of [mesh]" */
  CommyPlugin **any;       /* up to NULL; asked first */
  CommyPlugin **require;   /* up to NULL */
  gboolean same_principal; /* what the others accept must be of who the first one names */
} CommyAuthChain;

typedef struct _CommyAuthChains CommyAuthChains;

/* Has the provider @id started, if it is not yet. */
typedef CommyPlugin *(*CommyAuthStartFunc) (gpointer data, const char *id, GError **error);

/* @auth: those of [mesh], up to NULL; it must outlive the chains. A chain whose providers cannot
 * all be used is an error: less would be asked than the keyfile says. */
CommyAuthChains *commy_auth_chains_new (CommyConfig *config,
                                        CommyPlugin **auth,
                                        CommyAuthStartFunc start,
                                        gpointer data,
                                        GError **error);
void commy_auth_chains_free (CommyAuthChains *chains);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyAuthChains, commy_auth_chains_free)

/* Of who calls @service over @transport (its id) here. */
const CommyAuthChain *
commy_auth_chains_get_offered (CommyAuthChains *chains, const char *service, const char *transport);
/* Of who offers @service to this side. */
const CommyAuthChain *commy_auth_chains_get_expected (CommyAuthChains *chains, const char *service);
/* Whenever nothing is named. */
const CommyAuthChain *commy_auth_chains_get_default (CommyAuthChains *chains);

/* Whether that is for all services and paths. */
gboolean commy_auth_chains_is_simple (CommyAuthChains *chains);

/* All providers that go by steps, of any chain, up to NULL. (transfer none) */
CommyPlugin *const *commy_auth_chains_get_steppers (CommyAuthChains *chains);
CommyPlugin *commy_auth_chains_find_stepper (CommyAuthChains *chains, const char *id);
/* Whether a provider exchanges messages, besides judging evidence. */
gboolean commy_auth_has_steps (const CommyPlugin *provider);
