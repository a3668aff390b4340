/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the plugin instances of one process meet: each has a mailbox that its mesh thread
 * empties, and a registry says which mailbox belongs to an address. Used for set-up only.
 */
#pragma once

#include "commy-inproc-link.h"

#include <glib.h>

#define INPROC_MAILBOX_LIMIT 1024

typedef struct _InprocMailbox InprocMailbox;

typedef enum
{
  INPROC_LETTER_OFFER,
  INPROC_LETTER_ACCEPTED,
  INPROC_LETTER_REFUSED,
} InprocLetterKind;

typedef struct
{
  InprocLetterKind kind;
  InprocLink *link;
  char *address;           /* of an offer: the listener's */
  InprocMailbox *reply_to; /* of an offer */
  const char *reason;      /* of a refusal: a literal */
} InprocLetter;

InprocLetter *inproc_letter_new (InprocLetterKind kind, InprocLink *link);
void inproc_letter_free (InprocLetter *letter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (InprocLetter, inproc_letter_free)

InprocMailbox *inproc_mailbox_new (GError **error);
InprocMailbox *inproc_mailbox_ref (InprocMailbox *mailbox);
void inproc_mailbox_unref (InprocMailbox *mailbox);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (InprocMailbox, inproc_mailbox_unref)
int inproc_mailbox_get_fd (InprocMailbox *mailbox);
/* Any thread. Takes the letter, also where it fails: the mailbox was shut, or an offer is one
 * too many. */
gboolean inproc_mailbox_post (InprocMailbox *mailbox, InprocLetter *letter);
/* Owner's thread. NULL if it is empty; then the descriptor is quiet until the next post. */
InprocLetter *inproc_mailbox_take (InprocMailbox *mailbox);
/* Owner's thread: throws away what is in it and takes no more. */
void inproc_mailbox_shut (InprocMailbox *mailbox);
gboolean inproc_mailbox_is_shut (InprocMailbox *mailbox);

/* Any thread. FALSE if the address is taken. */
gboolean inproc_registry_add (const char *address, InprocMailbox *mailbox);
void inproc_registry_remove (const char *address);
/* (transfer full) (nullable) */
InprocMailbox *inproc_registry_find (const char *address);
