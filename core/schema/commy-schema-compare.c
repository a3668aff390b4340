/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What differs between the interface that a client knows and the one that a service offers, and
 * what that means: two lists of facts are merged, and one rule for each field judges.
 */
#include "config.h"

#include "schema/commy-schema-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static const char *const verdict_words[] = { "compatible", "warnings", "incompatible" };

typedef struct
{
  CommySchemaVerdict verdict;
  const char *why; /* in English; NULL: nothing to say */
} Judgement;

static const Judgement fine = { COMMY_SCHEMA_VERDICT_COMPATIBLE, NULL };

/* --- rules: what it means that the client has @client and the service @service; one is NULL where
 * that side does not say --- */

static Judgement
judge_present (const char *service)
{
  const Judgement gone
      = { COMMY_SCHEMA_VERDICT_INCOMPATIBLE, N_ ("what the client was written for is not there") };

  return service == NULL ? gone : fine;
}

/* Types of messages are checked where they arrive: at the service, and by who reads. */
static Judgement
judge_message (const char *client, const char *service, gboolean to_service)
{
  const char *sender = to_service ? client : service;
  const char *receiver = to_service ? service : client;
  const Judgement other
      = { COMMY_SCHEMA_VERDICT_INCOMPATIBLE, N_ ("messages of the stream have another type") };
  const Judgement unknown
      = { COMMY_SCHEMA_VERDICT_WARNINGS,
          N_ ("who reads the stream expects a type, who writes promises none") };

  if (receiver == NULL)
    return fine;
  return sender == NULL ? unknown : other;
}

static Judgement
judge_one_way (const char *client)
{
  const Judgement waits = { COMMY_SCHEMA_VERDICT_INCOMPATIBLE,
                            N_ ("the client waits for an answer that does not come") };
  const Judgement lost = { COMMY_SCHEMA_VERDICT_WARNINGS,
                           N_ ("the client sends one-way: answers and errors meet nobody") };

  return client == NULL ? waits : lost;
}

static Judgement
judge_idempotent (const char *client)
{
  const Judgement repeats
      = { COMMY_SCHEMA_VERDICT_INCOMPATIBLE,
          N_ ("after a failure the client may repeat what must not be carried out twice") };

  return client != NULL ? repeats : fine;
}

/* The service has to let do what the client was told it may. */
static Judgement
judge_access (const char *client, const char *service)
{
  const Judgement less = { COMMY_SCHEMA_VERDICT_INCOMPATIBLE,
                           N_ ("the service does not let do what the client may try") };
  const gboolean reads = g_str_has_prefix (client, "read");
  const gboolean writes = g_str_has_suffix (client, "write");

  if (reads && !g_str_has_prefix (service, "read"))
    return less;
  return writes && !g_str_has_suffix (service, "write") ? less : fine;
}

static Judgement
judge (CommySchemaField field, const char *client, const char *service)
{
  const Judgement types = { COMMY_SCHEMA_VERDICT_INCOMPATIBLE, N_ ("the types do not fit") };
  const Judgement names
      = { COMMY_SCHEMA_VERDICT_WARNINGS,
          N_ ("only the name is another one: bytes are the same, the meaning may not be") };
  const Judgement unknown = { COMMY_SCHEMA_VERDICT_WARNINGS,
                              N_ ("nothing but its name is known, so it cannot be compared") };
  const Judgement kind
      = { COMMY_SCHEMA_VERDICT_INCOMPATIBLE, N_ ("it is another kind of stream, or none") };
  const Judgement topic = { COMMY_SCHEMA_VERDICT_INCOMPATIBLE,
                            N_ ("it is published to another topic than the client listens to") };
  const Judgement changes
      = { COMMY_SCHEMA_VERDICT_WARNINGS, N_ ("changes of the property are told in another way") };
  const Judgement deadline
      = { COMMY_SCHEMA_VERDICT_COMPATIBLE, N_ ("each client goes by its own deadline") };

  switch (field)
    {
    case COMMY_SCHEMA_FIELD_PRESENT:
      return judge_present (service);
    case COMMY_SCHEMA_FIELD_NAME:
    case COMMY_SCHEMA_FIELD_ARGUMENT_NAME:
    case COMMY_SCHEMA_FIELD_RESULT_NAME:
      return client != NULL && service != NULL ? names : fine;
    case COMMY_SCHEMA_FIELD_UNTYPED:
      return unknown;
    case COMMY_SCHEMA_FIELD_STREAM:
      return kind;
    case COMMY_SCHEMA_FIELD_STREAM_IN:
    case COMMY_SCHEMA_FIELD_STREAM_OUT:
      return judge_message (client, service, field == COMMY_SCHEMA_FIELD_STREAM_IN);
    case COMMY_SCHEMA_FIELD_ONE_WAY:
      return judge_one_way (client);
    case COMMY_SCHEMA_FIELD_IDEMPOTENT:
      return judge_idempotent (client);
    case COMMY_SCHEMA_FIELD_DEADLINE:
      return deadline;
    case COMMY_SCHEMA_FIELD_TOPIC:
      return topic;
    case COMMY_SCHEMA_FIELD_ACCESS:
      return judge_access (client, service);
    case COMMY_SCHEMA_FIELD_CHANGES:
      return changes;
    default: /* types of arguments, results and properties */
      return types;
    }
}

/* --- merging --- */

typedef struct
{
  GArray *facts;
  guint at;
} Side;

typedef struct
{
  GVariantBuilder differences;
  CommySchemaVerdict worst;
  /* The member that only one side has, or of which one side knows the name only: its other fields
   * say nothing. */
  CommySchemaKind closed_kind;
  const char *closed;
} Comparison;

static const CommySchemaFact *
peek (const Side *side)
{
  return side->at < side->facts->len ? &g_array_index (side->facts, CommySchemaFact, side->at)
                                     : NULL;
}

static gboolean
is_closed (const Comparison *self, const CommySchemaFact *fact)
{
  return self->closed != NULL && self->closed_kind == fact->kind
         && strcmp (self->closed, fact->member) == 0;
}

static void
add_text (GVariantBuilder *record, const char *key, const char *text)
{
  if (text != NULL)
    g_variant_builder_add (record, "{sv}", key, g_variant_new_string (text));
}

/* @fact: whichever of both there is; values are NULL where a side does not say. */
static void
report (Comparison *self, const CommySchemaFact *fact, const char *client, const char *service)
{
  const Judgement here = judge (fact->field, client, service);
  const Judgement back = judge (fact->field, service, client);
  GVariantBuilder record;

  if (fact->field == COMMY_SCHEMA_FIELD_PRESENT || fact->field == COMMY_SCHEMA_FIELD_UNTYPED)
    {
      self->closed_kind = fact->kind;
      self->closed = fact->member;
    }
  self->worst = MAX (self->worst, here.verdict);
  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  add_text (&record, "kind", commy_schema_kind_word (fact->kind));
  add_text (&record, "name", fact->member);
  add_text (&record, "field", commy_schema_field_word (fact->field));
  if (fact->index > 0)
    g_variant_builder_add (&record, "{sv}", "index", g_variant_new_uint32 (fact->index));
  add_text (&record, "client", client);
  add_text (&record, "service", service);
  add_text (&record, "verdict", verdict_words[here.verdict]);
  add_text (&record, "reverse", verdict_words[back.verdict]);
  add_text (&record, "why", here.why != NULL ? here.why : back.why);
  g_variant_builder_add_value (&self->differences, g_variant_builder_end (&record));
}

static void
compare_next (Comparison *self, Side *client, Side *service)
{
  const CommySchemaFact *a = peek (client), *b = peek (service);
  const gint order = a == NULL ? 1 : b == NULL ? -1 : commy_schema_fact_compare (a, b);
  const CommySchemaFact *fact = order <= 0 ? a : b;
  const char *mine = order <= 0 ? a->value : NULL;
  const char *theirs = order >= 0 ? b->value : NULL;

  if (order <= 0)
    client->at++;
  if (order >= 0)
    service->at++;
  if (!is_closed (self, fact) && g_strcmp0 (mine, theirs) != 0)
    report (self, fact, mine, theirs);
}

CommySchemaVerdict
commy_schema_compare (GDBusInterfaceInfo *client,
                      GDBusInterfaceInfo *service,
                      GVariant **out_differences)
{
  g_autoptr (GArray) mine = NULL;
  g_autoptr (GArray) theirs = NULL;
  Comparison self = { .worst = COMMY_SCHEMA_VERDICT_COMPATIBLE };
  Side a = { NULL, 0 }, b = { NULL, 0 };
  g_autoptr (GVariant) differences = NULL;

  g_return_val_if_fail (client != NULL && service != NULL, COMMY_SCHEMA_VERDICT_INCOMPATIBLE);
  a.facts = mine = commy_schema_list_facts (client);
  b.facts = theirs = commy_schema_list_facts (service);
  g_variant_builder_init (&self.differences, G_VARIANT_TYPE ("aa{sv}"));
  while (peek (&a) != NULL || peek (&b) != NULL)
    compare_next (&self, &a, &b);
  differences = g_variant_ref_sink (g_variant_builder_end (&self.differences));
  if (out_differences != NULL)
    *out_differences = g_steal_pointer (&differences);
  return self.worst;
}
