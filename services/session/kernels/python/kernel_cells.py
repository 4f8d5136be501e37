"""Cells: how one is run, and what is told of its error."""


def remember(name, code):
    """For tracebacks and `inspect`: what a cell's lines are."""
    lines = code.splitlines(True)
    sources[name] = (len(code), None, lines, name)
    if len(sources) > SOURCES_MAX:
        sources.pop(next(iter(sources)))
    cache = sys.modules.get("linecache")
    if cache is not None:
        cache.cache[name] = sources[name]


def parse(code, name):
    return compile(code, name, "exec", ONLY_AST | AWAIT | state.flags, True)


def parse_cell(code, name):
    if code.lstrip().startswith("%%"):
        return parse(part("magics").transform_cell(code), name), code
    try:
        return parse(code, name), code
    except SyntaxError:
        if not any(mark in code for mark in "!%?"):
            raise
        changed = part("magics").transform(code)
        if changed == code:
            raise
        return parse(changed, name), changed


def is_quiet(code, node):
    """Its value is not wanted: a semicolon follows."""
    line = code.split("\n")[node.end_lineno - 1].encode()
    return line[node.end_col_offset:].lstrip().startswith(b";")


def run_code(tree, name, mode="exec"):
    code = compile(tree, name, mode, AWAIT | state.flags, True)
    if "__future__" in code.co_names:
        import __future__

        for feature in __future__.all_feature_names:
            state.flags |= code.co_flags & getattr(__future__, feature).compiler_flag
    value = eval(code, namespace)
    return wait_for(value) if code.co_flags & COROUTINE else value


def wait_for(coroutine):
    """On the session's one loop; what else was started on it goes on too."""
    import asyncio

    if state.loop is None or state.loop.is_closed():
        state.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(state.loop)
    task = state.loop.create_task(coroutine)
    try:
        return state.loop.run_until_complete(task)
    except BaseException:
        if not task.done():
            task.cancel()
            state.loop.run_until_complete(asyncio.wait([task], timeout=1))
        raise


def run_cell(code, name):
    tree, code = parse_cell(code, name)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, _ast.Expr) or state.silent or is_quiet(code, last):
        run_code(tree, name)
        return
    if len(tree.body) > 1:
        tree.body.pop()
        run_code(tree, name)
    value = run_code(_ast.Expression(last.value), name, "eval")
    if value is not None:
        if state.counted:
            keep_value(value)
        show(value, is_main=True)


def keep_value(value):
    known = builtins.__dict__
    if len(Out) >= OUT_MAX:
        old = next(iter(Out))
        del Out[old]
        known.pop("_%d" % old, None)
    Out[state.count] = known["_%d" % state.count] = value
    known["___"], known["__"], known["_"] = known.get("__"), known.get("_"), value


In, Out = {}, {}


def describe(error):
    """An error in words, without what is ours on its way."""
    import traceback

    try:
        message = str(error)
    except BaseException:
        message = "(its text could not be made)"
    told = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
    without_kernel(told, set())
    lines = told.format() if told.stack or told.__cause__ or told.__context__ else told.format_exception_only()
    return {
        "say": "error",
        "name": type(error).__name__,
        "message": message[:65536],
        "traceback": "".join(lines).splitlines(),
    }


def without_kernel(told, seen):
    if told is None or id(told) in seen:
        return
    seen.add(id(told))
    told.stack[:] = [frame for frame in told.stack if frame.filename != "<kernel>"]
    for other in (told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())):
        without_kernel(other, seen)


def attempt(work):
    """Answers what was raised, or None."""
    try:
        call(work)
    except BaseException as error:
        return error
    return None


def tell_error(error):
    """Also of an error whose own methods fail."""
    told = {"say": "error", "name": type(error).__name__, "message": "", "traceback": []}
    attempt(lambda: told.update(describe(error)))
    if state.child:
        sys.stderr.write("\n".join(told["traceback"]) + "\n")
    say(told)


def leave_child(error):
    """A process that a cell forked has come to the cell's end: it is no interpreter of the session."""
    code = error.code if isinstance(error, SystemExit) else error and 1
    flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


def finish_cell():
    for finish in finishers:
        finish()
    flush()


def evaluate(label, source):
    """An expression after a cell, which changes nothing of how that ended."""
    word = {"say": "expression", "name": label}

    def work():
        word["forms"], word["metadata"] = forms_of(run_code(compile(
            source.strip(), "<expression>", "eval", ONLY_AST | AWAIT | state.flags, True), "<expression>", "eval"))

    error = attempt(work)
    if error is not None:
        word["error"] = {"name": type(error).__name__}
        attempt(lambda: word["error"].update(describe(error)))
    say(word)


def run(command):
    state.input, state.silent = command["input"], command["silent"]
    state.counted = not (state.silent or command["uncounted"])
    state.cell, state.pending = command["cell"], False
    state.word_max = command.get("max", state.word_max)
    word = {"say": "started", "cell": state.cell}
    code, given = command["code"], command.get("env")
    name = "<cell %d>" % state.cell
    if state.counted:
        state.count += 1
        word["count"] = state.count
        In[state.count] = code
        if len(In) > OUT_MAX:
            del In[next(iter(In))]
    say(word)
    before = {key: os.environ.get(key) for key in given or ()}
    os.environ.update(given or {})
    remember(name, code)
    error = attempt(lambda: run_cell(code, name))
    if error is not None and (not state.child or not isinstance(error, SystemExit)):
        tell_error(error)
    late = attempt(finish_cell)
    if state.child:
        leave_child(error)
    if late is not None and error is None:
        error = late
        tell_error(error)
    if error is None:
        for label, source in command.get("expressions", {}).items():
            evaluate(label, source)
    for key, value in before.items():
        os.environ.pop(key, None) if value is None else os.environ.update({key: value})
    outcome = "ok" if error is None else "interrupted" if isinstance(error, KeyboardInterrupt) else "error"
    flush()
    number, state.cell = state.cell, None
    sys.last_value = error
    say({"say": "ended", "cell": number, "outcome": outcome})


def answer(command):
    state.cell, state.pending, state.input = -1, False, False
    reply = {}
    attempt(lambda: reply.update(part("help").answer(command)))
    state.cell = None
    say(dict(reply, say="reply", to=command["id"]))
