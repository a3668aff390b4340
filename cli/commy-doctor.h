/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checks of `commy doctor`: each has a stable code, finds something, and says the way out.
 */
#pragma once

#include "cli/commy-cli.h"

typedef enum
{
  COMMY_FINDING_OK,
  COMMY_FINDING_WARN, /* works, but less, slower or not for long */
  COMMY_FINDING_FAIL, /* something will not work */
} CommyFindingState;

/* What a check found; of members that are NULL there is nothing to say. */
typedef struct
{
  CommyFindingState state;
  char *found;
  char *way_out;
} CommyFinding;

/* What the checks share. */
typedef struct
{
  CommyCli *cli;
  CommyMesh *mesh; /* not joined; NULL: the keyfiles are wrong */
  GError *error;   /* then */
} CommyDoctor;

typedef void (*CommyDoctorFunc) (CommyDoctor *doctor, CommyFinding *finding);

typedef struct
{
  const char *code;
  const char *name;  /* in JSON */
  const char *title; /* to be translated */
  CommyDoctorFunc func;
  const char *help; /* to be translated */
} CommyDoctorCheck;

const CommyDoctorCheck *commy_doctor_checks (guint *out_n);

/* For the checks: the last word counts, the worst state stays. */
void commy_finding_ok (CommyFinding *finding, const char *format, ...) G_GNUC_PRINTF (2, 3);
void commy_finding_warn (CommyFinding *finding, const char *format, ...) G_GNUC_PRINTF (2, 3);
void commy_finding_fail (CommyFinding *finding, const char *format, ...) G_GNUC_PRINTF (2, 3);
void commy_finding_way_out (CommyFinding *finding, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Without the settings nobody knows where anything is. FALSE: told. */
gboolean commy_doctor_has_mesh (CommyDoctor *doctor, CommyFinding *finding);

/* commy-doctor-host.c: what the machine and its kernel give */
void commy_doctor_check_seals (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_peer_pidfd (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_futex (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_user_namespaces (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_open_files (CommyDoctor *doctor, CommyFinding *finding);
/* Whether there are descriptors enough to join a mesh: GLib ends a process that runs out of them.
 * FALSE: told. */
gboolean commy_doctor_has_files (CommyFinding *finding);
void commy_doctor_check_locked_memory (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_proc (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_clock (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_time_service (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_processors (CommyDoctor *doctor, CommyFinding *finding);

/* commy-doctor-mesh.c: what Commy finds for itself */
void commy_doctor_check_runtime_dir (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_state_dir (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_keyfiles (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_plugins (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_store (CommyDoctor *doctor, CommyFinding *finding);

/* commy-doctor-daemon.c: the daemon of hosts with several users */
void commy_doctor_check_daemon (CommyDoctor *doctor, CommyFinding *finding);

/* commy-doctor-pki.c, or where it is left out a finding that says so */
void commy_doctor_check_certificates (CommyDoctor *doctor, CommyFinding *finding);

/* commy-doctor-call.c: calls of its own */
void commy_doctor_check_listening (CommyDoctor *doctor, CommyFinding *finding);
void commy_doctor_check_calls (CommyDoctor *doctor, CommyFinding *finding);
