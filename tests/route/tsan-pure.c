/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is pure can be used by any number of threads at once: decisions and frames are made from
 * the same inputs in several threads, under the thread sanitizer too, and all come out alike.
 * Plain threads and no call of GLib, which is not instrumented.
 */
#include "config.h"

#include "route/commy-route.h"
#include "wire/commy-frame.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define THREADS 4
#define ROUNDS 300
#define CANDIDATES 8u

typedef struct
{
  CommyDemand demand;
  CommyCandidate candidates[CANDIDATES];
  CommyProfile profiles[CANDIDATES];
  CommyCalibration calibration;
  uint8_t frame[128];
  size_t frame_size;
} Inputs;

typedef struct
{
  const Inputs *inputs;
  int chosen;
  uint32_t payload;
  int differences;
} Worker;

static void
fill (Inputs *inputs)
{
  static const char *const names[CANDIDATES] = { "a", "b", "c", "d", "e", "f", "g", "h" };
  CommyFrameSpec spec = { .type = COMMY_FRAME_CALL, .stream = 7, .deadline_ns = 1000 };

  commy_demand_init (&inputs->demand, 1000000);
  for (unsigned i = 0; i < CANDIDATES; i++)
    {
      inputs->profiles[i]
          = (CommyProfile){ .n_segments = 1,
                            .delivery = COMMY_DELIVERY_RELIABLE,
                            .ordering = COMMY_ORDERING_CONNECTION,
                            .security = COMMY_SECURITY_CONFIDENTIAL,
                            .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                            .size_factor = 1,
                            .segments = { { .max_bytes = UINT64_MAX,
                                            .latency_ns = 100.0 * (i + 1),
                                            .send_cpu_ns_per_byte = 1.0 / (i + 1) } } };
      inputs->candidates[i] = (CommyCandidate){ .instance = "instance",
                                                .transport = names[i],
                                                .serializer = "none",
                                                .transport_profile = &inputs->profiles[i],
                                                .calibration = &inputs->calibration,
                                                .security = COMMY_SECURITY_CONFIDENTIAL,
                                                .reach = COMMY_REACH_HOST,
                                                .connected = true,
                                                .bias = 1 };
    }
  commy_calibration_add (&inputs->calibration, 64, 300, 150, 500000);
  inputs->frame_size = commy_frame_write (inputs->frame, &spec, 16) + 16;
}

static void *
run (void *data)
{
  Worker *worker = data;
  const Inputs *inputs = worker->inputs;
  CommyAssessment assessments[CANDIDATES];
  CommyPlan plan;
  CommyFrame frame;

  for (int i = 0; i < ROUNDS; i++)
    {
      commy_route_decide (&inputs->demand, inputs->candidates, CANDIDATES, assessments, &plan);
      worker->differences += i > 0 && plan.chosen != worker->chosen;
      worker->chosen = plan.chosen;
      worker->differences
          += commy_frame_parse (inputs->frame, inputs->frame_size, 1024, &frame) != COMMY_FRAME_OK;
      worker->payload = frame.payload_size;
    }
  return NULL;
}

int
main (void)
{
  static Inputs inputs;
  Worker workers[THREADS];
  pthread_t threads[THREADS];
  int differences = 0;

  fill (&inputs);
  for (int i = 0; i < THREADS; i++)
    {
      workers[i] = (Worker){ .inputs = &inputs, .chosen = -1 };
      pthread_create (&threads[i], NULL, run, &workers[i]);
    }
  for (int i = 0; i < THREADS; i++)
    {
      pthread_join (threads[i], NULL);
      differences += workers[i].differences + (workers[i].chosen != workers[0].chosen)
                     + (workers[i].payload != 16) + (workers[i].chosen < 0);
    }
  printf ("1..1\n%s 1 /pure/threads/decisions-and-frames-are-alike\n",
          differences == 0 ? "ok" : "not ok");
  return differences != 0;
}
