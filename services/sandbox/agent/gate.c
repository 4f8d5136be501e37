/*
 * gate.so: holds an interpreter at the point where it would read its program (hold.c).
 *
 * Preloaded into an interpreter that is started in a waiting jail by the very command that runs the
 * program, `ruby -I. main.rb`, before there is a main.rb. Up to there all programs are alike. It waits,
 * and once the file is there and the program's environment in place, goes on. All that the program
 * sees is the interpreter's own doing: $0, DATA, __FILE__, messages, frames, the order of its end. A
 * script that loads the program instead, as hold.cjs is for Node, would be seen in each of them.
 *
 * Where it waits: PHP opens its program after it has started, and so is held as it does. Ruby opens
 * it first, looks at its beginning for switches in a `#!` line, and then loads RubyGems, which is 30
 * of its 37 ms. It gets a file of one byte, which it looks at and puts back, and is held when it looks
 * for the end of the first line in that: the byte then becomes the program's first, and the file the
 * program's. From 3.4 on Ruby reads the whole program before RubyGems. It is held as it opens it,
 * which gains 7 ms; its length would have to be known for more. R opens it first as well, and reads it
 * when all else is done, by stdio: it gets a stream that waits at its first read.
 *
 * What a start sees of its program other than by that file is noted: variables that it asks for, and
 * files beside the program that it looks for and does not find. For a program that brings one of
 * those, or switches for Ruby, the interpreter is executed anew in its place. getenv() within the
 * C library is not seen here: the platform has what sets such variables executed from the first.
 */
#define _GNU_SOURCE
/* Their inline functions and other names would be in the way of what is defined here. */
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
#define REAL(name)                                                       \
  ({                                                                     \
    static __typeof__(&name) real;                                       \
    if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
    real;                                                                \
  })

enum { GATE_FD = 3, WORDS_FD = 4, ABOVE_ALL_OTHERS = 512 };
enum { ARGUMENTS_MAX = 63, SHEBANG_BYTES_MAX = 65536 };

#define FILE_OPTION "--file="

extern char **environ;

static bool passed; /* or never held */
static int gate = -1, words = -1;
static int placeholder = -1; /* what Ruby reads its program from before that is there */
static char *first_byte;     /* where it has put what it read from it */
static int late = -1;        /* what R reads its program from, which is that file after the gate */
static char **start;         /* the environment at the start; R adds to it */
static char command[4096], *arguments[ARGUMENTS_MAX + 1];
static const char *program; /* the file's name as the interpreter was given it */
static bool reads_at_last;  /* R does, of one of whose options it is the value */
static char folder[4096];
static size_t folder_length;
static char *area; /* the environment as the kernel shows it */
static size_t area_bytes;

/* Names, each ended by NUL. */
static struct notes {
  char bytes[8192];
  size_t length;
  bool incomplete;
} variables, files;

static void note(struct notes *notes, const char *name) {
  for (size_t at = 0; at < notes->length; at += strlen(notes->bytes + at) + 1)
    if (strcmp(notes->bytes + at, name) == 0) return;
  size_t length = strlen(name) + 1;
  if (length > sizeof notes->bytes - notes->length) {
    notes->incomplete = true;
    return;
  }
  memcpy(notes->bytes + notes->length, name, length);
  notes->length += length;
}

/* ---- the start ---- */

static int raised(int fd) {
  int high = fcntl(fd, F_DUPFD_CLOEXEC, ABOVE_ALL_OTHERS);
  close(fd);
  return high;
}

/* From /proc, as not every C library passes them to constructors. */
static bool read_command(void) {
  int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  ssize_t length = read(fd, command, sizeof command - 1);
  close(fd);
  int count = 0;
  for (char *at = command; at < command + length; at += strlen(at) + 1) {
    if (count == ARGUMENTS_MAX) return false;
    arguments[count++] = at;
  }
  if (count > 0) program = arguments[count - 1];
  if (count > 0 && strncmp(program, FILE_OPTION, strlen(FILE_OPTION)) == 0) {
    program += strlen(FILE_OPTION);
    reads_at_last = true;
  }
  return count > 1 && length < (ssize_t)sizeof command - 1;
}

static __attribute__((constructor)) void hold(void) {
  struct stat about;
  if (fstat(GATE_FD, &about) != 0 || !S_ISSOCK(about.st_mode)) {
    passed = true;
    return;
  }
  if (!read_command() || getcwd(folder, sizeof folder - 1) == NULL) _exit(1);
  folder_length = strlen(strcat(folder, "/"));
  /* Out of the way: the interpreter's own descriptors have the numbers that they always have. */
  gate = raised(GATE_FD);
  words = raised(WORDS_FD);
  area = environ[0];
  for (char **one = environ; *one != NULL && *one == area + area_bytes; one++)
    area_bytes += strlen(*one) + 1;
  unsetenv("LD_PRELOAD");
  size_t count = 0;
  while (environ[count] != NULL) count++;
  start = calloc(count + 1, sizeof *start);
  if (start == NULL) _exit(1);
  memcpy(start, environ, count * sizeof *start);
}

/* ---- the gate ---- */

/* What follows name= in a list like environ. */
static const char *value_in(char **list, const char *name) {
  size_t length = strlen(name);
  for (; *list != NULL; list++)
    if (strncmp(*list, name, length) == 0 && (*list)[length] == '=') return *list + length + 1;
  return NULL;
}

/* The environment that the words end with. */
static char **take_words(void) {
  struct stat about;
  if (fstat(words, &about) != 0 || about.st_size == 0) _exit(1);
  char *text = malloc((size_t)about.st_size + 1);
  if (text == NULL || pread(words, text, (size_t)about.st_size, 0) != about.st_size) _exit(1);
  char *end = text + about.st_size;
  *end = 0;
  size_t count = 0;
  for (char *at = text; at < end; at += strlen(at) + 1) count++;
  for (char **one = environ; *one != NULL; one++) count++; /* room for what was set since the start */
  char **list = calloc(count + 1, sizeof *list);
  if (list == NULL) _exit(1);
  size_t skipped = 1 + strtoul(text, NULL, 10), index = 0, used = 0;
  for (char *at = text; at < end; at += strlen(at) + 1)
    if (index++ >= skipped) list[used++] = at;
  return list;
}

static bool would_start_alike(char **environment) {
  if (variables.incomplete || files.incomplete) return false;
  for (const char *name = variables.bytes; *name != 0; name += strlen(name) + 1) {
    const char *was = value_in(start, name), *is = value_in(environment, name);
    if ((was == NULL) != (is == NULL) || (was != NULL && strcmp(was, is) != 0)) return false;
  }
  for (const char *name = files.bytes; *name != 0; name += strlen(name) + 1)
    if (faccessat(AT_FDCWD, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) return false;
  return true;
}

/* Whether Ruby would have found nothing for itself in a `#!` line. It also counts that line among
   those that were read, which shows in $. and DATA.lineno. */
static bool begins_plainly(int file) {
  static char text[SHEBANG_BYTES_MAX + 1];
  ssize_t length = pread(file, text, SHEBANG_BYTES_MAX, 0);
  if (length < 0) return false;
  if (length < 2 || memcmp(text, "#!", 2) != 0) return true;
  text[length] = 0;
  char *rest = strchr(text, '\n');
  if (rest == NULL || length == SHEBANG_BYTES_MAX) return false;
  *rest++ = 0;
  if (strstr(rest, "$.") != NULL || strstr(rest, "lineno") != NULL) return false;
  return strstr(text, "ruby") != NULL && strstr(text, " -") == NULL && strchr(text, '\r') == NULL;
}

static _Noreturn void execute_anew(char **environment) {
  struct sigaction normal = {.sa_handler = SIG_DFL};
  for (int signal = 1; signal <= 64; signal++) sigaction(signal, &normal, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  const char *temporary = value_in(environ, "R_SESSION_TMPDIR"); /* which R makes as it starts */
  if (temporary != NULL) rmdir(temporary);
  syscall(SYS_close_range, 3u, ~0u, 0u);
  execve(arguments[0], arguments, environment);
  _exit(127);
}

static bool is_among(char **list, const char *entry) {
  for (; *list != NULL; list++)
    if (strcmp(*list, entry) == 0) return true;
  return false;
}

/* What the interpreter has set since its start; it would set it in the program's environment too. */
static char **settings(void) {
  size_t count = 0, used = 0;
  while (environ[count] != NULL) count++;
  char **list = calloc(count + 1, sizeof *list);
  if (list == NULL) _exit(1);
  for (char **one = environ; *one != NULL; one++)
    if (!is_among(start, *one)) list[used++] = *one;
  return list;
}

/* Into a list that has room for them. */
static void add_settings(char **environment, char **settings) {
  for (; *settings != NULL; settings++) {
    const char *end = strchr(*settings, '=');
    size_t length = end == NULL ? 0 : (size_t)(end - *settings) + 1;
    char **place = environment;
    while (*place != NULL && strncmp(*place, *settings, length) != 0) place++;
    if (length > 0) *place = *settings;
  }
}

/* As much as there is room for of what /proc/self/environ would show. */
static void show_environment(char **environment) {
  memset(area, 0, area_bytes);
  size_t used = 0;
  for (char **one = environment; *one != NULL; one++) {
    size_t length = strlen(*one) + 1;
    if (length > area_bytes - used) continue;
    memcpy(area + used, *one, length);
    used += length;
  }
}

/* A program without input has none to wait for, and not a file of no length. */
static void settle_input(void) {
  struct stat about;
  if (fstat(0, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size > 0) return;
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0) return;
  dup2(null, 0);
  close(null);
}

/* The program in the placeholder's stead, but for its first byte. Without any it is an empty line. */
static void replace_placeholder(int file) {
  if (read(file, first_byte, 1) != 1) *first_byte = '\n';
  dup3(file, placeholder, O_CLOEXEC);
  close(file);
  placeholder = -1;
}

static void wait_at_gate(void) {
  int error = errno;
  char byte;
  ssize_t n;
  passed = true;
  if (write(gate, "h", 1) != 1) _exit(1);
  while ((n = read(gate, &byte, 1)) < 0 && errno == EINTR) continue;
  if (n != 1) _exit(1);
  char **environment = take_words();
  close(gate);
  close(words);
  settle_input();
  if (!would_start_alike(environment)) execute_anew(environment);
  if (placeholder >= 0) {
    int file = open(program, O_RDONLY | O_CLOEXEC);
    if (file < 0 || first_byte == NULL || !begins_plainly(file)) execute_anew(environment);
    replace_placeholder(file);
  }
  if (late >= 0) {
    int file = open(program, O_RDONLY | O_CLOEXEC);
    if (file < 0 || dup2(file, late) < 0) execute_anew(environment);
    close(file);
  }
  char **set = settings();
  show_environment(environment); /* over what the start's list points to */
  add_settings(environment, set);
  environ = environment;
  errno = error;
}

/* ---- what the interpreter calls ---- */

static bool is_program(const char *path) {
  if (strncmp(path, folder, folder_length) == 0) path += folder_length;
  return strcmp(path, program) == 0;
}

static bool reads_late(void) {
  const char *version = dlsym(RTLD_DEFAULT, "ruby_version");
  return version != NULL && strncmp(version, "3.", 2) == 0 && atoi(version + 2) < 4;
}

/* Answers the placeholder where it is to be had in place of the path's file, else -1. */
static int before_open(const char *path) {
  if (passed || placeholder >= 0 || program == NULL || !is_program(path)) return -1;
  if (reads_late()) return placeholder = memfd_create("program", MFD_CLOEXEC);
  wait_at_gate();
  return -1;
}

static ssize_t read_late(void *cookie, char *into, size_t size) {
  (void)cookie;
  if (!passed) wait_at_gate();
  return REAL(read)(late, into, size);
}

/* A stream on the program that waits before there is one, where it is to be had, else NULL. It has a
   descriptor, as the file's would be: what the program starts has that too. */
static FILE *before_stream(const char *path) {
  if (passed || !reads_at_last || late >= 0 || program == NULL || !is_program(path)) return NULL;
  late = memfd_create("program", 0);
  const cookie_io_functions_t functions = {.read = read_late};
  return late < 0 ? NULL : fopencookie(NULL, "r", functions);
}

static void after_lookup(const char *path, bool found) {
  if (passed || found || folder_length == 0) return;
  if (path[0] == '/' && strncmp(path, folder, folder_length) != 0) return;
  int error = errno;
  note(&files, path);
  errno = error;
}

#define DEFINE_OPEN(name)                                             \
  EXPORTED int name(const char *path, int flags, ...) {               \
    mode_t mode = 0;                                                  \
    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) { \
      va_list more;                                                   \
      va_start(more, flags);                                          \
      mode = va_arg(more, mode_t);                                    \
      va_end(more);                                                   \
    }                                                                 \
    int fd = before_open(path);                                       \
    if (fd >= 0) return fd;                                           \
    fd = REAL(name)(path, flags, mode);                               \
    after_lookup(path, fd >= 0);                                      \
    return fd;                                                        \
  }
#define DEFINE_FOPEN(name)                                            \
  EXPORTED FILE *name(const char *path, const char *mode) {           \
    FILE *stream = before_stream(path);                               \
    if (stream != NULL) return stream;                                \
    before_open(path);                                                \
    FILE *file = REAL(name)(path, mode);                              \
    after_lookup(path, file != NULL);                                 \
    return file;                                                      \
  }

DEFINE_OPEN(open)
DEFINE_FOPEN(fopen)
#ifdef __GLIBC__
DEFINE_OPEN(open64)
DEFINE_FOPEN(fopen64)
/* What is compiled with _FORTIFY_SOURCE calls these where it makes no file. */
EXPORTED int __open_2(const char *path, int flags) { return open(path, flags); }
EXPORTED int __open64_2(const char *path, int flags) { return open64(path, flags); }
#endif

EXPORTED DIR *opendir(const char *path) {
  DIR *opened = REAL(opendir)(path);
  after_lookup(path, opened != NULL);
  return opened;
}

/* An older libc has it in the programs themselves. */
#ifndef __GLIBC__
#define STAT_IS_EXPORTED
#elif __GLIBC_PREREQ(2, 33)
#define STAT_IS_EXPORTED
#endif
#ifdef STAT_IS_EXPORTED
EXPORTED int stat(const char *restrict path, struct stat *restrict about) {
  int result = REAL(stat)(path, about);
  after_lookup(path, result == 0);
  return result;
}
#endif

EXPORTED char *getenv(const char *name) {
  if (!passed) note(&variables, name);
  return REAL(getenv)(name);
}

EXPORTED char *secure_getenv(const char *name) {
  if (!passed) note(&variables, name);
  return REAL(secure_getenv)(name);
}

EXPORTED ssize_t read(int fd, void *into, size_t size) {
  if (fd < 0 || fd != placeholder) return REAL(read)(fd, into, size);
  if (first_byte == NULL && size > 0) {
    first_byte = into;
    *first_byte = ' ';
    return 1;
  }
  /* A Ruby that reads in another way than those that are known. */
  first_byte = NULL;
  wait_at_gate();
  return -1;
}

/* 2 ns more for each call, also later: no other call has Ruby at that point. */
EXPORTED void *memchr(const void *text, int byte, size_t size) {
  if (placeholder >= 0 && text == first_byte && size == 1 && byte == '\n') wait_at_gate();
  return REAL(memchr)(text, byte, size);
}
