/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A server that speaks HTTP badly in ways that a request names by its path, and what should be TLS
 * at ports of their own. It says when it has done its part, so that a test can wait for that.
 */
#pragma once

#include <gio/gio.h>

typedef enum
{
  HTTP_PLAIN,
  HTTP_TLS_HANGS_UP, /* at once */
  HTTP_TLS_IS_SILENT,
  HTTP_TLS_BABBLES, /* what is none, and hangs up */
  HTTP_TLS_BEGINS,  /* and does not go on */
  HTTP_N_DOORS,
} HttpDoor;

typedef struct
{
  const char *path;
  HttpDoor door;
  gboolean ends; /* else it waits until the client goes */
} HttpMood;

/* In the order in which a request meets them; the last one is right. */
extern const HttpMood http_moods[];
extern const guint http_n_moods;

typedef struct
{
  GMainContext *client; /* is woken whenever one of the counts changes */
  GMainContext *context;
  GMainLoop *loop;
  GThread *thread;
  GSocketService *services[HTTP_N_DOORS];
  guint16 ports[HTTP_N_DOORS];
  gint is_ready;  /* atomic */
  gint n_reached; /* atomic: requests that it did its part of */
  gint n_open;    /* atomic: connections */
  GMutex lock;    /* protects what follows */
  GCond changed;
  guint n_hears;
} HttpServer;

HttpServer *http_server_new (GMainContext *client);
/* Waits until nobody is connected. */
void http_server_free (HttpServer *self);
/* Those that are deaf now read on. */
void http_server_hear (HttpServer *self);
/* (transfer full) */
char *http_server_dup_url (HttpServer *self, const HttpMood *mood);
