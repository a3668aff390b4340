/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mailboxes and the one registry of this process. A letter wakes its reader through an
 * eventfd, because a descriptor watch can be taken back and a posted function cannot.
 */
#include "config.h"

#include "commy-inproc-mailbox.h"

#include <commy/commy-plugin.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct _InprocMailbox
{
  gatomicrefcount refs;
  int fd;
  GMutex lock; /* protects what follows */
  GQueue letters;
  gboolean shut;
};

InprocLetter *
inproc_letter_new (InprocLetterKind kind, InprocLink *link)
{
  InprocLetter *letter = g_new0 (InprocLetter, 1);

  letter->kind = kind;
  letter->link = inproc_link_ref (link);
  return letter;
}

void
inproc_letter_free (InprocLetter *letter)
{
  if (letter == NULL)
    return;
  inproc_link_unref (letter->link);
  g_clear_pointer (&letter->reply_to, inproc_mailbox_unref);
  g_free (letter->address);
  g_free (letter);
}

InprocMailbox *
inproc_mailbox_new (GError **error)
{
  int fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  InprocMailbox *mailbox;

  if (fd < 0)
    {
      g_set_error (error, g_quark_from_static_string ("commy-error-quark"), COMMY_ERROR_PLUGIN_INIT,
                   "inproc: cannot make an event descriptor: %s; raise the limit of open files",
                   g_strerror (errno));
      return NULL;
    }
  mailbox = g_new0 (InprocMailbox, 1);
  g_atomic_ref_count_init (&mailbox->refs);
  g_mutex_init (&mailbox->lock);
  g_queue_init (&mailbox->letters);
  mailbox->fd = fd;
  return mailbox;
}

InprocMailbox *
inproc_mailbox_ref (InprocMailbox *mailbox)
{
  g_atomic_ref_count_inc (&mailbox->refs);
  return mailbox;
}

void
inproc_mailbox_unref (InprocMailbox *mailbox)
{
  if (!g_atomic_ref_count_dec (&mailbox->refs))
    return;
  g_queue_clear_full (&mailbox->letters, (GDestroyNotify) inproc_letter_free);
  g_mutex_clear (&mailbox->lock);
  close (mailbox->fd);
  g_free (mailbox);
}

int
inproc_mailbox_get_fd (InprocMailbox *mailbox)
{
  return mailbox->fd;
}

gboolean
inproc_mailbox_post (InprocMailbox *mailbox, InprocLetter *letter)
{
  gboolean taken;

  /* Answers are not counted: there are never more of them than the owner asked for. */
  g_mutex_lock (&mailbox->lock);
  taken = !mailbox->shut
          && (letter->kind != INPROC_LETTER_OFFER
              || g_queue_get_length (&mailbox->letters) < INPROC_MAILBOX_LIMIT);
  if (taken)
    {
      g_queue_push_tail (&mailbox->letters, letter);
      eventfd_write (mailbox->fd, 1);
    }
  g_mutex_unlock (&mailbox->lock);
  if (!taken)
    inproc_letter_free (letter);
  return taken;
}

InprocLetter *
inproc_mailbox_take (InprocMailbox *mailbox)
{
  InprocLetter *letter;
  eventfd_t count;

  g_mutex_lock (&mailbox->lock);
  letter = g_queue_pop_head (&mailbox->letters);
  if (letter == NULL)
    (void) !eventfd_read (mailbox->fd, &count);
  g_mutex_unlock (&mailbox->lock);
  return letter;
}

void
inproc_mailbox_shut (InprocMailbox *mailbox)
{
  GQueue letters;

  g_mutex_lock (&mailbox->lock);
  mailbox->shut = TRUE;
  letters = mailbox->letters;
  g_queue_init (&mailbox->letters);
  g_mutex_unlock (&mailbox->lock);
  g_queue_clear_full (&letters, (GDestroyNotify) inproc_letter_free);
}

gboolean
inproc_mailbox_is_shut (InprocMailbox *mailbox)
{
  gboolean shut;

  g_mutex_lock (&mailbox->lock);
  shut = mailbox->shut;
  g_mutex_unlock (&mailbox->lock);
  return shut;
}

/* The one mutable variable of the plugin, and an exception to the rule that there is none: two
 * meshes of one process share nothing but the process, so what lets them meet must belong to
 * the process. A pointer in an address would do without, but addresses come from a store
 * that may lie. The table goes away with its last entry. */
static struct
{
  GMutex lock;
  GHashTable *mailboxes; /* address to mailbox */
} registry;

gboolean
inproc_registry_add (const char *address, InprocMailbox *mailbox)
{
  gboolean added;

  g_mutex_lock (&registry.lock);
  if (registry.mailboxes == NULL)
    registry.mailboxes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                                (GDestroyNotify) inproc_mailbox_unref);
  added = !g_hash_table_contains (registry.mailboxes, address);
  if (added)
    g_hash_table_insert (registry.mailboxes, g_strdup (address), inproc_mailbox_ref (mailbox));
  g_mutex_unlock (&registry.lock);
  return added;
}

void
inproc_registry_remove (const char *address)
{
  g_mutex_lock (&registry.lock);
  if (registry.mailboxes != NULL)
    {
      g_hash_table_remove (registry.mailboxes, address);
      if (g_hash_table_size (registry.mailboxes) == 0)
        g_clear_pointer (&registry.mailboxes, g_hash_table_unref);
    }
  g_mutex_unlock (&registry.lock);
}

InprocMailbox *
inproc_registry_find (const char *address)
{
  InprocMailbox *mailbox = NULL;

  g_mutex_lock (&registry.lock);
  if (registry.mailboxes != NULL)
    mailbox = g_hash_table_lookup (registry.mailboxes, address);
  if (mailbox != NULL)
    inproc_mailbox_ref (mailbox);
  g_mutex_unlock (&registry.lock);
  return mailbox;
}
