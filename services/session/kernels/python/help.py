"""Answers about code: how it can go on, what a name is, and whether it is whole."""
import re

MATCHES_MAX = 500
NAME = re.compile(r"[\w.]+$")


def answer(command):
    if command["do"] == "complete":
        return complete(command["code"], command["cursor"])
    if command["do"] == "inspect":
        return inspect(command["code"], command["cursor"])
    if command["do"] == "check":
        return check(command["code"])
    return {}


def complete(code, cursor):
    before = code[:cursor]
    name = NAME.search(before)
    word = name[0].rpartition(".")[2] if name else ""
    found = by_jedi(code, cursor)
    if found is None:
        found = by_name(name[0]) if name else []
    return {"matches": found[:MATCHES_MAX], "start": len(before) - len(word), "end": len(before)}


def by_jedi(code, cursor):
    try:
        import jedi
    except ImportError:
        return None
    try:
        lines = code[:cursor].split("\n")
        found = jedi.Interpreter(code, [namespace]).complete(len(lines), len(lines[-1]))
        return [one.name for one in found]
    except Exception:
        return None


def by_name(name):
    import rlcompleter

    completer, found = rlcompleter.Completer(namespace), []
    prefix = name.rpartition(".")[0]
    for number in range(MATCHES_MAX):
        match = completer.complete(name, number)
        if match is None:
            break
        match = match[len(prefix) + 1 :] if prefix else match
        if match.rstrip("( ") not in found:
            found.append(match.rstrip("( "))
    return found


def inspect(code, cursor):
    start = re.search(r"[\w.]*$", code[:cursor])[0]
    end = re.match(r"\w*", code[cursor:])[0]
    name = (start + end).strip(".")
    if not name:  # inside a call's parentheses: what is called
        call = re.search(r"([\w.]+)\([^()]*$", code[:cursor])
        name = call[1] if call else ""
    text = described(name)
    return {"found": True, "forms": {"text/plain": text}} if text else {"found": False}


def described(name):
    import inspect as inspection

    if not name or not all(word.isidentifier() for word in name.split(".")):
        return None
    try:
        value = eval(name, namespace)
    except Exception:
        return None
    lines = []
    if callable(value):
        try:
            lines.append("Signature: %s%s" % (name, inspection.signature(value)))
        except (TypeError, ValueError):
            pass
    lines.append("Type: %s" % type(value).__name__)
    if not callable(value) and not isinstance(value, types.ModuleType):
        lines.append("Value: %s" % plain(value)[:1000])
    documentation = inspection.getdoc(value)
    if documentation:
        lines += ["Documentation:", documentation[:TEXT_MAX]]
    return "\n".join(lines)


def check(code):
    import codeop
    import warnings

    if code.lstrip().startswith("%%"):
        return {"verdict": "complete"}
    if any(mark in code for mark in "!%?"):
        code = part("magics").transform(code)
    compiler = codeop.Compile()
    compiler.flags |= AWAIT | state.flags
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = codeop._maybe_compile(compiler, code, "<check>", "exec")
    except (SyntaxError, ValueError, OverflowError):
        return {"verdict": "invalid"}
    last = code.rstrip().split("\n")[-1]
    indent = re.match(r"\s*", last)[0]
    block = last.rstrip().endswith(":")
    # A block goes on until a line that is empty or not indented.
    goes_on = block or (indent and not code.endswith("\n"))
    if whole is not None and not goes_on:
        return {"verdict": "complete"}
    return {"verdict": "incomplete", "indent": indent + ("    " if block else "")}
