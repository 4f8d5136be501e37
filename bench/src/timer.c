/* Times processes without Node.js in between, whose own spawn takes longer than some of them: for each line of
 * commands on stdin it runs one after another, reads what they say to the end, and answers the nanoseconds that all of
 * them took, or what went wrong. Arguments are parted by 0x1f, commands by 0x1e. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS_MAX = 256 };

extern char **environ;

static long long now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Answers the wait status, or -1 where there was no process. */
static int run(char *const argv[]) {
  int ends[2], status = -1;
  pid_t child;
  posix_spawn_file_actions_t actions;
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  int failed = posix_spawn(&child, argv[0], &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  char text[4096];
  while (!failed && read(ends[0], text, sizeof text) > 0) continue;
  close(ends[0]);
  if (!failed && waitpid(child, &status, 0) != child) return -1;
  return status;
}

int main(void) {
  char *line = NULL;
  size_t capacity = 0;
  while (getline(&line, &capacity, stdin) > 0) {
    line[strcspn(line, "\n")] = 0;
    long long total = 0;
    int status = 0;
    char *rest = line, *command = "";
    while (status == 0 && (command = strsep(&rest, "\x1e")) != NULL) {
      char *argv[ARGS_MAX + 1] = {0}, *words = command;
      for (int i = 0; i < ARGS_MAX && words != NULL; i++) argv[i] = strsep(&words, "\x1f");
      long long begin = now_ns();
      status = run(argv);
      total += now_ns() - begin;
    }
    if (status == 0) printf("%lld\n", total);
    else printf("%s ended with wait status %d\n", command, status);
    fflush(stdout);
  }
  free(line);
  return 0;
}
