/*
 * Stops everything else in the jail for as long as a copy of its files takes, so that the copy is of one moment.
 *
 * Not by freezing the control group, which would freeze the copy and PID 1 too. SIGSTOP cannot be caught, and the
 * kernel lets no process be born while it goes to all of them; but what is inside a system call finishes that first,
 * so it is looked at until all stand. A tenant can evade it (a timer that sends SIGCONT): then the copy of its own
 * files is of more than one moment, which is its own loss.
 *
 * All go on when this process exits. When it is killed, which a full memory is enough for, it cannot see to that; then
 * PID 1 does (keep.c), which needs no new process and no memory for it.
 */
#include "agent.h"
#include "tree.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PIDS_MAX = 32768, WAIT_MS_MAX = 2000 };

static pid_t stopped_before[PIDS_MAX];
static int stopped_count;

static char state_of(const char *path) {
  char text[512];
  FILE *file = fopen(path, "re");
  if (file == NULL) return 'X'; /* gone */
  size_t n = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[n] = 0;
  const char *after = strrchr(text, ')'); /* a name can have any character */
  return after != NULL && after[1] == ' ' ? after[2] : 'X';
}

static bool stands(char state) { return strchr("TtZXx", state) != NULL; }

/* All threads of a process. */
static bool process_stands(pid_t pid) {
  char path[64 + 256];
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  DIR *tasks = opendir(path);
  bool all = true;
  for (struct dirent *d; tasks != NULL && all && (d = readdir(tasks)) != NULL;) {
    if (d->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%d/task/%.32s/stat", (int)pid, d->d_name);
    all = stands(state_of(path));
  }
  if (tasks != NULL) closedir(tasks);
  return all;
}

/* What is done with every process but this one and PID 1. */
typedef void (*visit)(pid_t pid, void *data);
typedef int (*order)(const void *one, const void *two);

static int oldest_first(const void *one, const void *two) {
  return *(const pid_t *)one - *(const pid_t *)two;
}

static int youngest_first(const void *one, const void *two) { return oldest_first(two, one); }

static bool each_process(order orders, visit visits, void *data) {
  static pid_t pids[PIDS_MAX];
  int count = 0;
  DIR *proc = opendir("/proc");
  for (struct dirent *d; proc != NULL && count < PIDS_MAX && (d = readdir(proc)) != NULL;) {
    pid_t pid = (pid_t)atoi(d->d_name);
    if (pid > 1 && pid != getpid()) pids[count++] = pid;
  }
  if (proc == NULL) return false;
  closedir(proc);
  qsort(pids, (size_t)count, sizeof *pids, orders);
  for (int i = 0; i < count; i++) visits(pids[i], data);
  return true;
}

struct count {
  int all;
  bool still;
};

static void note_before(pid_t pid, void *data) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  char state = state_of(path);
  if (state == 'Z' || state == 'X') return;
  ((struct count *)data)->all++;
  if (state == 'T' && stopped_count < PIDS_MAX) stopped_before[stopped_count++] = pid;
}

static void look(pid_t pid, void *data) {
  struct count *count = data;
  if (count->still) count->still = process_stands(pid);
}

static void pause_for(long microseconds) {
  nanosleep(&(struct timespec){.tv_nsec = microseconds * 1000}, NULL);
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void stop_one(pid_t pid, void *data) {
  const int64_t *until = data;
  kill(pid, SIGSTOP);
  while (!process_stands(pid) && now_ms() < *until) pause_for(50);
}

static void go_on(pid_t pid, void *data) {
  (void)data;
  for (int i = 0; i < stopped_count; i++)
    if (stopped_before[i] == pid) return;
  kill(pid, SIGCONT);
}

/* A shell is not to find its jobs stopped: it is stopped before them, and goes on after them. */
static void release(void) {
  if (!each_process(youngest_first, go_on, NULL)) kill(-1, SIGCONT);
}

int hush(bool *still) {
  struct count count = {.all = 0, .still = true};
  each_process(oldest_first, note_before, &count);
  atexit(release);
  signal(SIGPIPE, SIG_IGN); /* for a host that leaves to be an exit */
  int64_t until = now_ms() + WAIT_MS_MAX;
  each_process(oldest_first, stop_one, &until);
  kill(-1, SIGSTOP); /* also what was born meanwhile */
  for (;;) {
    count.still = true;
    each_process(oldest_first, look, &count);
    if (count.still || now_ms() >= until) break;
    pause_for(1000);
  }
  *still = count.still;
  return count.all;
}
