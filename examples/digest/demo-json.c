/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The same as one JSON object, for programs.
 */
#include "config.h"

#include "demo.h"

#include <stdio.h>

static void
add_string (GString *out, const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  g_string_append_c (out, '"');
  for (const char *at = valid; *at != '\0'; at++)
    if (*at == '"' || *at == '\\')
      g_string_append_printf (out, "\\%c", *at);
    else if ((guchar) *at < 0x20)
      g_string_append_printf (out, "\\u%04x", (guint) *at);
    else
      g_string_append_c (out, *at);
  g_string_append_c (out, '"');
}

static void
add_strings (GString *out, const char *name, const GPtrArray *lines)
{
  g_string_append_printf (out, "\"%s\":[", name);
  for (guint i = 0; lines != NULL && i < lines->len; i++)
    {
      g_string_append (out, i > 0 ? "," : "");
      add_string (out, lines->pdata[i]);
    }
  g_string_append_c (out, ']');
}

/* Times in whole microseconds: no number depends on a locale. */
static void
add_number (GString *out, const char *name, gint64 value)
{
  g_string_append_printf (out, "\"%s\":%" G_GINT64_FORMAT ",", name, value);
}

static void
add_decision (GString *out, CommyDecision *decision)
{
  g_autofree char *json = decision != NULL ? commy_decision_to_json (decision) : NULL;

  g_string_append (out, json != NULL ? json : "null");
}

static void
add_pass (GString *out, const DemoPass *pass)
{
  g_string_append (out, "\"answers\":{");
  for (guint i = 0; i < DEMO_TALLY_MAX && pass->tally[i].n > 0; i++)
    {
      g_string_append (out, i > 0 ? "," : "");
      add_string (out, pass->tally[i].by);
      g_string_append_printf (out, ":%" G_GUINT64_FORMAT, pass->tally[i].n);
    }
  g_string_append (out, "},");
  add_number (out, "files", (gint64) pass->files);
  add_number (out, "calls", (gint64) pass->calls);
  add_number (out, "bytes", (gint64) pass->bytes);
  add_number (out, "equal", (gint64) pass->equal);
  add_number (out, "wrong", (gint64) pass->wrong);
  add_number (out, "missing", (gint64) pass->missing);
  add_number (out, "changed", (gint64) pass->changed);
  add_number (out, "vanished", (gint64) pass->vanished);
  add_number (out, "time_us", pass->spent_us);
  add_number (out, "slowest_call_us", pass->slowest_us);
  add_strings (out, "complaints", pass->complaints);
}

static void
add_instance (GString *out, const DemoReport *report, guint i)
{
  g_string_append (out, i > 0 ? ",{" : "{");
  g_string_append (out, "\"instance\":");
  add_string (out, report->instances[i].label);
  g_string_append (out, ",\"id\":");
  add_string (out, report->instances[i].id);
  g_string_append_c (out, ',');
  add_pass (out, &report->passes[i]);
  g_string_append_c (out, '}');
}

static void
add_why (GString *out, const DemoWhy *why)
{
  g_string_append (out, "{\"about\":");
  add_string (out, why->title);
  g_string_append (out, ",\"decisions\":[");
  for (guint i = 0; i < DEMO_TABLES; i++)
    {
      g_string_append (out, i > 0 ? "," : "");
      add_decision (out, why->decisions[i]);
    }
  g_string_append (out, "]}");
}

static void
add_fallback (GString *out, const DemoReport *report)
{
  const DemoFallback *fallback = &report->fallback;

  g_string_append (out, "{\"killed\":");
  add_string (out, report->instances[0].label);
  g_string_append (out, ",\"under_way\":");
  add_string (out, fallback->under_way != NULL ? fallback->under_way : "");
  g_string_append_c (out, ',');
  add_number (out, "retried", (gint64) fallback->retried);
  add_number (out, "first_answer_us", fallback->first_us);
  add_pass (out, &fallback->pass);
  g_string_append (out, ",\"after\":");
  add_decision (out, report->after);
  g_string_append_c (out, '}');
}

void
demo_report_json (const DemoReport *self)
{
  g_autoptr (GString) out = g_string_new ("{");

  g_string_append_printf (out, "\"right\":%s,", demo_report_is_right (self) ? "true" : "false");
  add_number (out, "files", self->tree->files->len);
  add_number (out, "bytes", (gint64) self->tree->bytes);
  add_number (out, "left_out", (gint64) self->tree->others);
  add_number (out, "hashed_us", self->tree->hashed_us);
  add_number (out, "took_us", self->took_us);
  add_strings (out, "unreadable", self->tree->unreadable);
  g_string_append (out, ",\"instances\":[");
  for (guint i = 0; i < DEMO_INSTANCES; i++)
    add_instance (out, self, i);
  g_string_append (out, "],\"why\":[");
  for (guint i = 0; i < G_N_ELEMENTS (self->why); i++)
    {
      g_string_append (out, i > 0 ? "," : "");
      add_why (out, &self->why[i]);
    }
  g_string_append (out, "],\"fallback\":");
  add_fallback (out, self);
  g_string_append (out, "}\n");
  fputs (out->str, stdout);
}
