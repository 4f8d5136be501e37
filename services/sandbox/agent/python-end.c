/*
 * How an interpreter ends in a run: as it always does, with its threads, atexit, modules in their
 * order, what their objects do when they go. What shows nothing is left out, for it writes to most of
 * what the zygote shares with its forks, and so took 1.7 of a run's 4.0 ms, and with preloaded
 * packages far more:
 *   - modules that the zygote had loaded and the run has not changed are not taken apart: the handler
 *     of atexit that is the last to be called takes them out of sight;
 *   - the interpreter itself is not, which comes after everything else: when it lets go of an object
 *     of ours, the process exits. Not after sys.exit(), whose code is the interpreter's to know.
 */
#include "python.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { METHOD_NO_ARGUMENTS = 4 };

/* CPython's PyDictObject (dictobject.h); where a dictionary has another size, nothing is spared. */
struct dictionary {
  ptrdiff_t references;
  void *type;
  ptrdiff_t used;
  uint64_t version;
  void *keys, *values;
};

static struct known {
  object *name, *module, *names, *before;
} *known;
static size_t known_count;

static void note_modules(void) {
  object *modules = PyImport_GetModuleDict(), *name, *module;
  ptrdiff_t at = 0;
  known = calloc((size_t)PyDict_Size(modules), sizeof *known);
  while (known != NULL && PyDict_Next(modules, &at, &name, &module)) {
    object *names = PyModule_GetDict(module);
    PyErr_Clear(); /* what is there in place of a module */
    if (names == NULL || names == PyEval_GetBuiltins()) continue;
    known[known_count++] = (struct known){name, module, names, PyDict_Copy(names)};
    Py_IncRef(name);
    Py_IncRef(module);
  }
}

static bool is_unchanged(const struct known *one) {
  object *name, *value, *name_before, *value_before;
  ptrdiff_t at = 0, at_before = 0;
  if (PyDict_Size(one->names) != PyDict_Size(one->before)) return false;
  while (PyDict_Next(one->names, &at, &name, &value))
    if (!PyDict_Next(one->before, &at_before, &name_before, &value_before) ||
        name != name_before || value != value_before)
      return false;
  return true;
}

static int exit_status = -1; /* -1: it is not known, or may yet change */
static bool by_interrupt;
static object *streams_before[2];

/* What cannot be written by now changes the status. */
static bool has_written(void) {
  const char *const names[2] = {"stdout", "stderr"};
  for (int i = 0; i < 2; i++) {
    if (PySys_GetObject(names[i]) != streams_before[i]) return false;
    if (PyObject_CallMethod(streams_before[i], "flush", NULL) == NULL) {
      PyErr_Clear();
      return false;
    }
  }
  return true;
}

static _Noreturn void leave(void) {
  if (by_interrupt) {
    signal(SIGINT, SIG_DFL);
    kill(getpid(), SIGINT);
  }
  exit(exit_status);
}

static void nothing_is_left(object *capsule) {
  (void)capsule;
  if (exit_status >= 0) leave();
}

_Noreturn void end_python(int status) {
  /* Of what ended the program, Ctrl-C is to be seen by whoever waits for it. */
  by_interrupt = status != 0 && PySys_GetObject("last_type") == PyExc_KeyboardInterrupt;
  exit_status = status;
  int flushed = Py_FinalizeEx();
  exit_status = flushed < 0 ? 120 : status;
  leave();
}

static bool is_spared(object *name, object *module) {
  for (size_t i = 0; i < known_count; i++)
    if (known[i].name == name && known[i].module == module) return is_unchanged(&known[i]);
  return false;
}

/*
 * The dictionary of modules becomes one of those that are not spared. It takes that one's content and
 * gives its own to it, and what is spared in there is never let go of: to take it out of its own one by
 * one would count down the references of each, in as many pages.
 */
static object *spare_modules(object *self, object *arguments) {
  (void)self, (void)arguments;
  if (!has_written()) exit_status = -1;
  object *modules = PyImport_GetModuleDict(), *others = PyDict_New(), *name, *module;
  bool whole = others != NULL;
  ptrdiff_t at = 0;
  while (whole && PyDict_Next(modules, &at, &name, &module))
    if (!is_spared(name, module)) whole = PyDict_SetItem(others, name, module) == 0;
  if (whole) {
    struct dictionary *to = modules, *from = others, before = *to;
    to->used = from->used;
    to->keys = from->keys;
    to->values = from->values;
    from->used = before.used;
    from->keys = before.keys;
    from->values = before.values;
    for (at = 0; PyDict_Next(modules, &at, &name, &module);) PyDict_DelItem(others, name);
  }
  Py_IncRef((object *)&_Py_NoneStruct);
  return (object *)&_Py_NoneStruct;
}

static bool knows_dictionaries(void) {
  object *bytes = PyObject_GetAttrString((object *)&PyDict_Type, "__basicsize__");
  return bytes != NULL && PyLong_AsLong(bytes) == sizeof(struct dictionary);
}

/* The module is kept: versions before 3.10 call its handlers and do not hold it. */
void prepare_end(object *atexit) {
  if (knows_dictionaries()) note_modules();
  object *capsule = PyCapsule_New(streams_before, NULL, nothing_is_left);
  PyDict_SetItemString(PyInterpreterState_GetDict(PyInterpreterState_Main()), "syla", capsule);
  Py_DecRef(capsule);
  streams_before[0] = PySys_GetObject("stdout");
  streams_before[1] = PySys_GetObject("stderr");
  static const struct {
    const char *name;
    object *(*function)(object *, object *);
    int flags;
    const char *documentation;
  } definition = {"spare_modules", spare_modules, METHOD_NO_ARGUMENTS, NULL};
  object *add = PyObject_GetAttrString(atexit, "register");
  object *handler = PyCFunction_NewEx(&definition, NULL, NULL);
  if (add == NULL || handler == NULL) PyErr_Clear();
  else PyObject_CallFunctionObjArgs(add, handler, NULL);
}
