/* workloads.h - the workloads, by the file that defines them. To add one, define it, name it here, and give it
 * variants in variants.c: everything else (--list, the runner, the report) comes from there.
 * SPDX-License-Identifier: MIT */
#ifndef WORKLOADS_WORKLOADS_H
#define WORKLOADS_WORKLOADS_H

#include "harness.h"

extern const struct workload larson;                                               /* larson.c */
extern const struct workload documents, requests, latency_requests;                /* burst.c */
extern const struct workload buffer_pool;                                          /* pool.c */
extern const struct workload linked;                                               /* linked.c */
extern const struct workload messages, message_memory;                             /* messages.c */
extern const struct workload owners;                                               /* owners.c */
extern const struct workload remote, latency_remote;                               /* remote.c */
extern const struct workload random_mixed, zeroed, large, aligned, latency_random; /* slots.c */
extern const struct workload growth;                                               /* growth.c */
extern const struct workload thread_churn, thread_pool, fork_server;               /* threads.c */
extern const struct workload false_sharing;                                        /* sharing.c */
extern const struct workload given_back;                                           /* memory.c */
extern const struct workload quiet;                                                /* quiet.c */
extern const struct workload fragmentation;                                        /* day.c */
extern const struct workload mixed_lifetimes;                                      /* mixed.c */

/* Variants of one workload stand together. */
extern const struct variant variants[];
extern const size_t variant_count;

#endif
