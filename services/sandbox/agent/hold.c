/*
 * An interpreter that is started before its program is known.
 *
 *   fd 3, the gate  a socket: the interpreter writes a byte when it is ready and reads one when it
 *                   is to go on
 *   fd 4, words     a memory file: "argc\0", argc arguments, the environment, each ended by NUL
 *   fd 0            a memory file that its program's input is written to
 *
 * All of it is written before the gate opens, so neither side ever waits for the other half-way. The
 * jail's walls are up already: it is held as its program will run.
 */
#include "agent.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ABOVE_ALL_OTHERS = 32 };

static int gate = -1, words = -1, input = -1;
static off_t input_bytes;
static pid_t held_pid;

/* Far from 3 and 4, which they become in the program by dup2. */
static int raised(int fd) {
  int high = fcntl(fd, F_DUPFD_CLOEXEC, ABOVE_ALL_OTHERS);
  if (fd < 0 || high < 0) fail("hold", "descriptors");
  close(fd);
  return high;
}

void hold_make(int for_program[2], int *program_input) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("hold", "gate");
  gate = raised(ends[0]);
  words = raised(memfd_create("words", MFD_CLOEXEC));
  input = raised(memfd_create("stdin", MFD_CLOEXEC));
  for_program[0] = raised(ends[1]);
  for_program[1] = words;
  *program_input = raised(dup(input));
}

void hold_started(pid_t pid) { held_pid = pid; }

int hold_gate(void) { return gate; }

void hold_hear(void) {
  char byte;
  if (read(gate, &byte, 1) != 1) fail("hold", "the interpreter ended");
  out_frame(FRAME_HELD, 0, NULL);
}

/* By position: the offset is the program's, which shares the file. */
bool hold_input(const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = pwrite(input, bytes, length, input_bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    length -= (size_t)n;
    input_bytes += n;
  }
  return true;
}

static off_t put(off_t at, const char *text) {
  size_t length = strlen(text) + 1;
  if (pwrite(words, text, length, at) != (ssize_t)length) fail("hold", "words");
  return at + (off_t)length;
}

static uint64_t cpu_us(pid_t pid) {
  clockid_t clock;
  struct timespec t;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0) return 0;
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t hold_release(const struct program *program) {
  char count[16];
  int arguments = 0;
  while (program->argv[arguments] != NULL) arguments++;
  snprintf(count, sizeof count, "%d", arguments);
  off_t at = put(0, count);
  for (char **one = program->argv; *one != NULL; one++) at = put(at, *one);
  for (char **one = program->env; *one != NULL; one++) at = put(at, *one);
  uint64_t taken_us = cpu_us(held_pid);
  if (write(gate, "g", 1) != 1) fail("hold", "the interpreter ended");
  /* The gate stays: an interpreter that was released before it was ready has yet to say that it is. */
  close(words);
  close(input);
  words = input = -1;
  return taken_us;
}
