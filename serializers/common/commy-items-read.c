/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A value from items. The type leads and says what each item must be; the value is built in the
 * memory it will have. What the bytes claim (how many parts, how long) is compared with the bytes
 * that are there, and nothing is allocated for it. Depth is that of the type, which is bounded.
 */
#include "config.h"

#include "commy-fill.h"
#include "commy-items.h"
#include "commy-values.h"

#include <math.h>
#include <string.h>

#define EXACT_MAX 9007199254740992.0 /* doubles up to 2^53 say which integer they are */

typedef struct
{
  const CommyItemReader *format;
  const guint8 *start, *at, *end;
  const guint8 *item; /* where the last one begins */
  CommyFill fill;
  char *why;
} Reader;

/* What is left of a container's parts. */
typedef struct
{
  gsize left; /* COMMY_ITEM_OPEN: up to an end */
} Parts;

static gboolean
read_value (Reader *reader, const CommyLayout *layout, guint level, const CommyItem *item);

/* --- errors --- */

/* The first reason counts. Returns FALSE, for the caller to pass on. */
static gboolean G_GNUC_PRINTF (2, 3) fail (Reader *reader, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  if (reader->why != NULL)
    return FALSE;
  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  reader->why = g_strdup_printf ("%s at byte %" G_GSIZE_FORMAT, text,
                                 (gsize) (reader->item - reader->start));
  return FALSE;
}

static gboolean
fail_type (Reader *reader, const CommyLayout *layout)
{
  return fail (reader, "what is no %.*s%s", (int) MIN (layout->text_size, 32), layout->text,
               layout->text_size > 32 ? "..." : "");
}

/* --- items --- */

static inline gboolean
next_item (Reader *reader, CommyItem *out)
{
  gsize size;

  reader->item = reader->at;
  if (reader->at == reader->end)
    return fail (reader, "the end, too early,");
  size = reader->format->next (reader->at, (gsize) (reader->end - reader->at), out);
  if (size == 0)
    return fail (reader, "no whole item");
  reader->at += size;
  return TRUE;
}

/* The next part of a container. FALSE: there is none, or it cannot be read (`why` is set). */
static inline gboolean
next_part (Reader *reader, Parts *parts, CommyItem *out)
{
  if (parts->left == COMMY_ITEM_OPEN)
    return next_item (reader, out) && out->kind != COMMY_ITEM_END;
  if (parts->left == 0)
    return FALSE;
  parts->left--;
  return next_item (reader, out);
}

static gboolean
needs_part (Reader *reader, Parts *parts, CommyItem *out)
{
  return next_part (reader, parts, out) || fail (reader, "too few parts");
}

static gboolean
ends (Reader *reader, Parts *parts)
{
  CommyItem item;

  return (!next_part (reader, parts, &item) && reader->why == NULL)
         || fail (reader, "too many parts");
}

/* What @item opens, as an array or map. */
static gboolean
open_parts (Reader *reader,
            const CommyLayout *layout,
            const CommyItem *item,
            CommyItemKind kind,
            Parts *out)
{
  gsize least = kind == COMMY_ITEM_MAP ? 2 : 1; /* bytes of a part */

  if (item->kind != kind)
    return fail_type (reader, layout);
  out->left = item->size;
  if (item->size != COMMY_ITEM_OPEN && item->size > (gsize) (reader->end - reader->at) / least)
    return fail (reader, "more parts than bytes");
  return TRUE;
}

/* --- numbers --- */

/* JavaScript has one kind of number, and writes integers as reals when they are large. */
static gboolean
integer_of_real (double real, CommyItem *out)
{
  if (!(fabs (real) <= EXACT_MAX) || real != trunc (real) || (real == 0 && signbit (real)))
    return FALSE;
  out->kind = real < 0 ? COMMY_ITEM_NEGATIVE : COMMY_ITEM_UNSIGNED;
  out->number = real < 0 ? (guint64) (-1 - real) : (guint64) real;
  return TRUE;
}

static gboolean
real_of_item (const CommyItem *item, double *out)
{
  if (item->kind == COMMY_ITEM_REAL)
    *out = item->real;
  else if (item->kind == COMMY_ITEM_UNSIGNED && item->number <= (guint64) EXACT_MAX)
    *out = (double) item->number;
  else if (item->kind == COMMY_ITEM_NEGATIVE && item->number < (guint64) EXACT_MAX)
    *out = -1 - (double) item->number;
  else
    return FALSE;
  return TRUE;
}

/* The largest number of an integer type. */
static guint64
maximum_of (char kind)
{
  switch (kind)
    {
    case 'y':
      return G_MAXUINT8;
    case 'n':
      return G_MAXINT16;
    case 'q':
      return G_MAXUINT16;
    case 'u':
      return G_MAXUINT32;
    case 'x':
      return G_MAXINT64;
    case 't':
      return G_MAXUINT64;
    default: /* 'i', 'h' */
      return G_MAXINT32;
    }
}

static inline void
add_integer (CommyFill *fill, gsize size, guint64 number)
{
  guint8 *out = commy_fill_add (fill, size);
  const guint32 wide = (guint32) number;
  const guint16 middle = (guint16) number;

  if (size == 8)
    memcpy (out, &number, 8);
  else if (size == 4)
    memcpy (out, &wide, 4);
  else if (size == 2)
    memcpy (out, &middle, 2);
  else
    *out = (guint8) number;
}

static gboolean
read_integer (Reader *reader, const CommyLayout *layout, guint64 maximum, const CommyItem *item)
{
  CommyItem whole;
  gboolean negative;

  if (item->kind == COMMY_ITEM_REAL && integer_of_real (item->real, &whole))
    item = &whole;
  negative = item->kind == COMMY_ITEM_NEGATIVE;
  if ((!negative && item->kind != COMMY_ITEM_UNSIGNED) || item->number > maximum
      || (negative && strchr ("yqut", layout->kind) != NULL))
    return fail_type (reader, layout);
  add_integer (&reader->fill, layout->fixed_size, negative ? ~item->number : item->number);
  return TRUE;
}

static gboolean
read_number (Reader *reader, const CommyLayout *layout, guint64 maximum, const CommyItem *item)
{
  double real;

  if (layout->kind == 'b')
    {
      if (item->kind != COMMY_ITEM_FALSE && item->kind != COMMY_ITEM_TRUE)
        return fail_type (reader, layout);
      add_integer (&reader->fill, 1, item->kind == COMMY_ITEM_TRUE);
      return TRUE;
    }
  if (layout->kind != 'd')
    return read_integer (reader, layout, maximum, item);
  if (!real_of_item (item, &real))
    return fail_type (reader, layout);
  memcpy (commy_fill_add (&reader->fill, sizeof real), &real, sizeof real);
  return TRUE;
}

/* --- texts and bytes --- */

static gboolean
add_piece (Reader *reader, const CommyLayout *layout, const CommyItem *item)
{
  if (layout->kind != 'a' && !g_utf8_validate_len ((const char *) item->data, item->size, NULL))
    return fail (reader, "what is no UTF-8 without a character 0");
  if (item->size > 0)
    memcpy (commy_fill_add (&reader->fill, item->size), item->data, item->size);
  return TRUE;
}

/* @item, or the items of its kind that follow, one behind the other. */
static gboolean
add_pieces (Reader *reader, const CommyLayout *layout, const CommyItem *item)
{
  Parts parts = { .left = item->size };
  CommyItemKind kind = item->kind;
  CommyItem piece;

  if (item->size != COMMY_ITEM_OPEN)
    return add_piece (reader, layout, item);
  while (next_part (reader, &parts, &piece))
    {
      if (piece.kind != kind || piece.size == COMMY_ITEM_OPEN)
        return fail (reader, "no piece of a text");
      if (!add_piece (reader, layout, &piece))
        return FALSE;
    }
  return reader->why == NULL;
}

static gboolean
read_text (Reader *reader, const CommyLayout *layout, const CommyItem *item)
{
  gsize start = reader->fill.size;
  const char *text;

  if (item->kind != COMMY_ITEM_TEXT)
    return fail_type (reader, layout);
  if (!add_pieces (reader, layout, item))
    return FALSE;
  *commy_fill_add (&reader->fill, 1) = '\0';
  text = (const char *) reader->fill.data + start;
  if ((layout->kind == 'o' && !g_variant_is_object_path (text))
      || (layout->kind == 'g' && !g_variant_is_signature (text)))
    return fail_type (reader, layout);
  return TRUE;
}

/* --- containers --- */

static gboolean
read_members (Reader *reader, const CommyLayout *layout, guint level, Parts *parts)
{
  CommyFillFrame frame = commy_fill_open (&reader->fill);
  const CommyLayout *member = layout + 1;

  for (gsize i = 0; i < layout->n_members; i++, member += member->n_layouts)
    {
      CommyItem item;

      if (!needs_part (reader, parts, &item) || !read_value (reader, member, level + 1, &item))
        return FALSE;
      if (member->fixed_size == 0 && i + 1 < layout->n_members)
        commy_fill_end_part (&reader->fill, frame);
    }
  commy_fill_close_tuple (&reader->fill, frame, layout);
  return TRUE;
}

/* An entry of a map, of which @item is the key and the next item the value. */
static gboolean
read_entry (Reader *reader, const CommyLayout *layout, guint level, const CommyItem *item)
{
  const CommyLayout *key = layout + 1;
  CommyFillFrame frame;
  CommyItem value;

  commy_fill_align (&reader->fill, layout->alignment);
  frame = commy_fill_open (&reader->fill);
  if (!read_value (reader, key, level + 1, item))
    return FALSE;
  if (key->fixed_size == 0)
    commy_fill_end_part (&reader->fill, frame);
  if (!next_item (reader, &value) || !read_value (reader, key + 1, level + 1, &value))
    return FALSE;
  commy_fill_close_tuple (&reader->fill, frame, layout);
  return TRUE;
}

static gboolean
read_numbers (Reader *reader, const CommyLayout *element, Parts *parts)
{
  guint64 maximum = maximum_of (element->kind);
  gboolean integers = element->kind != 'd' && element->kind != 'b';
  CommyItem item;

  while (next_part (reader, parts, &item))
    if (integers && item.kind == COMMY_ITEM_UNSIGNED && item.number <= maximum) /* most are */
      add_integer (&reader->fill, element->fixed_size, item.number);
    else if (!read_number (reader, element, maximum, &item))
      return FALSE;
  return reader->why == NULL;
}

static gboolean
read_array (Reader *reader, const CommyLayout *layout, guint level, const CommyItem *item)
{
  const CommyLayout *element = layout + 1;
  gboolean entries = element->kind == '{';
  CommyFillFrame frame = commy_fill_open (&reader->fill);
  CommyItem part;
  Parts parts;

  if (element->kind == 'y'
      && (item->kind == COMMY_ITEM_BYTES
          || (item->kind == COMMY_ITEM_TEXT && reader->format->text_is_bytes)))
    return add_pieces (reader, layout, item);
  if (!open_parts (reader, layout, item, entries ? COMMY_ITEM_MAP : COMMY_ITEM_ARRAY, &parts))
    return FALSE;
  if (element->nesting == 0 && element->fixed_size > 0)
    return read_numbers (reader, element, &parts);
  while (next_part (reader, &parts, &part))
    {
      if (entries ? !read_entry (reader, element, level + 1, &part)
                  : !read_value (reader, element, level + 1, &part))
        return FALSE;
      if (element->fixed_size == 0)
        commy_fill_end_part (&reader->fill, frame);
    }
  commy_fill_close_array (&reader->fill, frame);
  return reader->why == NULL;
}

static gboolean
read_tuple (Reader *reader, const CommyLayout *layout, guint level, const CommyItem *item)
{
  Parts parts;

  return open_parts (reader, layout, item, COMMY_ITEM_ARRAY, &parts)
         && read_members (reader, layout, level, &parts) && ends (reader, &parts);
}

/* An entry outside of an array: a map of one. */
static gboolean
read_lone_entry (Reader *reader, const CommyLayout *layout, guint level, const CommyItem *item)
{
  CommyItem key;
  Parts parts;

  return open_parts (reader, layout, item, COMMY_ITEM_MAP, &parts)
         && needs_part (reader, &parts, &key) && read_entry (reader, layout, level, &key)
         && ends (reader, &parts);
}

static gboolean
read_maybe (Reader *reader, const CommyLayout *layout, guint level, const CommyItem *item)
{
  const CommyLayout *element = layout + 1;
  gboolean wrapped = element->kind == 'm';
  Parts parts;
  CommyItem inner;

  if (item->kind == COMMY_ITEM_NOTHING)
    return TRUE;
  if (wrapped)
    {
      if (!open_parts (reader, layout, item, COMMY_ITEM_ARRAY, &parts)
          || !needs_part (reader, &parts, &inner))
        return FALSE;
      item = &inner;
    }
  if (!read_value (reader, element, level + 1, item))
    return FALSE;
  if (element->fixed_size == 0)
    *commy_fill_add (&reader->fill, 1) = 0;
  return !wrapped || ends (reader, &parts);
}

/* The type comes from outside: it must be one. */
static gboolean
is_type (const CommyItem *item)
{
  const char *text = (const char *) item->data;
  const char *end;

  if (item->kind != COMMY_ITEM_TEXT || item->size == COMMY_ITEM_OPEN || item->size == 0
      || !g_variant_type_string_scan (text, text + item->size, &end) || end != text + item->size)
    return FALSE;
  for (; text < end; text++)
    if (strchr ("*?r", *text) != NULL)
      return FALSE;
  return TRUE;
}

/* What is in a variant, of the type that @type says. */
static gboolean
read_inner (Reader *reader, const CommyItem *type, Parts *parts, guint level)
{
  CommyLayouts layouts;
  const CommyLayout *layout = commy_layouts_take (&layouts, (const char *) type->data, type->size);
  CommyItem item;
  gboolean done;

  if (level + layout->nesting > COMMY_VALUES_MAX_NESTING)
    done = fail (reader, "more than %u levels", COMMY_VALUES_MAX_NESTING);
  else
    done = needs_part (reader, parts, &item) && read_value (reader, layout, level, &item);
  commy_layouts_clear (&layouts);
  return done;
}

static gboolean
read_variant (Reader *reader, const CommyLayout *layout, guint level, const CommyItem *item)
{
  CommyItem type;
  Parts parts;

  if (!open_parts (reader, layout, item, COMMY_ITEM_ARRAY, &parts)
      || !needs_part (reader, &parts, &type))
    return FALSE;
  if (!is_type (&type))
    return fail (reader, "no type of a variant");
  if (!read_inner (reader, &type, &parts, level + 1) || !ends (reader, &parts))
    return FALSE;
  *commy_fill_add (&reader->fill, 1) = '\0';
  memcpy (commy_fill_add (&reader->fill, type.size), type.data, type.size);
  return TRUE;
}

/* @item: the one that begins the value. As deep as the type. */
static gboolean
read_value (Reader *reader, const CommyLayout *layout, guint level, const CommyItem *item)
{
  commy_fill_align (&reader->fill, layout->alignment);
  switch (layout->kind)
    {
    case 'a':
      return read_array (reader, layout, level, item);
    case '(':
      return read_tuple (reader, layout, level, item);
    case '{':
      return read_lone_entry (reader, layout, level, item);
    case 'm':
      return read_maybe (reader, layout, level, item);
    case 'v':
      return read_variant (reader, layout, level, item);
    case 's':
    case 'o':
    case 'g':
      return read_text (reader, layout, item);
    default:
      return read_number (reader, layout, maximum_of (layout->kind), item);
    }
}

static gboolean
read_all (Reader *reader, const GVariantType *type)
{
  CommyLayouts layouts;
  const CommyLayout *layout = commy_layouts_take (&layouts, g_variant_type_peek_string (type),
                                                  g_variant_type_get_string_length (type));
  CommyItem item;
  gboolean done;

  if (layout->nesting > COMMY_VALUES_MAX_NESTING)
    done = fail (reader, "a type of more than %u levels", COMMY_VALUES_MAX_NESTING);
  else
    done = next_item (reader, &item) && read_value (reader, layout, 0, &item);
  commy_layouts_clear (&layouts);
  reader->item = reader->at;
  return done && (reader->at == reader->end || fail (reader, "more than one value"));
}

GVariant *
commy_items_decode (const CommyItemReader *format,
                    GBytes *bytes,
                    const GVariantType *type,
                    GError **error)
{
  Reader reader = { .format = format };
  GVariant *value = NULL;
  gsize size;

  if (!commy_values_check_type (type, format->name, error))
    return NULL;
  reader.start = g_bytes_get_data (bytes, &size);
  reader.at = reader.item = reader.start;
  reader.end = size > 0 ? reader.start + size : reader.start; /* no bytes may have no address */
  commy_fill_init (&reader.fill, size);
  if (read_all (&reader, type))
    value = g_variant_ref_sink (commy_fill_take (&reader.fill, type));
  else
    commy_values_refuse_bytes (bytes, type, format->form, reader.why, error);
  commy_fill_clear (&reader.fill);
  g_free (reader.why);
  return value;
}
