/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets over the door's socket, with at most one descriptor each. Nothing blocks, nothing
 * raises a signal, and no descriptor that was not expected survives. No GLib.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef enum
{
  SHM_PACKET_OK,
  SHM_PACKET_LATER,
  SHM_PACKET_END,  /* hung up */
  SHM_PACKET_FAULT /* truncated, or with descriptors that nobody asked for */
} ShmPacket;

/* @fd may be -1. */
ShmPacket shm_packet_send (int socket_fd, const void *data, size_t size, int fd);
/* *@out_fd is the caller's, or -1; shm_packet_discard() gives it back. */
ShmPacket
shm_packet_receive (int socket_fd, void *data, size_t room, size_t *out_size, int *out_fd);
/* Closes a descriptor from outside, -1 too, without waiting for what may hang behind it. */
void shm_packet_discard (int fd);
/* Has the kernel refuse whatever descriptor the peer sends from now on, where it can (Linux
 * 6.16). */
void shm_packet_refuse_fds (int socket_fd);
