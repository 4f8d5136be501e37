/* What the library that makes an interpreter a zygote is made of: python.c says how it works. */
#ifndef SYLA_PYTHON_H
#define SYLA_PYTHON_H

#include "agent.h"

#include <stdio.h>

/* Of CPython's API what is used here, the same from 3.8 on, and NULL in what is no Python. */
typedef void object; /* PyObject */
#define PYTHON extern __attribute__((weak))
PYTHON object *PyBytes_FromString(const char *);
PYTHON object *PyBytes_FromStringAndSize(const char *, ptrdiff_t);
PYTHON object *PyCFunction_NewEx(const void *, object *, object *);
PYTHON object *PyDict_Copy(object *);
PYTHON void PyDict_Clear(object *);
PYTHON int PyDict_DelItem(object *, object *);
PYTHON object *PyDict_GetItem(object *, object *);
PYTHON object *PyDict_GetItemString(object *, const char *);
PYTHON object *PyDict_New(void);
PYTHON int PyDict_Next(object *, ptrdiff_t *, object **, object **);
PYTHON ptrdiff_t PyDict_Size(object *);
PYTHON void PyErr_Clear(void);
PYTHON void PyErr_Print(void);
PYTHON object *PyEval_EvalCode(object *, object *, object *);
PYTHON object *PyEval_GetBuiltins(void);
PYTHON int PyDict_SetItem(object *, object *, object *);
PYTHON int PyDict_SetItemString(object *, const char *, object *);
PYTHON int PyDict_Update(object *, object *);
PYTHON object *PyCapsule_New(void *, const char *, void (*)(object *));
PYTHON int PyGILState_Ensure(void);
PYTHON object *PyImport_GetModuleDict(void);
PYTHON object *PyInterpreterState_GetDict(void *);
PYTHON void *PyInterpreterState_Main(void);
PYTHON int PyList_Append(object *, object *);
PYTHON object *PyList_New(ptrdiff_t);
PYTHON object *PyModule_GetDict(object *);
PYTHON object *PyModule_New(const char *);
PYTHON object *PyObject_CallFunctionObjArgs(object *, ...);
PYTHON object *PyObject_CallMethod(object *, const char *, const char *, ...);
PYTHON void Py_DecRef(object *);
PYTHON object *PyObject_GetAttrString(object *, const char *);
PYTHON object *PyList_GetItem(object *, ptrdiff_t);
PYTHON int PyList_SetItem(object *, ptrdiff_t, object *);
PYTHON ptrdiff_t PyList_Size(object *);
PYTHON long PyLong_AsLong(object *);
PYTHON object *PyLong_FromLong(long);
PYTHON object *PyUnicode_DecodeFSDefault(const char *);
PYTHON object *PySys_GetObject(const char *);
PYTHON int PySys_SetObject(const char *, object *);
PYTHON object *PyExc_KeyboardInterrupt;
PYTHON char _Py_NoneStruct, _Py_TrueStruct;
PYTHON char PyDict_Type, PyList_Type, PyTuple_Type, PySet_Type, PyFrozenSet_Type, PyFunction_Type,
    PyCell_Type, PyModule_Type, PyCFunction_Type, PyMethod_Type, PyType_Type, PyProperty_Type,
    PyStaticMethod_Type, PyClassMethod_Type, PyGetSetDescr_Type, PyMemberDescr_Type,
    PyMethodDescr_Type, PyWrapperDescr_Type, _PyWeakref_RefType;
PYTHON int PySys_AddAuditHook(int (*)(const char *, object *, void *), void *);
PYTHON void Py_IncRef(object *);
PYTHON char *PyBytes_AsString(object *);
PYTHON int PyRun_AnyFileExFlags(FILE *, const char *, int, void *);
PYTHON void PyOS_BeforeFork(void);
PYTHON void PyOS_AfterFork_Child(void);
PYTHON object *Py_CompileString(const char *, const char *, int);
PYTHON int Py_FinalizeEx(void);

/* ---- python-end.c ---- */

/* For all forks: what is known now needs no end of its own. Given the modules of these names. */
void prepare_end(object *atexit, object *gc);
/* Ends the interpreter, and with it the process, after the program's main has this status. */
_Noreturn void end_python(int status);

#endif
