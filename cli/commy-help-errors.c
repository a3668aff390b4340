/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the page of an error has besides the library's explanation: common causes, one a line, and
 * commands that help. Every number of include/commy/commy-error.h has a row, which a test checks.
 */
#include "config.h"

#include "cli/commy-help.h"

#include <glib/gi18n.h>

static const CommyHelpError errors[] = {
  { 1,
    N_ ("a system call failed; the text has the system's own words\n"
        "a peer of a newer version used a number that this one does not know"),
    "commy doctor" },
  { 2,
    N_ ("a name that is no name, such as an empty one or one with blanks\n"
        "an id or a pattern that fits several nodes where one is meant"),
    "commy services ls --all" },
  { 101,
    N_ ("a line without \"=\" or outside of any [group]\n"
        "the file is not readable for this user, or is a folder"),
    "commy config check ~/.config/commy/commy.conf" },
  { 102, N_ ("a slip in the name of a key or group\na key of another version of Commy"),
    "commy config show selection" },
  { 103,
    N_ ("a unit is missing or unknown: times are like 20ms, sizes like 64KiB\n"
        "a comment behind the value on the same line"),
    "commy config check ~/.config/commy/commy.conf" },
  { 201, N_ ("a download or copy that ended early\na plugin for another kind of processor"),
    "commy plugin list -v" },
  { 202, N_ ("the library was updated and a plugin from elsewhere was not"), "commy plugin list" },
  { 203,
    N_ ("the folder is writable for a group, as build trees often are\n"
        "the file was copied as another user"),
    "commy plugin list -v\nchmod go-w FOLDER" },
  { 204, N_ ("a plugin that is still being written\na slot that was left out by mistake"),
    "commy plugin list" },
  { 205, N_ ("object files of two versions were linked together"), "commy plugin list" },
  { 206, N_ ("a profile.* key with a wrong unit\na plugin that does not know its own cost"),
    "commy config show \"plugin transport/shm\"\ncommy plugin info transport/shm" },
  { 207,
    N_ ("something the plugin needs is missing: a library, a folder, a certificate\n"
        "the kernel or a container refuses what it asks for"),
    "commy plugin list\ncommy doctor" },
  { 208,
    N_ ("the package with this plugin is not installed\n"
        "deny= or enabled=false in a keyfile switches it off\n"
        "the plugin failed to start: see its reason"),
    "commy plugin list\ncommy config show plugins" },
  { 209, N_ ("a slip in a param.* key\na value out of the parameter's range"),
    "commy plugin info transport/shm" },
  { 210,
    N_ ("the plugin crashed when it was loaded or started, or while it was in use\n"
        "the process was killed from outside at that moment, as by a supervisor"),
    "commy plugin list\ncommy doctor" },
  { 301,
    N_ ("the program that offers it does not run, or has just ended\n"
        "it joined another mesh (--mesh) or runs as another user\n"
        "COMMY_STATE_DIR differs between the two\n"
        "a slip in the name"),
    "commy services ls\ncommy nodes ls" },
  { 302,
    N_ ("the handler takes longer than the call allows\n"
        "the service's threads are all busy\n"
        "the host is overloaded"),
    "commy stats --of SERVICE\ncommy call SERVICE METHOD --timeout 60s" },
  { 303, N_ ("the program gave the call up on purpose, often because it ends"), "commy drops" },
  { 304,
    N_ ("a slip in the name; case matters\n"
        "an instance of an older version is still running"),
    "commy introspect SERVICE" },
  { 305,
    N_ ("a keyfile denies the transport, or a requirement excludes all\n"
        "no certificates, so that another host cannot be reached\n"
        "the two sides share no serializer"),
    "commy route explain SERVICE --why-not shm\ncommy plugin list --of SERVICE" },
  { 306, N_ ("the service crashed or was killed during the call\nthe network broke"),
    "commy call SERVICE METHOD --idempotent" },
  { 307, N_ ("a handler calls a service of its own thread and waits for it"),
    "commy serve SERVICE --workers 2" },
  { 308,
    N_ ("one side sends faster than the other one reads\n"
        "more calls are under way than pending-calls in [limits] allows"),
    "commy stats --of SERVICE\ncommy config show limits" },
  { 309, N_ ("a message above \"message\" in [limits], on this or on the other side"),
    "commy config show limits" },
  { 310,
    N_ ("an argument of another type, such as 5 where a string is wanted\n"
        "too many or too few arguments\n"
        "caller and service were built from different interfaces"),
    "commy introspect SERVICE\ncommy help values" },
  { 311, N_ ("whatever the service's author says in the text behind \"remote:\""),
    "commy introspect SERVICE" },
  { 312,
    N_ ("the process was killed a moment ago\n"
        "a firewall, or an address that only works on its own host"),
    "commy route explain SERVICE\ncommy nodes ls" },
  { 313, N_ ("a client that is kept in a global variable and used by several threads"),
    "commy help words" },
  { 314,
    N_ ("a transport is slower than it claimed, so that no path meets the requirement\n"
        "the machine or the network is overloaded"),
    "commy route explain SERVICE\ncommy stats --of SERVICE" },
  { 315,
    N_ ("the service's processes hang, are overloaded, or their host is cut off\n"
        "time limits of the calls that are shorter than the work takes"),
    "commy endpoints SERVICE\ncommy health SERVICE" },
  { 316,
    N_ ("more calls than the instances can do, or than serve-rate-limit over there lets them\n"
        "time limits of the calls that are shorter than the work takes"),
    "commy services stats SERVICE\ncommy endpoints SERVICE" },
  { 317, N_ ("rate-limit, bulkhead or throttle in the group [service NAME] of a keyfile"),
    "commy config show" },
  { 318,
    N_ ("a loop that calls without a pause\n"
        "many callers behind one address, or under one principal"),
    "commy drops\ncommy config show" },
  { 401,
    N_ ("the two programs run as different users\n"
        "certificates of two authorities, or none on one side\n"
        "the other end is no Commy program of yours"),
    "commy pki show\ncommy help security" },
  { 402, N_ ("a [policy NAME] group matches that says effect=deny, or none allows it"),
    "commy policy explain PRINCIPAL VERB RESOURCE\ncommy policy ls" },
  { 403, N_ ("somebody else offers a name that only you should offer\nverbs=offer is not allowed"),
    "commy services info SERVICE\ncommy config show" },
  { 404,
    N_ ("the certificate has expired, or the clock of one host is wrong\n"
        "key.pem is readable for others\n"
        "files of two authorities lie in one folder"),
    "commy pki show\ncommy doctor" },
  { 405,
    N_ ("the token was used before, or its time is over\n"
        "a part of the token was lost when it was copied\n"
        "the clock of one host is wrong"),
    "commy pki show\ncommy help security" },
  { 420,
    N_ ("the disk or the quota is full\n"
        "the folder of the trail belongs to another user, or others can look into it"),
    "commy audit verify\ncommy config show audit" },
  { 501, N_ ("another program uses the port or socket\none side has a defect"), "commy drops" },
  { 502, N_ ("one side was updated and the other, far older one was not"),
    "commy nodes info NODE" },
  { 503,
    N_ ("the peer is overloaded or stopped (SIGSTOP, debugger)\n"
        "a plain TCP service listens at the address\n"
        "the clock of one host is wrong, so that its certificate is not valid yet"),
    "commy doctor\ncommy config show limits" },
  { 601,
    N_ ("the disk is full or read-only\n"
        "the store file was damaged or made by a newer version"),
    "commy doctor" },
  { 602,
    N_ ("the folder belongs to somebody else, as after using sudo\n"
        "others may write into it\n"
        "the file system is read-only or full"),
    "commy doctor" },
  { 701, N_ ("a call before commy_mesh_join, or after commy_mesh_leave"), "commy help words" },
  { 702, N_ ("a program that forks after it joined, as some servers and test runners do"),
    "commy help words" },
  { 703, N_ ("the service or program is being stopped"), "commy services ls" },
};

const CommyHelpError *
commy_help_errors (guint *out_n)
{
  *out_n = G_N_ELEMENTS (errors);
  return errors;
}
