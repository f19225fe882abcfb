/* One JSON object on stdout; the clock; what /proc tells. */
#include "report.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *fields = "";
static bool is_closed;

uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void name_field(const char *name)
{
    printf("%s\"%s\":", fields, name);
    fields = ",";
}

static void write_text(const char *text)
{
    putchar('"');
    for (; *text; text++)
        if (*text == '"' || *text == '\\' || (unsigned char)*text < ' ')
            printf("\\u%04x", *text);
        else
            putchar(*text);
    putchar('"');
}

static void report_text(const char *name, const char *text)
{
    name_field(name);
    write_text(text);
}

void report_open(const char *scenario)
{
    putchar('{');
    report_text("scenario", scenario);
}

void report_count(const char *name, uint64_t count)
{
    name_field(name);
    printf("%llu", (unsigned long long)count);
}

void report_number(const char *name, double number)
{
    name_field(name);
    printf("%.6g", number);
}

void report_duration(const char *name, double nanoseconds)
{
    name_field(name);
    printf("%.1f", nanoseconds / 1000);
}

void report_quantiles(const char *prefix, const struct histogram *histogram)
{
    static const struct {
        const char *name;
        double share;
    } QUANTILES[] = {{"median", 0.5}, {"p99", 0.99}, {"worst", 1}};
    for (size_t i = 0; i < sizeof QUANTILES / sizeof *QUANTILES; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", prefix, QUANTILES[i].name);
        report_duration(name, histogram_quantile(histogram, QUANTILES[i].share));
    }
}

void report_samples(const char *name, const uint64_t *nanoseconds, uint32_t count)
{
    name_field(name);
    putchar('[');
    for (uint32_t i = 0; i < count; i++)
        printf("%s%.1f", i ? "," : "", (double)nanoseconds[i] / 1000);
    putchar(']');
}

void report_histogram(const char *name, const struct histogram *histogram)
{
    name_field(name);
    histogram_write(histogram, stdout);
}

void report_close(void)
{
    if (is_closed)
        return;
    puts("}");
    fflush(stdout);
    is_closed = true;
}

void fail(const char *format, ...)
{
    char reason[1024];
    va_list values;
    va_start(values, format);
    vsnprintf(reason, sizeof reason, format, values);
    va_end(values);
    if (is_closed) {
        fprintf(stderr, "load: %s\n", reason);
    } else {
        report_text("error", reason);
        report_close();
    }
    exit(EXIT_FAILURE);
}

static FILE *open_of(pid_t process, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)process, name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail("no %s: is the server gone?", path);
    return file;
}

struct times {
    pid_t parent;
    unsigned long user, system, user_of_gone, system_of_gone; /* ticks; of children that are gone and were waited for */
};

/* Returns false where the file does not have them. */
static bool read_times(FILE *file, struct times *times)
{
    char line[1024] = "";
    size_t length = fread(line, 1, sizeof line - 1, file);
    line[length] = 0;
    /* The name, in brackets, may hold anything. */
    const char *rest = strrchr(line, ')');
    return rest && sscanf(rest + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", &times->parent,
                          &times->user, &times->system, &times->user_of_gone, &times->system_of_gone) == 5;
}

static struct times times_of(pid_t process)
{
    struct times times;
    FILE *file = open_of(process, "stat");
    if (!read_times(file, &times))
        fail("cannot read the CPU time of process %d", (int)process);
    fclose(file);
    return times;
}

static double seconds(unsigned long ticks)
{
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

double cpu_of(pid_t process)
{
    struct times times = times_of(process);
    return seconds(times.user + times.system);
}

double cpu_of_family(pid_t process)
{
    struct times times = times_of(process);
    unsigned long ticks = times.user + times.system + times.user_of_gone + times.system_of_gone;
    DIR *folder = opendir("/proc");
    if (!folder)
        fail("no /proc");
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[300];
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = entry->d_name[0] >= '0' && entry->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        if (!file)
            continue; /* no process, or one that has just gone */
        if (read_times(file, &times) && times.parent == process)
            ticks += times.user + times.system;
        fclose(file);
    }
    closedir(folder);
    return seconds(ticks);
}

double cpu_of_this(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

double memory_of(pid_t process)
{
    char line[256];
    unsigned long kilobytes = 0;
    FILE *file = open_of(process, "status");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %lu kB", &kilobytes) == 1)
            break;
    fclose(file);
    return (double)kilobytes * 1024;
}

unsigned files_of(pid_t process)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)process);
    DIR *folder = opendir(path);
    if (!folder)
        fail("no %s: is the server gone?", path);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}
