/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy doctor`: runs the checks in order and tells what they found. It changes nothing.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-doctor.h"
#include "cli/commy-output.h"

#include <glib/gi18n.h>
#include <string.h>

static const CommyCliVerb verb = {
  .name = "doctor",
  .usage = "[D0nn...]",
  .summary
  = N_ ("Looks whether this machine and user are fit for Commy: folders, keyfiles, plugins,\n"
        "store, kernel, clock, certificates; then calls itself over each transport. It\n"
        "changes no setting; folders that a program would make are made. Each check has a code\n"
        "that stays; with codes only those run."),
  .description = N_ ("Exit codes of its own: 0 all is well, 1 a check failed, 6 one warned.\n\n"
                     "Example: is all well, what does a code mean, and only what is not well\n"
                     "  commy doctor\n"
                     "  commy help D001\n"
                     "  commy doctor -o json | jq '.[] | select(.state != \"ok\")'"),
  .has_format = TRUE,
};

/* The codes are stable: a check that goes leaves its code unused. */
static const CommyDoctorCheck checks[] = {
  { "D001", "runtime-dir", N_ ("runtime folder"), commy_doctor_check_runtime_dir,
    N_ ("Sockets and doors of running programs lie in the runtime folder. It must belong to you, "
        "with mode 0700, and its path should be short, because the name of a socket has room for "
        "107 bytes. Way out: remove or chown a folder that is not yours, chmod 700 it, or set "
        "runtime-dir in [mesh] or COMMY_RUNTIME_DIR.") },
  { "D002", "state-dir", N_ ("state folder"), commy_doctor_check_state_dir,
    N_ ("What outlives a program, such as the store, lies in the state folder. It must belong to "
        "you, nobody else may write into it, and the disk needs room. Way out: chown, chmod 700, "
        "make room, or set state-dir in [mesh] or COMMY_STATE_DIR.") },
  { "D003", "keyfiles", N_ ("keyfiles"), commy_doctor_check_keyfiles,
    N_ ("Each keyfile that is read is checked: unknown groups and keys, and values out of range, "
        "are errors, so that no setting silently does nothing. Way out: correct the line that is "
        "named; \"commy config show\" lists what there is to set.") },
  { "D004", "plugins", N_ ("plugins"), commy_doctor_check_plugins,
    N_ ("Every plugin file in the search path is looked at without running it. Rejected ones are "
        "damaged, built for something else, or not trusted; quarantined ones took a process down. "
        "Way out: \"commy plugin list\" shows the reason; install again, mend owner and mode, or "
        "remove the file.") },
  { "D005", "store", N_ ("store"), commy_doctor_check_store,
    N_ ("Joins the mesh for a moment, as any program does: the plugins that the keyfile asks for "
        "start, and the store opens and answers. Says so, too, when more are denied than count. "
        "Way out: the text names what did not start; \"commy help CMY0601\" and \"commy help "
        "CMY0208\" have causes.") },
  { "D006", "seals", N_ ("sealed shared memory"), commy_doctor_check_seals,
    N_ ("Transport shm shares memory that the kernel makes read-only for the other side (memfd "
        "with F_SEAL_FUTURE_WRITE, Linux 5.1). Way out: a newer kernel, or a container that does "
        "not forbid memfd_create; without it calls go over other transports.") },
  { "D007", "peer-pidfd", N_ ("identity of a peer's process"), commy_doctor_check_peer_pidfd,
    N_ ("SO_PEERPIDFD (Linux 6.5) names the process behind a socket without a race, so that its "
        "death is noticed at once. Below that Commy opens the process by its number and checks "
        "again, which is right but slower. Way out: a newer kernel.") },
  { "D008", "futex-waitv", N_ ("waiting on several words"), commy_doctor_check_futex,
    N_ ("futex_waitv (Linux 5.16) lets a caller sleep until either the answer or a wake-up call "
        "comes. Below that a sleeping caller looks every millisecond. Way out: a newer kernel, or "
        "a container whose system call filter knows it.") },
  { "D009", "user-namespaces", N_ ("user namespaces"), commy_doctor_check_user_namespaces,
    N_ ("Only the demo with two hosts in one needs them, when you are not root. Way out: run it as "
        "root, or let the administrator allow unprivileged user namespaces.") },
  { "D010", "open-files", N_ ("open files"), commy_doctor_check_open_files,
    N_ ("Each channel takes a few descriptors; \"channels\" in [limits] is 4096. Way out: ulimit "
        "-n, "
        "LimitNOFILE= of a systemd unit, or a lower limit in the keyfile.") },
  { "D011", "locked-memory", N_ ("locked memory"), commy_doctor_check_locked_memory,
    N_ ("Programs that must never wait for the disk lock their memory with mlockall; Commy itself "
        "locks nothing. Way out, if you need it: ulimit -l or LimitMEMLOCK=.") },
  { "D012", "proc", N_ ("/proc"), commy_doctor_check_proc,
    N_ ("Plugins are opened and sockets are reached through /proc/self/fd, which has no race. "
        "Way out: mount proc in the container; hidepid= does no harm for one's own processes.") },
  { "D013", "clock", N_ ("clock"), commy_doctor_check_clock,
    N_ ("Certificates are valid between two dates: a clock that stands in 1970, or behind the "
        "programs that it should date, makes all of them invalid. Way out: set the clock, switch "
        "on a time service.") },
  { "D014", "time-service", N_ ("time service"), commy_doctor_check_time_service,
    N_ ("The kernel knows whether a time service keeps its clock right. Hosts whose clocks differ "
        "by minutes refuse each other's certificates. On one host it does not matter. Way out: "
        "chrony or systemd-timesyncd.") },
  { "D015", "processors", N_ ("processors"), commy_doctor_check_processors,
    N_ ("With two or more processors caller and service work at the same time and calls take well "
        "below a microsecond of waiting; with one they must take turns and sleep in between, which "
        "is some ten times slower. Way out: taskset, the cgroup's cpuset, or a bigger machine.") },
  { "D016", "certificates", N_ ("certificates"), commy_doctor_check_certificates,
    N_ ("Other hosts are reachable only with a certificate. On one host none is needed. Way out: "
        "\"commy pki init\" makes an authority, \"commy pki issue\" a certificate that has "
        "expired or is missing; a key must be readable for its owner alone (chmod 600).") },
  { "D017", "listening", N_ ("listening"), commy_doctor_check_listening,
    N_ ("Joins a mesh of its own, in a folder that it removes again, and looks which transports "
        "offer an address and why the others do not. Way out: the reason says what is missing; "
        "a port that is in use is changed with param.port of the plugin.") },
  { "D018", "calls", N_ ("a call over each transport"), commy_doctor_check_calls,
    N_ ("Offers a service to itself in that mesh and calls it over every transport that can be "
        "used here, some hundred times; the middle one of the times is told. Way out: \"commy "
        "route explain\" shows what a path costs and why another one is not allowed.") },
  { "D019", "daemon", N_ ("commyd"), commy_doctor_check_daemon,
    N_ ("Where several users of a host are to meet, commyd has the store. Its socket must be "
        "there, "
        "in a folder that belongs to it or to you and that nobody else may write, and the daemon "
        "behind it must answer, be able to read its store, and be of this version. Programs that "
        "use another store do not need it. Way out: systemctl start commyd.socket, or commyd for "
        "yourself alone; what is wrong with a running one says journalctl -u commyd.") },
};

const CommyDoctorCheck *
commy_doctor_checks (guint *out_n)
{
  *out_n = G_N_ELEMENTS (checks);
  return checks;
}

#ifndef COMMY_CLI_WITH_PKI
void
commy_doctor_check_certificates (CommyDoctor *doctor, CommyFinding *finding)
{
  commy_finding_ok (finding, "this build has no GnuTLS: this host only");
}
#endif

/* --- findings --- */

static void G_GNUC_PRINTF (3, 0)
    set (CommyFinding *finding, CommyFindingState state, const char *format, va_list args)
{
  finding->state = MAX (finding->state, state);
  g_free (finding->found);
  finding->found = g_strdup_vprintf (format, args);
}

void
commy_finding_ok (CommyFinding *finding, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  set (finding, COMMY_FINDING_OK, g_dgettext (GETTEXT_PACKAGE, format), args);
  va_end (args);
}

void
commy_finding_warn (CommyFinding *finding, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  set (finding, COMMY_FINDING_WARN, g_dgettext (GETTEXT_PACKAGE, format), args);
  va_end (args);
}

void
commy_finding_fail (CommyFinding *finding, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  set (finding, COMMY_FINDING_FAIL, g_dgettext (GETTEXT_PACKAGE, format), args);
  va_end (args);
}

void
commy_finding_way_out (CommyFinding *finding, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_free (finding->way_out);
  finding->way_out = g_strdup_vprintf (g_dgettext (GETTEXT_PACKAGE, format), args);
  va_end (args);
}

static const struct
{
  const char *name;
  const char *word;
  CommyTone tone;
  CommyExit exit;
} states[] = {
  [COMMY_FINDING_OK] = { "ok", N_ ("ok"), COMMY_TONE_GOOD, COMMY_EXIT_DONE },
  [COMMY_FINDING_WARN] = { "warn", N_ ("warn"), COMMY_TONE_STRONG, COMMY_EXIT_WARNED },
  [COMMY_FINDING_FAIL] = { "fail", N_ ("FAIL"), COMMY_TONE_BAD, COMMY_EXIT_FAILED },
};

/* --- telling --- */

static void
add_finding (GVariantBuilder *all, const CommyDoctorCheck *check, const CommyFinding *finding)
{
  g_variant_builder_open (all, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (all, "{sv}", "code", g_variant_new_string (check->code));
  g_variant_builder_add (all, "{sv}", "name", g_variant_new_string (check->name));
  g_variant_builder_add (all, "{sv}", "state", g_variant_new_string (states[finding->state].name));
  g_variant_builder_add (all, "{sv}", "found",
                         g_variant_new_take_string (g_utf8_make_valid (finding->found, -1)));
  if (finding->way_out != NULL)
    g_variant_builder_add (all, "{sv}", "way-out",
                           g_variant_new_take_string (g_utf8_make_valid (finding->way_out, -1)));
  g_variant_builder_close (all);
}

static void
add_row (CommyTable *table, const CommyDoctorCheck *check, const CommyFinding *finding)
{
  commy_table_add (table, check->code);
  commy_table_add_toned (table, _ (states[finding->state].word), states[finding->state].tone);
  commy_table_add (table, _ (check->title));
  commy_table_add (table, finding->found);
  if (finding->way_out == NULL || finding->state == COMMY_FINDING_OK)
    return;
  commy_table_add (table, " ");
  commy_table_add (table, " ");
  commy_table_add (table, " ");
  commy_table_take (table, g_strdup_printf ("-> %s", finding->way_out));
}

static void
print_sum (const guint *counts)
{
  commy_output_print (_ ("\n%u ok, %u warnings, %u failed; \"commy help CODE\" tells more\n"),
                      counts[COMMY_FINDING_OK], counts[COMMY_FINDING_WARN],
                      counts[COMMY_FINDING_FAIL]);
}

/* --- running --- */

static gboolean
is_wanted (const CommyDoctorCheck *check, char **codes)
{
  if (codes[0] == NULL)
    return TRUE;
  for (guint i = 0; codes[i] != NULL; i++)
    if (g_ascii_strcasecmp (check->code, codes[i]) == 0)
      return TRUE;
  return FALSE;
}

static const char *
find_unknown (char **codes)
{
  for (guint i = 0; codes[i] != NULL; i++)
    {
      gboolean known = FALSE;

      for (guint k = 0; k < G_N_ELEMENTS (checks) && !known; k++)
        known = g_ascii_strcasecmp (checks[k].code, codes[i]) == 0;
      if (!known)
        return codes[i];
    }
  return NULL;
}

static CommyExit
run (CommyDoctor *doctor, char **codes)
{
  g_autoptr (CommyTable) table = commy_table_new ("CODE", "STATE", "CHECK", "FOUND", NULL);
  guint counts[G_N_ELEMENTS (states)] = { 0 };
  CommyFindingState worst = COMMY_FINDING_OK;
  g_autoptr (GVariant) json = NULL;
  GVariantBuilder all;

  g_variant_builder_init (&all, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < G_N_ELEMENTS (checks); i++)
    {
      CommyFinding finding = { COMMY_FINDING_OK };

      if (!is_wanted (&checks[i], codes))
        continue;
      checks[i].func (doctor, &finding);
      add_finding (&all, &checks[i], &finding);
      add_row (table, &checks[i], &finding);
      counts[finding.state]++;
      worst = MAX (worst, finding.state);
      g_free (finding.found);
      g_free (finding.way_out);
    }
  json = g_variant_ref_sink (g_variant_builder_end (&all));
  if (doctor->cli->json)
    commy_cli_json (doctor->cli, json);
  else
    {
      commy_table_print (table);
      print_sum (counts);
    }
  return states[worst].exit;
}

CommyExit
commy_cmd_doctor (CommyCli *cli, char **argv)
{
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, NULL, argv);
  CommyDoctor doctor = { .cli = cli };
  const char *unknown;
  CommyExit status;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  unknown = find_unknown (arguments + 1);
  if (unknown != NULL)
    return commy_cli_misuse (&verb, "no check is called \"%s\" (commy help checks lists them)",
                             unknown);
  doctor.mesh = commy_mesh_new (cli->mesh, &doctor.error);
  status = run (&doctor, arguments + 1);
  g_clear_object (&doctor.mesh);
  g_clear_error (&doctor.error);
  return status;
}
