/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cluster as one thing that answers: which member is asked, what is asked again elsewhere,
 * when that would be twice too often, the token of a user, and the newest revision seen.
 */
#pragma once

#include "commy-etcd-codec.h"
#include "plugins/common/commy-http.h"

typedef struct _CommyEtcdCluster CommyEtcdCluster;
typedef struct _CommyEtcdCall CommyEtcdCall;

typedef struct
{
  CommyHost *host;
  char **members;     /* "https://a.example.org:2379", at least one */
  const char *prefix; /* of all keys of this mesh */
  const char *user;   /* "": nobody in particular */
  const char *password_file;
  gint64 timeout_ns;                              /* for a call, whichever members it takes */
  gint64 attempt_ns;                              /* for one member, the first time */
  CommyHttp *http;                                /* taken over */
  gsize max_answer;                               /* an endless number of bytes is no answer */
  void (*moved) (gpointer data, gint64 pause_ns); /* another member is asked after a pause */
  gpointer moved_data;
} CommyEtcdClusterSettings;

/* Exactly one of @answer and @error; with @error, @code is etcd's number, 0 if it is not etcd's. */
typedef void (*CommyEtcdCallFunc) (gpointer user_data,
                                   const CommyEtcdAnswer *answer,
                                   int code,
                                   const GError *error);

typedef struct
{
  CommyEtcdAnswerKind kind;
  const char *path;
  char *body;             /* taken over */
  gboolean is_repeatable; /* doing it twice is as good as once */
  gint64 attempt_ns;      /* 0: the cluster's */
  gint64 timeout_ns;      /* 0: the cluster's */
  CommyEtcdCallFunc done; /* exactly once unless cancelled, never from inside */
  gpointer user_data;
} CommyEtcdAsk;

/* Takes over @settings' members and http. */
CommyEtcdCluster *commy_etcd_cluster_new (const CommyEtcdClusterSettings *settings);
/* Cancels every call. */
void commy_etcd_cluster_free (CommyEtcdCluster *self);

CommyEtcdCall *commy_etcd_cluster_call (CommyEtcdCluster *self, const CommyEtcdAsk *ask);
void commy_etcd_call_cancel (CommyEtcdCall *self);

const char *commy_etcd_cluster_get_prefix (CommyEtcdCluster *self);
const char *commy_etcd_cluster_get_member (CommyEtcdCluster *self);
gint64 commy_etcd_cluster_get_timeout (CommyEtcdCluster *self);
gint64 commy_etcd_cluster_get_attempt (CommyEtcdCluster *self);
/* When it last answered a call; 0: never. */
gint64 commy_etcd_cluster_get_heard (CommyEtcdCluster *self);
gboolean commy_etcd_cluster_is_silent (CommyEtcdCluster *self);
/* Whether a range is being read. */
gboolean commy_etcd_cluster_is_reading (CommyEtcdCluster *self);
/* The newest that was seen. */
gint64 commy_etcd_cluster_get_revision (CommyEtcdCluster *self);

/* For streams, which are not calls. */
CommyHttpExchange *commy_etcd_cluster_open_stream (CommyEtcdCluster *self,
                                                   const char *path,
                                                   const char *body,
                                                   CommyHttpLineFunc line,
                                                   CommyHttpReplyFunc done,
                                                   gpointer user_data);
/* Whether a token must be asked for before a stream is opened. */
gboolean commy_etcd_cluster_lacks_token (CommyEtcdCluster *self);
void commy_etcd_cluster_drop_token (CommyEtcdCluster *self);
/* The member asked now failed: another is asked; returns how long to wait before that. */
gint64 commy_etcd_cluster_failed (CommyEtcdCluster *self, const char *member, const char *why);
void commy_etcd_cluster_saw (CommyEtcdCluster *self, gint64 revision);
