/*
 * libsyla-zygote: what a Python interpreter loads to become a zygote (zygote.py drives it).
 *
 * The interpreter calls syla_serve(), which forks jails as zygote.c does and returns only in a fork
 * of a fork: in the program's own process, inside its jail, with the interpreter as it was. The
 * jail's agent in between, PID 1, is the interpreter's memory too, but runs nothing of Python.
 *
 * Hash seeds. Python draws a secret at its start that the hashes of all strings depend on, so that
 * nobody can prepare strings that collide. A fork cannot simply draw another: the hashes of
 * thousands of strings are already in dictionaries. So this library, preloaded, takes the place of
 * the hash function before Python computes its first hash, and notes every hash that the zygote
 * computes. In a run, with a secret of its own, the hash of a string is
 *     the zygote's, when the zygote has computed that very hash: the string may equal an old one;
 *     else SipHash-1-3 under the run's own key.
 * Equal strings so have equal hashes always, and of strings that the zygote did not know, which an
 * attacker must choose from, nobody can tell the hash. What remains shared are the hashes of strings
 * that are the interpreter's own, until the zygote is replaced.
 * SipHash: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", 2012.
 */
#include "agent.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

typedef int64_t hash_function(const void *, ptrdiff_t);
/* CPython's PyHash_FuncDef (pyhash.h) begins with the function. */
struct hash_definition {
  hash_function *hash;
};

static hash_function *hash_before;
static uint64_t *noted; /* open addressing; 0 is no hash that is noted */
static size_t noted_count, noted_places;
static bool renewed;
static uint64_t key[2];

static jmp_buf in_interpreter;
static const struct program *program;
static char *argument_area;
static size_t argument_bytes, area_bytes;

/* ---- hashes ---- */

static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static void sip_round(uint64_t v[4]) {
  v[0] += v[1];
  v[2] += v[3];
  v[1] = rotate(v[1], 13) ^ v[0];
  v[3] = rotate(v[3], 16) ^ v[2];
  v[0] = rotate(v[0], 32);
  v[2] += v[1];
  v[0] += v[3];
  v[1] = rotate(v[1], 17) ^ v[2];
  v[3] = rotate(v[3], 21) ^ v[0];
  v[2] = rotate(v[2], 32);
}

static uint64_t sip_hash(const uint8_t *at, size_t length) {
  uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
                   key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
  uint64_t word, last = (uint64_t)length << 56;
  for (; length >= 8; at += 8, length -= 8) {
    memcpy(&word, at, 8);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
  }
  for (size_t i = 0; i < length; i++) last |= (uint64_t)at[i] << (8 * i);
  v[3] ^= last;
  sip_round(v);
  v[0] ^= last;
  v[2] ^= 0xff;
  for (int i = 0; i < 3; i++) sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t *place_of(uint64_t hash) {
  size_t i = (size_t)(hash ^ hash >> 32) & (noted_places - 1);
  while (noted[i] != 0 && noted[i] != hash) i = (i + 1) & (noted_places - 1);
  return &noted[i];
}

/* Never more than half full, so that a look-up of what is not there is short. */
static void make_room(void) {
  if (noted_count * 2 < noted_places) return;
  uint64_t *old = noted;
  size_t places = noted_places;
  noted_places = places == 0 ? 1 << 15 : places * 2;
  noted = mmap(NULL, noted_places * sizeof *noted, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (noted == MAP_FAILED) abort();
  for (size_t i = 0; i < places; i++)
    if (old[i] != 0) *place_of(old[i]) = old[i];
  if (old != NULL) munmap(old, places * sizeof *old);
}

static int64_t hash(const void *bytes, ptrdiff_t length) {
  int64_t before = hash_before(bytes, length);
  if (before == 0) return 0; /* the empty string */
  uint64_t *place = place_of((uint64_t)before);
  if (*place != 0) return before;
  if (renewed) {
    int64_t own = (int64_t)sip_hash(bytes, (size_t)length);
    return own == -1 ? -2 : own; /* to Python -1 is an error */
  }
  *place = (uint64_t)before;
  noted_count++;
  make_room();
  return before;
}

/* A constructor is given main's arguments by glibc; by musl nothing, and then the area is not kept. */
__attribute__((constructor)) static void load(int argc, char **argv, char **environment) {
  struct hash_definition *(*definition)(void);
  *(void **)&definition = dlsym(RTLD_DEFAULT, "PyHash_GetFuncDef");
  if (definition == NULL) return;
  struct hash_definition *found = definition();
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uintptr_t from = (uintptr_t)found & ~(page - 1);
  if (mprotect((void *)from, page, PROT_READ | PROT_WRITE) != 0) return;
  hash_before = found->hash;
  make_room();
  found->hash = hash;
#ifdef __GLIBC__
  argument_area = argv[0];
  argument_bytes = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - argv[0]);
  area_bytes = argument_bytes;
  for (; *environment != NULL; environment++)
    area_bytes = (size_t)(*environment + strlen(*environment) + 1 - argv[0]);
#else
  (void)argc, (void)argv, (void)environment;
#endif
}

static void draw(void *bytes, size_t length) {
  if (getrandom(bytes, length, 0) != (ssize_t)length) abort();
}

/* The salt of the XML parser's hashes lies behind the 16 bytes of the key, see pyhash.h. */
static void renew_hashes(void) {
  char *secret = dlsym(RTLD_DEFAULT, "_Py_HashSecret");
  draw(key, sizeof key);
  if (secret != NULL) draw(secret + 16, 8);
  renewed = true;
}

/* What /proc/self/cmdline says is the program, as far as there is room, and no environment. */
static void rename_process(char **argv) {
  if (argument_area == NULL) return;
  memset(argument_area, 0, area_bytes);
  size_t at = 0;
  for (; *argv != NULL; argv++) {
    size_t length = strlen(*argv) + 1;
    if (at + length > argument_bytes) return;
    memcpy(argument_area + at, *argv, length);
    at += length;
  }
}

/* ---- what zygote.py calls ---- */

static void call(const char *name) {
  void (*function)(void);
  *(void **)&function = dlsym(RTLD_DEFAULT, name);
  if (function != NULL) function();
}

/* fork() and not clone: libraries have handlers for it. */
static pid_t fork_python(void) {
  call("PyOS_BeforeFork");
  return fork();
}

static void enter_python(const struct program *p) {
  static struct program kept;
  kept = *p;
  program = &kept;
  longjmp(in_interpreter, 1);
}

/* Whether strings that are new in a run have hashes of its own. */
EXPORTED int syla_hashes(void) { return hash_before != NULL; }

/* Returns in a run: read its argv and env then. */
EXPORTED void syla_serve(void) {
  static const struct interpreter python = {.fork = fork_python, .enter = enter_python};
  interpreter = &python;
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (setjmp(in_interpreter) == 0) zygote_serve();
  renew_hashes();
  rename_process(program->argv);
  call("PyOS_AfterFork_Child");
}

EXPORTED char **syla_argv(void) { return program->argv; }
EXPORTED char **syla_env(void) { return program->env; }

/* For getenv and for what the program starts. */
EXPORTED void syla_use_env(void) { environ = program->env; }

/* Told to the host's log. */
EXPORTED void syla_note(const char *stage, const char *message) {
  struct writer w = {.length = 0};
  write_u32(&w, 0);
  write_string(&w, stage);
  write_string(&w, message);
  out_frame(FRAME_ERROR, 0, &w);
}

/* With C's buffers and handlers, as the interpreter itself ends. */
EXPORTED void syla_exit(int status) { exit(status); }
