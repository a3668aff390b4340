/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A value as items. The type leads through the memory of the value, which is in normal form;
 * no GVariant is made for what is inside. Measuring takes the same steps.
 */
#include "config.h"

#include "commy-items.h"
#include "commy-layout.h"
#include "commy-values.h"

#include <string.h>

typedef struct
{
  const CommyItemForm *form;
  CommyItemOut *out;
} Writer;

static gboolean write_value (
    Writer *writer, const CommyLayout *layout, const guint8 *data, gsize size, guint level);

/* Parts of a container: where they end, and where the offsets that say so begin. */
typedef struct
{
  const guint8 *data;
  gsize size;
  guint width; /* of an offset */
  gsize at;    /* where the last part ended */
} Parts;

static Parts
parts_of (const guint8 *data, gsize size)
{
  return (Parts){ .data = data, .size = size, .width = commy_layout_offset_size (size, 0) };
}

static gsize
read_offset (const Parts *parts, gsize at)
{
  gsize offset = 0;

  memcpy (&offset, parts->data + at, parts->width);
  return GSIZE_FROM_LE (offset);
}

/* The part from where the last one ended to @end. What is in normal form has no part that is
 * not there; a value may only be said to be. */
static gboolean
write_part (
    Writer *writer, Parts *parts, const CommyLayout *layout, gsize end, gsize limit, guint level)
{
  gsize start = commy_layout_align (parts->at, layout->alignment);

  if (start > end || end > limit)
    return FALSE;
  parts->at = end;
  return write_value (writer, layout, parts->data + start, end - start, level);
}

static gboolean
write_members (
    Writer *writer, const CommyLayout *layout, const guint8 *data, gsize size, guint level)
{
  Parts parts = parts_of (data, size);
  const CommyLayout *member = layout + 1;
  gsize limit = size; /* where offsets begin, which are read from the back */

  for (gsize i = 0; i < layout->n_members; i++, member += member->n_layouts)
    {
      gsize end = limit;

      if (member->fixed_size > 0)
        end = commy_layout_align (parts.at, member->alignment) + member->fixed_size;
      else if (i + 1 < layout->n_members)
        {
          if (limit < parts.width)
            return FALSE;
          limit -= parts.width;
          end = read_offset (&parts, limit);
        }
      if (!write_part (writer, &parts, member, end, limit, level + 1))
        return FALSE;
    }
  return TRUE;
}

static gboolean
open_parts (Writer *writer, const CommyLayout *element, gsize n)
{
  if (n > writer->form->max_parts)
    return FALSE;
  if (element->kind == '{')
    writer->form->map (writer->out, n);
  else
    writer->form->array (writer->out, n);
  return TRUE;
}

/* In a map the entry is its two parts. */
static gboolean
write_element (
    Writer *writer, Parts *parts, const CommyLayout *element, gsize end, gsize limit, guint level)
{
  gsize start = commy_layout_align (parts->at, element->alignment);

  if (element->kind != '{')
    return write_part (writer, parts, element, end, limit, level);
  if (start > end || end > limit)
    return FALSE;
  parts->at = end;
  return write_members (writer, element, parts->data + start, end - start, level);
}

static gboolean
write_fixed_array (
    Writer *writer, const CommyLayout *element, const guint8 *data, gsize size, guint level)
{
  Parts parts = parts_of (data, size);
  gsize n = size / element->fixed_size;

  if (element->kind == 'y')
    {
      if (size > writer->form->max_parts)
        return FALSE;
      writer->form->bytes (writer->out, data, size);
      return TRUE;
    }
  if (!open_parts (writer, element, n))
    return FALSE;
  if (element->nesting == 0)
    {
      writer->form->numbers (writer->out, element->kind, data, n);
      return TRUE;
    }
  for (gsize i = 1; i <= n; i++)
    if (!write_element (writer, &parts, element, i * element->fixed_size, size, level))
      return FALSE;
  return TRUE;
}

static gboolean
write_array (
    Writer *writer, const CommyLayout *element, const guint8 *data, gsize size, guint level)
{
  Parts parts = parts_of (data, size);
  gsize limit = 0;
  gsize n = 0;

  if (element->fixed_size > 0)
    return write_fixed_array (writer, element, data, size, level);
  if (size > 0)
    {
      limit = read_offset (&parts, size - parts.width); /* the last end */
      if (limit > size - parts.width)
        return FALSE;
      n = (size - limit) / parts.width;
    }
  if (!open_parts (writer, element, n))
    return FALSE;
  for (gsize i = 0; i < n; i++)
    if (!write_element (writer, &parts, element, read_offset (&parts, limit + i * parts.width),
                        limit, level))
      return FALSE;
  return TRUE;
}

/* What is there stands for itself, unless it could be nothing too. */
static gboolean
write_maybe (
    Writer *writer, const CommyLayout *element, const guint8 *data, gsize size, guint level)
{
  if (size == 0)
    {
      writer->form->nothing (writer->out);
      return TRUE;
    }
  if (element->kind == 'm')
    writer->form->array (writer->out, 1);
  /* A byte behind it tells it from nothing, if its size does not. */
  return write_value (writer, element, data, element->fixed_size > 0 ? size : size - 1, level);
}

static gboolean
write_variant (Writer *writer, const guint8 *data, gsize size, guint level)
{
  const guint8 *end = size > 0 ? memrchr (data, 0, size) : NULL;
  const char *type = (const char *) end + 1;
  const char *type_end;
  CommyLayouts layouts;
  const CommyLayout *layout;
  gboolean done = FALSE;

  if (end == NULL || !g_variant_type_string_scan (type, (const char *) data + size, &type_end)
      || type_end != (const char *) data + size)
    return FALSE;
  layout = commy_layouts_take (&layouts, type, (gsize) (type_end - type));
  if (level + layout->nesting <= COMMY_VALUES_MAX_NESTING)
    {
      writer->form->array (writer->out, 2);
      writer->form->text (writer->out, type, layout->text_size);
      done = write_value (writer, layout, data, (gsize) (end - data), level);
    }
  commy_layouts_clear (&layouts);
  return done;
}

/* As deep as the type, which is bounded where a value or a variant begins. */
static gboolean
write_value (Writer *writer, const CommyLayout *layout, const guint8 *data, gsize size, guint level)
{
  if (layout->fixed_size > 0 && size != layout->fixed_size)
    return FALSE;
  switch (layout->kind)
    {
    case 'a':
      return write_array (writer, layout + 1, data, size, level + 1);
    case 'm':
      return write_maybe (writer, layout + 1, data, size, level + 1);
    case '(':
      writer->form->array (writer->out, layout->n_members);
      return write_members (writer, layout, data, size, level);
    case '{':
      writer->form->map (writer->out, 1);
      return write_members (writer, layout, data, size, level);
    case 'v':
      return write_variant (writer, data, size, level + 1);
    case 's':
    case 'o':
    case 'g':
      if (size == 0 || size > writer->form->max_parts)
        return FALSE;
      writer->form->text (writer->out, (const char *) data, size - 1);
      return TRUE;
    default:
      writer->form->numbers (writer->out, layout->kind, data, 1);
      return TRUE;
    }
}

gboolean
commy_items_write (const CommyItemForm *form, GVariant *value, CommyItemOut *out)
{
  Writer writer = { .form = form, .out = out };
  const char *type = g_variant_get_type_string (value);
  g_autoptr (GVariant) normal = g_variant_get_normal_form (value);
  gsize size = g_variant_get_size (normal);
  const guint8 none = 0;
  const guint8 *data = size > 0 ? g_variant_get_data (normal) : &none; /* no bytes, no address */
  CommyLayouts layouts;
  const CommyLayout *layout = commy_layouts_take (&layouts, type, strlen (type));
  gboolean done
      = layout->nesting <= COMMY_VALUES_MAX_NESTING && write_value (&writer, layout, data, size, 0);

  commy_layouts_clear (&layouts);
  return done;
}

gsize
commy_items_bound (const CommyItemForm *form, GVariant *value)
{
  CommyItemOut out = { .data = NULL };

  return commy_items_write (form, value, &out) ? out.size : 0;
}

gssize
commy_items_encode (
    const CommyItemForm *form, GVariant *value, guint8 *out, gsize size, GError **error)
{
  guint8 none;
  CommyItemOut to = { .data = size > 0 ? out : &none, .room = size };

  if (!commy_items_write (form, value, &to))
    return commy_values_refuse_value (value, form->name, error);
  if (to.size > size)
    return commy_values_refuse_room (value, to.size, size, error);
  return (gssize) to.size;
}
