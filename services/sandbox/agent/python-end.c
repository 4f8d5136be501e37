/*
 * How an interpreter ends in a run: as it always does, with its threads, atexit, modules in their
 * order, what their objects do when they go. What shows nothing is left out, for it writes to most of
 * what the zygote shares with its forks, and so took 1.7 of a run's 4.0 ms, and with preloaded
 * packages far more:
 *   - modules that the zygote had loaded and the run has not changed are not taken apart: the handler
 *     of atexit that is the last to be called takes them out of sight;
 *   - when the run's own modules are gone and nothing that is left of its objects could do anything
 *     as it goes, the builtins are not put back, nor garbage looked for;
 *   - the interpreter itself is not taken apart, which comes after everything else.
 * The last two are seen by objects of ours that the interpreter lets go of at those moments; then the
 * process exits. Not after sys.exit(), whose code is the interpreter's to know.
 */
#include "python.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
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
  uint64_t version;
} *known;
static size_t known_count;
static bool versions_tell;

/* Up to Python 3.12 a dictionary has another version after each change, and no two have one version. */
static bool try_versions(void) {
  object *one = PyDict_New(), *name = PyLong_FromLong(0), *value = PyLong_FromLong(1);
  const struct dictionary *head = one;
  uint64_t versions[4] = {0, 0, 0, 0};
  if (one == NULL || name == NULL || value == NULL) return false;
  for (int i = 0; i < 4; i++) {
    if (i == 3 ? PyDict_DelItem(one, name) : PyDict_SetItem(one, name, i == 1 ? name : value)) return false;
    versions[i] = head->version;
    for (int before = 0; before < i; before++)
      if (versions[before] == versions[i]) return false;
  }
  return versions[0] != 0;
}

static void note_modules(void) {
  object *modules = PyImport_GetModuleDict(), *name, *module;
  ptrdiff_t at = 0;
  known = calloc((size_t)PyDict_Size(modules), sizeof *known);
  while (known != NULL && PyDict_Next(modules, &at, &name, &module)) {
    object *names = PyModule_GetDict(module);
    PyErr_Clear(); /* what is there in place of a module */
    if (names == NULL || names == PyEval_GetBuiltins()) continue;
    uint64_t version = ((const struct dictionary *)names)->version;
    known[known_count++] = (struct known){name, module, names, PyDict_Copy(names), version};
    Py_IncRef(name);
    Py_IncRef(module);
  }
}

static bool is_unchanged(const struct known *one) {
  object *name, *value, *name_before, *value_before;
  ptrdiff_t at = 0, at_before = 0;
  if (versions_tell && ((const struct dictionary *)one->names)->version == one->version) return true;
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

/* ---- what could do something as it goes ---- */

static object *get_objects, *get_debug;
static bool audited;

/* Who audits would be told of our looking. */
static int hear_of_auditor(const char *event, object *arguments, void *data) {
  (void)arguments, (void)data;
  if (strcmp(event, "sys.addaudithook") == 0) audited = true;
  return 0;
}

/* The interpreter holds its modules so, while it waits for them to go. */
static bool is_unheard(object *reference) {
  object *callback = PyObject_GetAttrString(reference, "__callback__");
  if (callback != NULL) Py_DecRef(callback);
  return callback == &_Py_NoneStruct;
}

static bool is_passive(object *one) {
  static const void *const types[] = {
      &PyDict_Type,       &PyList_Type,         &PyTuple_Type,        &PySet_Type,
      &PyFrozenSet_Type,  &PyFunction_Type,     &PyCell_Type,         &PyModule_Type,
      &PyCFunction_Type,  &PyMethod_Type,       &PyType_Type,         &PyProperty_Type,
      &PyStaticMethod_Type, &PyClassMethod_Type, &PyGetSetDescr_Type, &PyMemberDescr_Type,
      &PyMethodDescr_Type, &PyWrapperDescr_Type,
  };
  const struct dictionary *head = one; /* any object begins so */
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (head->type == types[i]) return true;
  return head->type == &_PyWeakref_RefType && is_unheard(one);
}

/*
 * Whatever has a finalizer, a file to close or somebody who wants to hear of its end is of another
 * type than these, and is tracked by the collector; what is frozen was the zygote's.
 */
static bool all_are_passive(void) {
  object *debug = PyObject_CallFunctionObjArgs(get_debug, NULL);
  object *all = debug != NULL && PyLong_AsLong(debug) == 0
                    ? PyObject_CallFunctionObjArgs(get_objects, NULL)
                    : NULL;
  ptrdiff_t count = all != NULL ? PyList_Size(all) : -1;
  bool passive = count >= 0;
  for (ptrdiff_t i = 0; passive && i < count; i++) passive = is_passive(PyList_GetItem(all, i));
  if (all != NULL) Py_DecRef(all);
  PyErr_Clear();
  return passive;
}

static void modules_are_gone(object *capsule) {
  (void)capsule;
  if (exit_status >= 0 && !audited && all_are_passive() && has_written()) leave();
}

/* ---- what is spared ---- */

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
    object *last = get_objects == NULL ? NULL : PyCapsule_New(streams_before, NULL, modules_are_gone);
    if (last != NULL) PyDict_SetItemString(modules, "syla", last);
    if (last != NULL) Py_DecRef(last);
  }
  Py_IncRef((object *)&_Py_NoneStruct);
  return (object *)&_Py_NoneStruct;
}

static bool knows_dictionaries(void) {
  object *bytes = PyObject_GetAttrString((object *)&PyDict_Type, "__basicsize__");
  return bytes != NULL && PyLong_AsLong(bytes) == sizeof(struct dictionary);
}

static void prepare_to_look(object *gc) {
  if (PySys_AddAuditHook == NULL || PySys_AddAuditHook(hear_of_auditor, NULL) != 0) return;
  get_debug = PyObject_GetAttrString(gc, "get_debug");
  if (get_debug != NULL) get_objects = PyObject_GetAttrString(gc, "get_objects");
}

/* The modules are kept: versions before 3.10 call the handlers of atexit and do not hold it. */
void prepare_end(object *atexit, object *gc) {
  if (knows_dictionaries()) {
    versions_tell = try_versions();
    note_modules();
  }
  prepare_to_look(gc);
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
