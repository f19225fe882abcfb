/* What the program says in the end: one JSON object. And the clock, and what the system tells of processes. */
#ifndef REPORT_H
#define REPORT_H

#include "histogram.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t now(void);

/* Begin the object: its first field is the scenario. */
void report_open(const char *scenario);
void report_count(const char *name, uint64_t count);
void report_number(const char *name, double number);
/* A duration, or a quantile of several, in nanoseconds; reported in microseconds. */
void report_duration(const char *name, double nanoseconds);
/* Report `{prefix}median`, `{prefix}p99` and `{prefix}worst`, in microseconds. */
void report_quantiles(const char *prefix, const struct histogram *histogram);
void report_samples(const char *name, const uint64_t *nanoseconds, uint32_t count);
void report_histogram(const char *name, const struct histogram *histogram);
/* Print it, once. */
void report_close(void);
/* Add why the run is void, print what there is, and exit with 1. What comes after `report_close` goes to stderr. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* CPU seconds of a process; of one with its children, those that are gone included; and of this one. */
double cpu_of(pid_t process);
double cpu_of_family(pid_t process);
double cpu_of_this(void);
/* Bytes that a process holds in memory. */
double memory_of(pid_t process);
/* How many files and sockets a process has open. */
unsigned files_of(pid_t process);

#endif
