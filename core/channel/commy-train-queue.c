/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The order of trains. Of each lane only the first stands in a queue; the others follow it and
 * move up one by one, so that finding whose turn it is never looks at them.
 */
#include "config.h"

#include "channel/commy-train-queue.h"

CommyLane
commy_train_lane (const CommyFrameSpec *spec)
{
  switch (spec->type)
    {
    case COMMY_FRAME_ONEWAY:
      return COMMY_LANE_ONEWAY;
    case COMMY_FRAME_DATA:
    case COMMY_FRAME_END:
      return COMMY_LANE_STREAM;
    default:
      return spec->flags & COMMY_FRAME_FLAG_STREAM ? COMMY_LANE_STREAM : COMMY_LANE_OWN;
    }
}

guint8
commy_train_priority (const CommyFrameSpec *spec)
{
  return spec->priority == 0 ? COMMY_FRAME_PRIORITY_DEFAULT
                             : MIN (spec->priority - 1u, COMMY_FRAME_PRIORITY_MAX);
}

CommyTrain *
commy_train_new (const CommyFrameSpec *spec)
{
  CommyTrain *self = g_new0 (CommyTrain, 1);

  self->spec = *spec;
  if (spec->signature != NULL)
    self->spec.signature = self->signature = g_strndup (spec->signature, spec->signature_size);
  self->lane = commy_train_lane (spec);
  self->priority = commy_train_priority (spec);
  return self;
}

static void
give_memory_back (CommyTrain *self)
{
  g_clear_pointer (&self->memory, commy_block_free);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  self->data = NULL;
  if (self->cargo != NULL)
    self->cargo_free (self->cargo);
  self->cargo = NULL;
}

void
commy_train_free (CommyTrain *self)
{
  if (self == NULL)
    return;
  give_memory_back (self);
  g_free (self->signature);
  if (self->done != NULL)
    self->done (self->done_data);
  g_free (self);
}

/* --- looking --- */

static gboolean
is_in_lane (const CommyTrain *self, CommyLane lane, guint32 stream)
{
  return self->lane == lane && (lane != COMMY_LANE_STREAM || self->spec.stream == stream);
}

static CommyTrain *
first_of_lane (const CommyTrainLevel *level, CommyLane lane, guint32 stream)
{
  for (guint i = 0; i < level->n_open; i++)
    if (is_in_lane (level->open[i], lane, stream))
      return level->open[i];
  for (GList *at = level->waiting.head; at != NULL; at = at->next)
    if (is_in_lane (at->data, lane, stream))
      return at->data;
  return NULL;
}

/* The one that a frame like @spec has to follow. */
static CommyTrain *
leader (const CommyTrainQueue *self, const CommyFrameSpec *spec)
{
  CommyLane lane = commy_train_lane (spec);

  if (lane == COMMY_LANE_ONEWAY)
    return first_of_lane (&self->levels[commy_train_priority (spec)], lane, 0);
  for (guint i = 0; i < COMMY_TRAIN_PRIORITIES && lane == COMMY_LANE_STREAM; i++)
    {
      CommyTrain *first = first_of_lane (&self->levels[i], lane, spec->stream);

      if (first != NULL)
        return first;
    }
  return NULL;
}

gboolean
commy_train_queue_is_lane_busy (const CommyTrainQueue *self, const CommyFrameSpec *spec)
{
  return self->n > 0 && leader (self, spec) != NULL;
}

static CommyTrain *
find_in (const CommyTrain *first, CommyFrameType type, guint32 stream)
{
  if (first->spec.type == type && first->spec.stream == stream && !first->dropped)
    return (CommyTrain *) first;
  for (GList *at = first->followers.head; at != NULL; at = at->next)
    {
      CommyTrain *train = at->data;

      if (train->spec.type == type && train->spec.stream == stream)
        return train;
    }
  return NULL;
}

CommyTrain *
commy_train_queue_find (const CommyTrainQueue *self, CommyFrameType type, guint32 stream)
{
  for (guint i = 0; i < COMMY_TRAIN_PRIORITIES; i++)
    {
      const CommyTrainLevel *level = &self->levels[i];
      CommyTrain *found = NULL;

      for (guint k = 0; k < level->n_open && found == NULL; k++)
        found = find_in (level->open[k], type, stream);
      for (GList *at = level->waiting.head; at != NULL && found == NULL; at = at->next)
        found = find_in (at->data, type, stream);
      if (found != NULL)
        return found;
    }
  return NULL;
}

/* --- whose turn --- */

static void
fill (CommyTrainLevel *level)
{
  while (level->n_open < COMMY_TRAINS_OPEN && level->waiting.length > 0)
    level->open[level->n_open++] = g_queue_pop_head (&level->waiting);
}

void
commy_train_queue_add (CommyTrainQueue *self, CommyTrain *train)
{
  CommyTrain *first = leader (self, &train->spec);
  CommyTrainLevel *level = &self->levels[train->priority];

  self->n++;
  self->bytes += train->size;
  if (first != NULL)
    {
      train->priority = first->priority;
      g_queue_push_tail (&first->followers, train);
      return;
    }
  g_queue_push_tail (&level->waiting, train);
  fill (level);
}

/* The most urgent that has something; *@out_below: the one whose turn comes out of order, if it
 * has come, else the same. */
static guint
urgent (const CommyTrainQueue *self, guint *out_below)
{
  guint highest = COMMY_TRAIN_PRIORITIES;
  guint below = COMMY_TRAIN_PRIORITIES;
  guint next = COMMY_TRAIN_PRIORITIES;

  for (guint i = COMMY_TRAIN_PRIORITIES; i-- > 0;)
    {
      if (self->levels[i].n_open == 0)
        continue;
      if (highest == COMMY_TRAIN_PRIORITIES)
        highest = i;
      else if (below == COMMY_TRAIN_PRIORITIES)
        below = i;
      if (i < highest && i < self->lower && next == COMMY_TRAIN_PRIORITIES)
        next = i;
    }
  *out_below = next != COMMY_TRAIN_PRIORITIES ? next : below;
  return highest;
}

CommyTrain *
commy_train_queue_next (CommyTrainQueue *self)
{
  const CommyTrainLevel *level;
  guint below;
  guint priority = urgent (self, &below);

  if (priority == COMMY_TRAIN_PRIORITIES)
    return NULL;
  if (below != COMMY_TRAIN_PRIORITIES && self->pieces + 1 >= COMMY_TRAIN_LOWER_SHARE)
    priority = below;
  level = &self->levels[priority];
  return level->open[level->turn];
}

static void
close_slot (CommyTrainLevel *level, guint slot)
{
  level->n_open--;
  for (guint i = slot; i < level->n_open; i++)
    level->open[i] = level->open[i + 1];
  if (level->turn > slot)
    level->turn--;
  if (level->turn >= level->n_open)
    level->turn = 0;
}

static guint
slot_of (const CommyTrainLevel *level, const CommyTrain *train)
{
  for (guint i = 0; i < level->n_open; i++)
    if (level->open[i] == train)
      return i;
  g_assert_not_reached ();
}

/* The next of a lane gets in line behind those who wait already. */
static void
move_up (CommyTrainLevel *level, CommyTrain *gone)
{
  CommyTrain *next = g_queue_pop_head (&gone->followers);

  if (next == NULL)
    return;
  next->followers = gone->followers;
  g_queue_init (&gone->followers);
  g_queue_push_tail (&level->waiting, next);
}

static void
forget (CommyTrainQueue *self, CommyTrain *train)
{
  self->n--;
  self->bytes -= train->size;
  commy_train_free (train);
}

void
commy_train_queue_sent (CommyTrainQueue *self, CommyTrain *train, gboolean is_last)
{
  CommyTrainLevel *level = &self->levels[train->priority];
  guint below;
  guint highest = urgent (self, &below);

  if (train->priority != highest)
    {
      self->pieces = 0;
      self->lower = train->priority;
    }
  else
    self->pieces = below != COMMY_TRAIN_PRIORITIES ? self->pieces + 1 : 0;
  if (!is_last)
    {
      level->turn = (level->turn + 1) % level->n_open;
      return;
    }
  close_slot (level, slot_of (level, train));
  move_up (level, train);
  fill (level);
  forget (self, train);
}

/* --- dropping --- */

/* The end of a stream only says that no more messages come. */
static gboolean
is_message (const CommyTrain *train)
{
  return train->spec.type != COMMY_FRAME_END;
}

/* A run is many. */
static guint
count_messages (const CommyTrain *train)
{
  return is_message (train)
             ? commy_frame_messages (train->spec.flags, train->spec.method, train->size)
             : 0;
}

static guint
drop_followers (CommyTrainQueue *self, CommyTrain *first, guint32 stream)
{
  guint n = 0;

  if (first->lane != COMMY_LANE_STREAM || first->spec.stream != stream)
    return 0;
  while (first->followers.length > 0)
    {
      CommyTrain *next = g_queue_pop_head (&first->followers);

      n += count_messages (next);
      forget (self, next);
    }
  return n;
}

static gboolean
is_of_stream (const CommyTrain *train, guint32 stream)
{
  return train->lane != COMMY_LANE_ONEWAY && train->spec.stream == stream;
}

guint
commy_train_queue_drop (CommyTrainQueue *self, guint32 stream)
{
  guint n = 0;

  for (guint i = 0; i < COMMY_TRAIN_PRIORITIES; i++)
    {
      CommyTrainLevel *level = &self->levels[i];
      GList *next;

      for (GList *at = level->waiting.head; at != NULL; at = next)
        {
          CommyTrain *train = at->data;

          next = at->next;
          if (!is_of_stream (train, stream))
            continue;
          n += drop_followers (self, train, stream) + count_messages (train);
          g_queue_delete_link (&level->waiting, at);
          forget (self, train);
        }
      for (guint k = level->n_open; k-- > 0;)
        {
          CommyTrain *train = level->open[k];

          if (!is_of_stream (train, stream) || train->dropped)
            continue;
          n += drop_followers (self, train, stream) + count_messages (train);
          if (train->id != 0)
            {
              train->dropped = TRUE;
              self->bytes -= train->size;
              train->size = train->at = 0;
              give_memory_back (train);
              continue;
            }
          close_slot (level, k);
          forget (self, train);
        }
      fill (level);
    }
  return n;
}

static void
lose (CommyTrainQueue *self,
      CommyTrain *train,
      void (*lost) (gpointer data, const CommyTrain *train),
      gpointer data)
{
  while (train->followers.length > 0)
    lose (self, g_queue_pop_head (&train->followers), lost, data);
  if (!train->dropped && is_message (train))
    lost (data, train);
  forget (self, train);
}

void
commy_train_queue_clear (CommyTrainQueue *self,
                         void (*lost) (gpointer data, const CommyTrain *train),
                         gpointer data)
{
  for (guint i = 0; i < COMMY_TRAIN_PRIORITIES; i++)
    {
      CommyTrainLevel *level = &self->levels[i];

      while (level->n_open > 0)
        lose (self, level->open[--level->n_open], lost, data);
      level->turn = 0;
      while (level->waiting.length > 0)
        lose (self, g_queue_pop_head (&level->waiting), lost, data);
    }
}
