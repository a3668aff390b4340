/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring's promise, and sleeping and waking on it, on a machine whose stores wait in a buffer
 * before anybody else sees them. A writer publishes (plugins/shm/commy-ring.c: payload, mark, tail;
 * the latter two with release order), makes a full fence and looks at the reader's state; a reader
 * that finds nothing announces that it sleeps, makes a full fence and looks again
 * (plugins/shm/commy-wait.c). It sleeps on the tail, as a parked caller does, or until a byte comes.
 *
 * Buffers are one a variable, so that stores to different ones change places unless something keeps
 * them in order: more than any machine does to this code. What is taken away with -D must be
 * missed: NO_MARK_RELEASE (a record is seen before its payload), NO_TAIL_RELEASE, NO_WRITER_FENCE,
 * NO_READER_FENCE (a reader sleeps for good on what is there), ONCE (a wake-up that reached nobody
 * counts for one).
 */
#ifndef MESSAGES
#define MESSAGES 3
#endif

#define AWAKE 0
#define FUTEX 1 /* bits of a state; above them the number of the nap */
#define SOCKET 2
#define NAP 4

/* Memory, as both see it. */
bool payload[MESSAGES + 1];
byte mark, tail; /* of how many records */
byte state = AWAKE;
bool written; /* a byte in the socket */
bool parked;  /* the reader sleeps in the kernel */

/* Stores that wait: whether there is one, and of what. */
bool payload_waits, mark_waits, tail_waits, state_waits;
byte payload_next, mark_next, tail_next, state_next;

#ifdef NO_MARK_RELEASE
#define BEFORE_MARK true
#else
#define BEFORE_MARK (!payload_waits)
#endif
#ifdef NO_TAIL_RELEASE
#define BEFORE_TAIL true
#else
#define BEFORE_TAIL (!payload_waits && !mark_waits)
#endif

/* What the processors do whenever they like. */
active proctype writers_buffer ()
{
end:
  do
  :: atomic { payload_waits -> payload[payload_next] = true; payload_waits = false }
  :: atomic { mark_waits && BEFORE_MARK -> mark = mark_next; mark_waits = false }
  :: atomic { tail_waits && BEFORE_TAIL -> tail = tail_next; tail_waits = false }
  od
}

active proctype readers_buffer ()
{
end:
  do
  :: atomic { state_waits -> state = state_next; state_waits = false }
  od
}

/* A full fence, and every call of the kernel. */
inline writer_fence ()
{
  !payload_waits && !mark_waits && !tail_waits
}

inline reader_fence ()
{
  !state_waits
}

active proctype writer ()
{
  byte n = 1, seen, last_rung = AWAKE;
  bool reached;

  do
  :: n > MESSAGES -> break
  :: else ->
     /* A variable's buffer has one place. */
     atomic { !payload_waits -> payload_next = n; payload_waits = true };
     atomic { !mark_waits -> mark_next = n; mark_waits = true };
     atomic { !tail_waits -> tail_next = n; tail_waits = true };
#ifndef NO_WRITER_FENCE
     writer_fence ();
#endif
     seen = state;
     if
     :: seen != AWAKE && seen != last_rung ->
        writer_fence ();
        if
        :: seen & FUTEX -> atomic { reached = parked; parked = false }
        :: else -> atomic { written = true; reached = true }
        fi;
        if
#ifdef ONCE
        :: last_rung = seen
#else
        :: reached -> last_rung = seen
        :: else -> skip
#endif
        fi
     :: else -> skip
     fi;
     n++
  od
}

active proctype reader ()
{
  byte position = 0, nap = 0, how, tail_seen;

  do
  :: position == MESSAGES -> break
  :: position < MESSAGES && mark > position ->
     position++;
     assert (payload[position])
  :: position < MESSAGES && mark <= position ->
     if
     :: how = FUTEX
     :: how = SOCKET
     fi;
     tail_seen = tail;
     written = false; /* what is left of the last nap is read first */
     nap++;
     atomic { !state_waits -> state_next = nap * NAP + how; state_waits = true };
#ifndef NO_READER_FENCE
     reader_fence ();
#endif
     if
     :: mark > position -> skip
     :: mark <= position ->
        reader_fence (); /* into the kernel, which comes too late */
        if
        :: how == FUTEX ->
           atomic {
             if
             :: tail == tail_seen -> parked = true
             :: else -> parked = false
             fi
           };
           !parked
        :: else -> written
        fi
     fi;
     atomic { !state_waits -> state_next = AWAKE; state_waits = true }
  od
}
