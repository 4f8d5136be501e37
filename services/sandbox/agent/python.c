/*
 * libsyla-zygote: what a Python interpreter loads to become a zygote (zygote.py is its Python half).
 *
 *     LD_PRELOAD=/zygote.so python3 /zygote [MODULE]...
 *
 * A run is to differ in nothing but its speed from `python3 FILE ARGS`, so the interpreter is
 * stopped where its main program has started it in full and opens the file to run: in the call of
 * fopen, which this library takes the place of. No Python code is being executed there, so that
 * nothing of ours lies below the program: not in a traceback, not in a frame, not in the depth of a
 * recursion. The zygote forks jails as zygote.c does and goes on only in a fork of a fork: in the
 * program's own process, inside its jail. The jail's agent in between, PID 1, is the interpreter's
 * memory too, but runs nothing of Python. An interpreter that opens its file in another way finds
 * none and ends; its runs are executed.
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
#include "python.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

typedef int64_t hash_function(const void *, ptrdiff_t);
#define SCRIPT "/zygote.py"
/* What the interpreter is told to run: no file, and as long as main.py, see rename_process(). */
#define TOLD "/zygote"
enum { FILE_INPUT = 257, SCRIPT_BYTES_MAX = 65536 };
/* Of an archive, what follows the list of its files: 22 bytes and a comment. */
enum { ARCHIVE_END_BYTES_MAX = 22 + 65535 };

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

/* ---- the interpreter ---- */

static object *script; /* the names in zygote.py */

/* fopen, whose place we have taken. */
static FILE *opened(const char *path, const char *mode) {
  static FILE *(*next)(const char *, const char *);
  if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, "fopen64");
  if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, "fopen");
  return next(path, mode);
}

static object *call(const char *name, object *first) {
  object *function = PyDict_GetItemString(script, name);
  return function == NULL ? NULL : PyObject_CallFunctionObjArgs(function, first, NULL);
}

/* fork() and not clone: libraries have handlers for it. */
static pid_t fork_python(void) {
  PyOS_BeforeFork();
  return fork();
}

static void enter_python(const struct program *p) {
  static struct program kept;
  kept = *p;
  program = &kept;
  longjmp(in_interpreter, 1);
}

/* Anew whenever it is a string that Python is to keep. */
static object *text(const char *bytes) {
  object *made = PyUnicode_DecodeFSDefault(bytes);
  if (made == NULL) abort();
  return made;
}

/* ---- a run ----
 *
 * What stands between the fork and the program's first line is in C as far as can be: in Python it
 * writes to what the zygote shares with its forks, and took 0.3 ms.
 */

static void take_environment(char **entries) {
  object *kept[2];
  for (int i = 0; i < 2; i++) {
    kept[i] = PyList_GetItem(PyDict_GetItemString(script, "environments"), i);
    PyDict_Clear(kept[i]);
  }
  for (; *entries != NULL; entries++) {
    const char *equals = strchr(*entries, '=');
    if (equals == NULL) equals = *entries + strlen(*entries);
    object *name = PyBytes_FromStringAndSize(*entries, equals - *entries);
    object *value = PyBytes_FromString(*equals == '=' ? equals + 1 : equals);
    if (name == NULL || value == NULL) abort();
    for (int i = 0; i < 2; i++) PyDict_SetItem(kept[i], name, value);
    Py_DecRef(name);
    Py_DecRef(value);
  }
}

static object *list_of(char **strings) {
  object *list = PyList_New(0);
  for (; list != NULL && *strings != NULL; strings++) {
    object *one = text(*strings);
    if (PyList_Append(list, one) != 0) abort();
    Py_DecRef(one);
  }
  return list;
}

static void set_system(const char *name, object *value) {
  if (value == NULL || PySys_SetObject(name, value) != 0) abort();
  Py_DecRef(value);
}

/* One that is not frozen: what a program leaves in it is found by its last collection. */
static void renew_main(void) {
  object *modules = PyImport_GetModuleDict(), *fresh = PyModule_New("__main__");
  object *before = PyDict_GetItemString(modules, "__main__");
  if (fresh == NULL || PyDict_Update(PyModule_GetDict(fresh), PyModule_GetDict(before)) != 0 ||
      PyDict_SetItemString(modules, "__main__", fresh) != 0)
    abort();
  Py_DecRef(fresh);
}

/* The path of the file to run, as the interpreter's main has it. */
static const char *take_arguments(char **argv) {
  static char absolute[PATH_MAX], resolved[PATH_MAX];
  if (PySys_GetObject("orig_argv") != NULL) set_system("orig_argv", list_of(argv)); /* from 3.10 */
  set_system("argv", list_of(argv + 1));
  const char *path = argv[1];
  /* Of a file that is not there nobody will see the folder. */
  if (realpath(path, resolved) == NULL) strcpy(resolved, "/");
  char *slash = strrchr(resolved, '/');
  slash[slash == resolved ? 1 : 0] = '\0';
  PyList_SetItem(PySys_GetObject("path"), 0, text(resolved));
  if (*path == '/' || PyDict_GetItemString(script, "main_is_absolute") != (object *)&_Py_TrueStruct ||
      getcwd(absolute, sizeof absolute) == NULL)
    return path;
  size_t length = strlen(absolute);
  const char *between = absolute[length - 1] == '/' ? "" : "/";
  int room = (int)(sizeof absolute - length);
  return snprintf(absolute + length, (size_t)room, "%s%s", between, path) < room ? absolute : path;
}

/* A folder, or an archive of what Python takes for one: told by its end. */
static bool may_be_packed(const char *path) {
  static char tail[ARCHIVE_END_BYTES_MAX];
  struct stat about;
  if (stat(path, &about) != 0) return false;
  if (!S_ISREG(about.st_mode)) return S_ISDIR(about.st_mode);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  off_t from = about.st_size > (off_t)sizeof tail ? about.st_size - (off_t)sizeof tail : 0;
  ssize_t length = pread(fd, tail, sizeof tail, from);
  close(fd);
  return length > 0 && memmem(tail, (size_t)length, "PK\5\6", 4) != NULL;
}

/* Answers the interpreter's exit code. */
static int run_path(const char *path) {
  object *name = text(path);
  object *run_packed = may_be_packed(path) ? call("packed", name) : NULL;
  if (run_packed != NULL && run_packed != (object *)&_Py_NoneStruct) {
    object *main_name = text("__main__"), *alter_argv = PyLong_FromLong(0);
    if (PyObject_CallFunctionObjArgs(run_packed, main_name, alter_argv, NULL) != NULL) return 0;
    PyErr_Print();
    return 1;
  }
  PyErr_Clear();
  PyDict_SetItem(PySys_GetObject("path_importer_cache"), name, (object *)&_Py_NoneStruct);
  Py_DecRef(name);
  FILE *file = opened(path, "rb");
  if (file == NULL) {
    int error = errno;
    fprintf(stderr, "%s: can't open file '%s': [Errno %d] %s\n", program->argv[0], path, error,
            strerror(error));
    return 2;
  }
  /* PyCompilerFlags: no flags, and a version that is asked for syntax trees only. */
  int flags[2] = {0, 0};
  return PyRun_AnyFileExFlags(file, path, 1, flags) != 0;
}

/* What the interpreter's main does from here on. */
static _Noreturn void run_program(void) {
  renew_hashes();
  rename_process(program->argv);
  PyOS_AfterFork_Child();
  environ = program->env;
  take_environment(program->env);
  if (PyList_Size(PyDict_GetItemString(script, "drawn")) > 0 && call("renew", NULL) == NULL) {
    PyErr_Print();
    exit(1);
  }
  renew_main();
  end_python(run_path(take_arguments(program->argv)));
}

/* ---- becoming a zygote ---- */

/* Told to the host's log. */
static void note(const char *stage, const char *message) {
  struct writer w = {.length = 0};
  write_u32(&w, 0);
  write_string(&w, stage);
  write_string(&w, message);
  out_frame(FRAME_ERROR, 0, &w);
}

static bool load_script(void) {
  static char text[SCRIPT_BYTES_MAX];
  FILE *file = opened(SCRIPT, "rb");
  if (file == NULL || fread(text, 1, sizeof text - 1, file) == 0) return false;
  fclose(file);
  object *code = Py_CompileString(text, SCRIPT, FILE_INPUT);
  script = PyDict_New();
  if (code == NULL || script == NULL) return false;
  PyDict_SetItemString(script, "__builtins__", PyEval_GetBuiltins());
  return PyEval_EvalCode(code, script, script) != NULL;
}

/* Returns in a run. */
static void serve_python(void) {
  static const struct interpreter python = {.fork = fork_python, .enter = enter_python};
  object *notes;
  if (!load_script() || (notes = call("prepare", NULL)) == NULL) {
    PyErr_Print();
    exit(1);
  }
  for (ptrdiff_t i = 0; i < PyList_Size(notes); i++)
    note("preload", PyBytes_AsString(PyList_GetItem(notes, i)));
  object *atexit = call("unseen", text("atexit")), *gc = call("unseen", text("gc"));
  if (atexit != NULL && gc != NULL) prepare_end(atexit, gc);
  call("freeze", NULL);
  /* What waits for us ends, and we are left with one thread: see zygote.c. */
  pid_t child = fork_python();
  if (child != 0) _exit(child < 0);
  PyOS_AfterFork_Child();
  interpreter = &python;
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (setjmp(in_interpreter) == 0) zygote_serve();
}

/* The interpreter's main is about to read its script. */
static FILE *opening(const char *path, const char *mode) {
  static bool seen;
  if (!seen && PyRun_AnyFileExFlags != NULL && strcmp(path, TOLD) == 0) {
    seen = true;
    if (hash_before == NULL) {
      fprintf(stderr, "hash seeds cannot be renewed\n");
      exit(1);
    }
    PyGILState_Ensure(); /* from 3.10 on the call is made without it */
    serve_python();
    run_program();
  }
  return opened(path, mode);
}

EXPORTED FILE *fopen(const char *path, const char *mode) { return opening(path, mode); }
EXPORTED FILE *fopen64(const char *path, const char *mode) { return opening(path, mode); }
