/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the attacked side attaches: the plugin's own handshake over a socket pair. The input may
 * change the hello, the proof, and what kind of descriptor comes with them.
 */
#include "config.h"

#include "segment-peer.h"

#include "plugins/shm/commy-packet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC G_GUINT64_CONSTANT (0x31304d4853594d43)
#define ARENA_MAX (256u << 10)
#define TURNS 4

/* As the handshake says it; a fuzzer that spoke another language would not come in. */
typedef struct
{
  guint64 magic;
  guint32 layout;
  guint32 layout_min;
  guint64 ring_size;
  guint64 arena_max;
  guint32 max_inline;
  guint32 reserved;
} Hello;

typedef struct
{
  guint64 magic;
  guint8 nonce[16];
} Proof;

enum
{
  FD_RIGHT,
  FD_NONE,
  FD_NO_SEALS,
  FD_HALF_SEALS,
  FD_HOLES,
  FD_OTHER_SIZE,
  FD_DEVICE,
  FD_SOCKET,
  FD_TWO = SEGMENT_RARE_FDS,
  FD_MANY,
  FD_HUGE,
  FD_FILE,
  FD_KINDS,
};

G_STATIC_ASSERT (FD_NONE == SEGMENT_NO_FD);

/* How the peer behaves before there is a link; a correct one as the first says. */
enum
{
  MEET_RIGHT,
  MEET_SHORT_HELLO,
  MEET_NO_HELLO,
  MEET_GONE_BEFORE,
  MEET_GONE_WITHOUT_HELLO,
  MEET_DEAF,
  MEET_GONE_WITHOUT_PROOF,
  MEET_NO_PROOF,
  MEET_SHORT_PROOF,
  MEET_PROOF_WITH_FD,
  MEET_TWO_HELLOS,
  MEET_KINDS,
};

#define LITTLE 1 /* of a socket's buffer: as little as the kernel gives */
#define FDS_MANY 6

/* --- the victim's host --- */

static void
host_random (CommyHost *host, gpointer out, gsize size)
{
  memset (out, 0x5a, size);
}

static guint
host_watch_fd (CommyHost *host, int fd, guint condition, CommyHostFdFunc func, gpointer user_data)
{
  Segment *self = host->core;

  self->on_readable = func;
  self->readable_data = user_data;
  return 1;
}

static void
host_remove (CommyHost *host, guint id)
{
  ((Segment *) host->core)->on_readable = NULL;
}

static void
on_done (ShmHandshake *handshake, const GError *error)
{
  Segment *self = handshake->host->core;

  SEGMENT_CHECK (!self->ended);
  self->ended = true;
  self->opened = error == NULL;
}

static void
turn (Segment *self)
{
  for (int i = 0; i < TURNS && self->on_readable != NULL; i++)
    {
      struct pollfd ready = { .fd = self->victim.link.socket_fd, .events = POLLIN };

      if (poll (&ready, 1, 0) <= 0)
        return;
      self->on_readable (self->readable_data, ready.fd, G_IO_IN);
    }
}

/* --- descriptors --- */

static int
make_memory (size_t size, unsigned kind)
{
  static const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  int fd = memfd_create ("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  size_t length = kind == FD_OTHER_SIZE ? size + SHM_HEADER_BYTES : size;
  int seals = kind == FD_NO_SEALS ? 0 : kind == FD_HALF_SEALS ? all & ~F_SEAL_FUTURE_WRITE : all;

  SEGMENT_CHECK (fd >= 0);
  if (ftruncate (fd, (off_t) length) == 0 && kind != FD_HOLES)
    posix_fallocate (fd, 0, (off_t) length);
  fcntl (fd, F_ADD_SEALS, seals);
  return fd;
}

static int
make_fd (Segment *self, size_t size, unsigned kind)
{
  switch (kind)
    {
    case FD_NONE:
      return -1;
    case FD_DEVICE:
      return open ("/dev/null", O_RDONLY | O_CLOEXEC);
    case FD_SOCKET:
      return dup (self->peer.link.socket_fd);
    case FD_HUGE: /* no page of it is ever there */
      return memfd_create ("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
    case FD_FILE:
      return open ("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    default:
      return make_memory (MIN (size, SHM_HEADER_BYTES + ARENA_MAX), kind);
    }
}

static void
send_some (int socket_fd, const void *data, size_t size, int fd, unsigned n)
{
  union
  {
    char bytes[CMSG_SPACE (FDS_MANY * sizeof (int))];
    struct cmsghdr align;
  } control = { { 0 } };
  struct iovec part = { .iov_base = (void *) data, .iov_len = size };
  struct msghdr message = { .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = CMSG_SPACE (n * sizeof (int)) };
  struct cmsghdr *header = CMSG_FIRSTHDR (&message);
  int *fds = (int *) (void *) CMSG_DATA (header);

  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (n * sizeof (int));
  for (unsigned i = 0; i < n; i++)
    fds[i] = fd;
  sendmsg (socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
send_with (Segment *self, const void *data, size_t size, size_t memory, unsigned kind)
{
  int fd = make_fd (self, memory, kind % FD_KINDS);

  if (fd >= 0 && (kind % FD_KINDS == FD_TWO || kind % FD_KINDS == FD_MANY))
    send_some (self->peer.link.socket_fd, data, size, fd, kind % FD_KINDS == FD_TWO ? 2 : FDS_MANY);
  else
    shm_packet_send (self->peer.link.socket_fd, data, size, fd);
  if (fd >= 0)
    close (fd);
}

void
segment_send_packet (Segment *self, const void *data, size_t size, unsigned kind)
{
  uint64_t memory = SHM_HEADER_BYTES;

  if (self->peer.link.socket_fd < 0)
    return;
  /* A notice ends with the size of its memory, which may be true. */
  if (size >= sizeof memory)
    memcpy (&memory, (const uint8_t *) data + size - sizeof memory, sizeof memory);
  send_with (self, data, size, memory, kind);
}

/* --- meeting --- */

static void
change (Segment *self, void *data, size_t size)
{
  unsigned count = (unsigned) segment_input_take (&self->input, 1) % 4;

  for (unsigned i = 0; i < count; i++)
    {
      size_t at = (size_t) segment_input_take (&self->input, 1) * 4 % size;
      uint32_t value = (uint32_t) segment_input_take (&self->input, 4);

      memcpy ((uint8_t *) data + at, &value, sizeof value);
    }
  self->honest = self->honest && count == 0;
}

static unsigned
choose_kind (Segment *self)
{
  unsigned raw = (unsigned) segment_input_take (&self->input, 1);

  return raw < 252 ? raw % FD_MANY : FD_MANY + raw % (FD_KINDS - FD_MANY);
}

/* How much of a packet the peer sends: all, or as much as the input says. */
static size_t
choose_length (Segment *self, unsigned shortened, size_t size)
{
  return self->meeting == shortened ? (size_t) segment_input_take (&self->input, 1) % size : size;
}

static bool
greet (Segment *self)
{
  ShmLink *link = &self->peer.link;
  Hello hello = { .magic = MAGIC,
                  .layout = SHM_LAYOUT_VERSION,
                  .layout_min = SHM_LAYOUT_VERSION,
                  .ring_size = self->peer_shape.ring_size,
                  .arena_max = self->peer_shape.arena_max,
                  .max_inline = self->peer_shape.max_inline };
  unsigned kind = choose_kind (self);
  size_t length = choose_length (self, MEET_SHORT_HELLO, sizeof hello);
  ShmHeader *header;
  const char *step;
  int fd;

  SEGMENT_CHECK (shm_segment_create (&link->own, SHM_HEADER_BYTES + hello.ring_size, &fd, &step));
  header = (ShmHeader *) (void *) link->own.data;
  header->magic = MAGIC;
  header->layout = SHM_LAYOUT_VERSION;
  memset (header->nonce, 0xa5, sizeof header->nonce);
  change (self, &hello, sizeof hello);
  change (self, header, sizeof header->magic + sizeof header->layout);
  if (kind == FD_RIGHT)
    shm_packet_send (link->socket_fd, &hello, length, fd);
  else
    send_with (self, &hello, length, SHM_HEADER_BYTES + hello.ring_size, kind);
  if (self->meeting == MEET_TWO_HELLOS)
    shm_packet_send (link->socket_fd, &hello, length, fd);
  self->honest = self->honest && kind == FD_RIGHT;
  close (fd);
  turn (self);
  return !self->ended;
}

static bool
take_hello (Segment *self)
{
  ShmLink *link = &self->peer.link;
  const char *why;
  Hello hello;
  size_t size;
  int fd = -1;
  bool ok;

  if (shm_packet_receive (link->socket_fd, &hello, sizeof hello, &size, &fd) != SHM_PACKET_OK)
    return false;
  ok = shm_segment_map (&link->peer, fd, SHM_HEADER_BYTES + hello.ring_size, &why);
  SEGMENT_CHECK (ok);
  close (fd);
  return ok;
}

static void
prove (Segment *self)
{
  const ShmHeader *header = (const ShmHeader *) (const void *) self->peer.link.peer.data;
  Proof proof = { .magic = MAGIC }, theirs;
  size_t size;
  int fd = -1;

  memcpy (proof.nonce, header->nonce, sizeof proof.nonce);
  change (self, &proof, sizeof proof);
  send_with (self, &proof, choose_length (self, MEET_SHORT_PROOF, sizeof proof), SHM_HEADER_BYTES,
             self->meeting == MEET_PROOF_WITH_FD ? FD_RIGHT : FD_NONE);
  turn (self);
  shm_packet_receive (self->peer.link.socket_fd, &theirs, sizeof theirs, &size, &fd);
  shm_packet_discard (fd);
}

static void
choose_shapes (Segment *self)
{
  static const uint64_t rings[] = { SHM_RING_MIN, 2 * SHM_RING_MIN, SHM_RING_MIN, 16384 };
  unsigned choice = (unsigned) segment_input_take (&self->input, 1);
  ShmShape *own = &self->handshake.own_shape;

  self->peer_shape.ring_size = rings[choice & 3];
  own->ring_size = rings[choice >> 2 & 3];
  own->max_inline = shm_ring_max_inline (own->ring_size);
  self->peer_shape.max_inline = shm_ring_max_inline (self->peer_shape.ring_size);
  own->arena_max = self->peer_shape.arena_max = ARENA_MAX;
  self->handshake.borrow_limit = (choice & 16) != 0 ? 3 : SEGMENT_HELD;
  self->handshake.is_client = (choice & 32) != 0;
  if ((choice & 64) != 0)
    self->meeting = (unsigned) segment_input_take (&self->input, 1) % MEET_KINDS;
  self->little = (choice & 128) != 0;
}

static void
make_sockets (Segment *self, int *sockets)
{
  const int little = LITTLE;

  SEGMENT_CHECK (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets)
                 == 0);
  for (unsigned i = 0; self->little && i < 2; i++)
    SEGMENT_CHECK (setsockopt (sockets[i], SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
  if (self->meeting == MEET_GONE_BEFORE)
    shutdown (sockets[1], SHUT_RDWR);
}

static void
leave (Segment *self)
{
  shutdown (self->peer.link.socket_fd, SHUT_RDWR);
  turn (self);
}

/* The peer's side of the handshake, as far as it goes. Whether there is a link. */
static bool
meet (Segment *self)
{
  if (!take_hello (self))
    return false;
  if (self->meeting == MEET_NO_HELLO) /* and the victim looked too early */
    self->on_readable (self->readable_data, self->victim.link.socket_fd, G_IO_IN);
  else if (self->meeting == MEET_GONE_WITHOUT_HELLO)
    leave (self);
  else if (self->meeting == MEET_DEAF)
    shutdown (self->peer.link.socket_fd, SHUT_RD);
  if (self->meeting == MEET_NO_HELLO || self->meeting == MEET_GONE_WITHOUT_HELLO || !greet (self))
    return false;
  if (self->meeting == MEET_GONE_WITHOUT_PROOF)
    leave (self);
  else if (self->meeting != MEET_NO_PROOF)
    prove (self);
  SEGMENT_CHECK (self->opened || !self->honest);
  return self->opened;
}

static void
prepare (Segment *self, int peer_fd)
{
  commy_shm_peers_init (&self->peers);
  self->host = (CommyHost){ .struct_size = sizeof (CommyHost),
                            .core = self,
                            .random = host_random,
                            .watch_fd = host_watch_fd,
                            .remove = host_remove };
  self->handshake.host = &self->host;
  self->handshake.peers = &self->peers;
  self->handshake.link = &self->victim.link;
  self->handshake.done = on_done;
  self->peer.link.socket_fd = peer_fd;
  self->peer.link.pid_fd = -1;
  self->victim.link.socket_fd = self->victim.link.pid_fd = -1;
}

bool
segment_meet (Segment *self)
{
  g_autoptr (GError) error = NULL;
  int sockets[2];

  choose_shapes (self);
  make_sockets (self, sockets);
  prepare (self, sockets[1]);
  self->honest = self->meeting == MEET_RIGHT;
  self->ended = !commy_shm_handshake_start (&self->handshake, sockets[0], self->handshake.is_client,
                                            &error);
  SEGMENT_CHECK (self->ended == (self->meeting == MEET_GONE_BEFORE));
  if (self->ended || !meet (self))
    return false;
  /* What the victim believes of the sizes must be what it found to be possible. */
  SEGMENT_CHECK (self->handshake.peer_shape.max_inline
                 <= shm_ring_max_inline (self->handshake.peer_shape.ring_size));
  SEGMENT_CHECK (self->victim.link.peer.size
                 == SHM_HEADER_BYTES + self->handshake.peer_shape.ring_size);
  shm_link_open (&self->peer.link, &self->peer_shape, &self->handshake.own_shape, SEGMENT_HELD);
  return true;
}

void
segment_part (Segment *self)
{
  if (self->peer.link.socket_fd >= 0)
    shm_link_close (&self->peer.link);
  if (self->opened)
    shm_link_close (&self->victim.link);
  else if (!self->ended)
    commy_shm_handshake_stop (&self->handshake);
  SEGMENT_CHECK (self->on_readable == NULL);
  SEGMENT_CHECK (self->peers.peers == NULL || self->peers.peers->len == 0);
  commy_shm_peers_clear (&self->peers);
}
