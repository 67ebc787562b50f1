/* What the files of workloads share. */
#ifndef COFFER_TESTS_CRASH_WORKLOAD_INTERNAL_H
#define COFFER_TESTS_CRASH_WORKLOAD_INTERNAL_H

#include "workload.h"

enum { PAGE = CRASH_PAGE };

bool draw_one_in(struct live *l, uint64_t n);
uint64_t draw_between(struct live *l, uint64_t low, uint64_t high);
void act_meanwhile(struct live *l);
size_t draw_size(struct live *l);
unsigned act_create_numbered(struct live *l, unsigned dir, const char *stem, unsigned n);
void act_sync_somehow(struct live *l, unsigned file, unsigned dir);
uint64_t draw_edge(struct live *l);

/* Anything, with one of a few names in dir; step number i. */
void mix_step(struct live *l, unsigned dir, unsigned i);

/* workload_files.c */
void run_small_files(struct live *l);
void run_logs(struct live *l);
void run_rollback(struct live *l);
void run_wal(struct live *l);
void run_replacing(struct live *l);
void run_resizing(struct live *l);
void run_holes(struct live *l);
void run_maps(struct live *l);
void run_overlaps(struct live *l);

/* workload_names.c */
void run_moves(struct live *l);
void run_trees(struct live *l);
void run_removals(struct live *l);
void run_nameless(struct live *l);
void run_attributes(struct live *l);

/* workload_lives.c */
void run_lives(struct live *l);
void run_sharing(struct live *l);
void run_ticks(struct live *l);
void run_sparse(struct live *l);
void run_lending(struct live *l);
void run_refusals(struct live *l);

/* workload_rekey.c */
void run_rekeying(struct live *l);

#endif
