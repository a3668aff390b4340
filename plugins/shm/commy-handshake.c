/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Setting up a connection: two packets from each side, in lockstep with nobody.
 *
 *     hello   versions and sizes, with the sender's segment
 *     proof   the nonce out of the receiver's segment
 *
 * The layout has a version of its own, independent of the library's. Whoever speaks a range of
 * them says so, and both sides come to the same choice or to the same error.
 */
#include "config.h"

#include "commy-handshake.h"

#include "commy-packet.h"
#include "plugins/common/commy-failpoints.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MAGIC G_GUINT64_CONSTANT (0x31304d4853594d43) /* "CMYSHM01" */
#define NONCE_BYTES 16

typedef struct
{
  guint64 magic;
  guint32 layout;     /* the newest that is spoken */
  guint32 layout_min; /* and the oldest */
  guint64 ring_size;
  guint64 arena_max;
  guint32 max_inline;
  guint32 reserved;
} Hello;

typedef struct
{
  guint64 magic;
  guint8 nonce[NONCE_BYTES];
} Proof;

G_STATIC_ASSERT (sizeof (Hello) != sizeof (Proof));

static ShmHeader *
own_header (const ShmHandshake *self)
{
  return (ShmHeader *) (void *) self->link->own.data;
}

/* Nobody listens to what comes after this. */
static void
finish (ShmHandshake *self, GError *error)
{
  if (self->watch != 0)
    self->host->remove (self->host, self->watch);
  self->watch = 0;
  if (error != NULL)
    shm_link_close (self->link);
  self->done (self, error);
  g_clear_error (&error);
}

static void
finish_with (ShmHandshake *self, int code, const char *why)
{
  GError *error = NULL;

  commy_door_set_error (&error, code, "%s", why);
  finish (self, error);
}

/* NULL, or what is wrong with the sizes that the peer wants us to believe. */
static const char *
check_shape (const ShmShape *shape)
{
  if (!shm_ring_valid_capacity (shape->ring_size))
    return "the peer's ring has an impossible size";
  if (shape->max_inline == 0 || shape->max_inline > shm_ring_max_inline (shape->ring_size))
    return "the peer's records do not fit its ring";
  if (shape->arena_max > SHM_ARENA_MAX)
    return "the peer's arena is too large";
  return NULL;
}

static const char *
map_peer (ShmHandshake *self, int fd)
{
  const ShmHeader *header;
  const char *why = NULL;

  if (fd < 0)
    return "the peer's hello came without memory";
  if (!shm_maps_take (self->link->maps, self->link->maps_user))
    return shm_maps_full;
  if (!shm_segment_map (&self->link->peer, fd, SHM_HEADER_BYTES + self->peer_shape.ring_size, &why))
    {
      shm_maps_give (self->link->maps, self->link->maps_user);
      return why;
    }
  header = (const ShmHeader *) (const void *) self->link->peer.data;
  if (__atomic_load_n (&header->magic, __ATOMIC_RELAXED) != MAGIC
      || __atomic_load_n (&header->layout, __ATOMIC_RELAXED) != SHM_LAYOUT_VERSION)
    return "the peer's memory does not begin with our header";
  return NULL;
}

/* Both sides get the same bytes: the client's nonce, then the server's. */
static void
remember_nonces (ShmHandshake *self, const guint8 *theirs)
{
  guint8 *own = self->binding + (self->is_client ? 0 : NONCE_BYTES);
  guint8 *peer = self->binding + (self->is_client ? NONCE_BYTES : 0);

  memcpy (own, own_header (self)->nonce, NONCE_BYTES);
  memcpy (peer, theirs, NONCE_BYTES);
}

static void
send_proof (ShmHandshake *self)
{
  const ShmHeader *header = (const ShmHeader *) (const void *) self->link->peer.data;
  Proof proof = { .magic = MAGIC };

  memcpy (proof.nonce, header->nonce, NONCE_BYTES);
  remember_nonces (self, proof.nonce);
  self->greeted = TRUE;
  if (COMMY_FAILPOINT ("shm-proof")
      || shm_packet_send (self->link->socket_fd, &proof, sizeof proof, -1) != SHM_PACKET_OK)
    finish_with (self, COMMY_ERROR_HANDSHAKE, "the peer hung up during set-up");
}

static void
take_hello (ShmHandshake *self, const Hello *hello, int fd)
{
  const char *why;

  if (hello->magic != MAGIC)
    {
      finish_with (self, COMMY_ERROR_PROTOCOL, "what listens there is not Commy's shared memory");
      return;
    }
  if (hello->layout_min > SHM_LAYOUT_VERSION || hello->layout < SHM_LAYOUT_VERSION)
    {
      g_autofree char *text
          = g_strdup_printf ("the peer speaks shared memory layouts %u to %u, we speak %u",
                             hello->layout_min, hello->layout, SHM_LAYOUT_VERSION);

      finish_with (self, COMMY_ERROR_VERSION, text);
      return;
    }
  self->peer_shape = (ShmShape){ .ring_size = hello->ring_size,
                                 .arena_max = hello->arena_max,
                                 .max_inline = hello->max_inline };
  why = check_shape (&self->peer_shape);
  if (why == NULL)
    why = map_peer (self, fd);
  if (why != NULL)
    finish_with (self, why == shm_maps_full ? COMMY_ERROR_BUSY : COMMY_ERROR_PROTOCOL, why);
  else
    send_proof (self);
}

static void
take_proof (ShmHandshake *self, const Proof *proof)
{
  if (proof->magic != MAGIC || memcmp (proof->nonce, own_header (self)->nonce, NONCE_BYTES) != 0)
    {
      finish_with (self, COMMY_ERROR_HANDSHAKE,
                   "the peer could not read our memory; it is not on this host");
      return;
    }
  shm_link_open (self->link, &self->own_shape, &self->peer_shape, self->borrow_limit);
  if (COMMY_FAILPOINT ("shm-open"))
    finish_with (self, COMMY_ERROR_HANDSHAKE, "fail point shm-open");
  else
    finish (self, NULL);
}

static void
take_packet (ShmHandshake *self, const void *packet, gsize size, int fd)
{
  if (!self->greeted && size == sizeof (Hello))
    take_hello (self, packet, fd);
  else if (self->greeted && size == sizeof (Proof) && fd < 0)
    take_proof (self, packet);
  else
    finish_with (self, COMMY_ERROR_PROTOCOL, "the peer sent nonsense during set-up");
}

/* One packet a turn: what follows the proof is the link's. */
static void
on_readable (gpointer user_data, int socket_fd, guint condition)
{
  ShmHandshake *self = user_data;
  guint64 packet[sizeof (Hello) / sizeof (guint64)];
  gsize size = 0;
  int fd = -1;

  switch (shm_packet_receive (socket_fd, packet, sizeof packet, &size, &fd))
    {
    case SHM_PACKET_OK:
      take_packet (self, packet, size, fd);
      shm_packet_discard (fd);
      break;
    case SHM_PACKET_END:
      finish_with (self, COMMY_ERROR_HANDSHAKE, "the peer hung up during set-up");
      break;
    case SHM_PACKET_FAULT:
      finish_with (self, COMMY_ERROR_PROTOCOL,
                   "the peer sent descriptors that were not asked for, or too much");
      break;
    case SHM_PACKET_LATER:
    default:
      break;
    }
}

static gboolean
send_hello (ShmHandshake *self, int memory_fd, GError **error)
{
  Hello hello = { .magic = MAGIC,
                  .layout = SHM_LAYOUT_VERSION,
                  .layout_min = SHM_LAYOUT_VERSION,
                  .ring_size = self->own_shape.ring_size,
                  .arena_max = self->own_shape.arena_max,
                  .max_inline = self->own_shape.max_inline };

  if (!COMMY_FAILPOINT ("shm-hello")
      && shm_packet_send (self->link->socket_fd, &hello, sizeof hello, memory_fd) == SHM_PACKET_OK)
    return TRUE;
  commy_door_set_error (error, COMMY_ERROR_HANDSHAKE, "the peer hung up during set-up");
  return FALSE;
}

static gboolean
greet (ShmHandshake *self, GError **error)
{
  const char *step = NULL;
  int memory_fd = -1;
  gboolean sent;

  if (!shm_segment_create (&self->link->own, SHM_HEADER_BYTES + self->own_shape.ring_size,
                           &memory_fd, &step))
    {
      commy_door_set_error (error, COMMY_ERROR_HANDSHAKE, "%s of %" G_GUINT64_FORMAT " bytes: %s",
                            step, SHM_HEADER_BYTES + self->own_shape.ring_size, g_strerror (errno));
      return FALSE;
    }
  own_header (self)->magic = MAGIC;
  own_header (self)->layout = SHM_LAYOUT_VERSION;
  self->host->random (self->host, own_header (self)->nonce, NONCE_BYTES);
  sent = send_hello (self, memory_fd, error);
  close (memory_fd);
  return sent;
}

gboolean
commy_shm_handshake_start (ShmHandshake *self, int fd, gboolean is_client, GError **error)
{
  self->is_client = is_client;
  self->peer.pidfd = -1;
  self->link->socket_fd = fd;
  self->link->pid_fd = -1;
  self->link->release_pid = commy_shm_peers_release;
  self->link->release_data = self->peers;
  if (commy_door_identify (fd, FALSE, &self->peer, error))
    {
      self->link->pid_fd = commy_shm_peers_share (self->peers, self->peer.pid, self->peer.pidfd);
      self->link->peer_pid = self->peer.pid;
      self->link->maps = self->maps;
      self->link->maps_user = self->peer.uid;
      if (greet (self, error))
        {
          self->watch = self->host->watch_fd (self->host, fd, G_IO_IN | G_IO_HUP | G_IO_ERR,
                                              on_readable, self);
          return TRUE;
        }
    }
  shm_link_close (self->link);
  return FALSE;
}

void
commy_shm_handshake_stop (ShmHandshake *self)
{
  if (self->watch != 0)
    self->host->remove (self->host, self->watch);
  self->watch = 0;
  shm_link_close (self->link);
}
