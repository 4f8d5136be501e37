"""The lines that are no Python but that notebooks use: `!command`, `%name` and `%%name`. They become calls of `shell`,
which cells have as `get_ipython()`."""
import re
import subprocess

LINE = re.compile(r"^(\s*)((?:[\w.,\s\[\]()]+=\s*)?)([!%])(.+)$")
HELP = re.compile(r"^(\s*)([\w.]+)(\?\??)\s*$")
HIDDEN = ("matplotlib", "config", "load_ext", "reload_ext", "autoreload", "autosave", "colors", "precision")


def transform(code):
    """The same with every such line as a call."""
    return "\n".join(transform_line(line) for line in code.split("\n"))


def transform_line(line):
    asked = HELP.match(line)
    if asked:
        return "%sget_ipython().help(%r)" % (asked[1], asked[2])
    match = LINE.match(line)
    if not match:
        return line
    indent, target, mark, rest = match.groups()
    if mark == "!":
        if target:
            return "%s%sget_ipython().getoutput(%r)" % (indent, target, rest.lstrip("!"))
        return "%sget_ipython().system(%r)" % (indent, rest.lstrip("!"))
    name, _, argument = rest.partition(" ")
    if not name.isidentifier():
        return line
    return "%s%sget_ipython().run_line_magic(%r, %r)" % (indent, target, name, argument.strip())


def transform_cell(code):
    first, _, body = code.lstrip().partition("\n")
    name, _, argument = first[2:].partition(" ")
    return "get_ipython().run_cell_magic(%r, %r, %r)" % (name, argument.strip(), body)


def expanded(command):
    """What is between braces is an expression of the cell's, if it is one."""

    def value(match):
        try:
            return str(eval(match[1], namespace))
        except Exception:
            return match[0]

    return re.sub(r"\{([^{}]+)\}", value, command)


class UsageError(Exception):
    """There is no such magic here."""


class Events:
    """What libraries want called at the end of each cell. Of what IPython has there, those that need no more than
    that; matplotlib asks for one of them."""

    names = ("post_execute", "post_run_cell")

    def __init__(self):
        self.known = []
        finishers.append(self.finish)

    def register(self, event, function):
        if event not in self.names:
            raise UsageError("There is no event %s here." % event)
        if function not in self.known:
            self.known.append(function)

    def unregister(self, event, function):
        self.known.remove(function)

    def finish(self):
        for function in self.known:
            function()


class Shell:
    """A few things of what IPython's shell has."""

    user_ns = namespace

    def __init__(self):
        self.events = Events()

    def system(self, command):
        flush()
        status = subprocess.run(["/bin/bash", "-c", expanded(command)], stdin=subprocess.DEVNULL)
        builtins._exit_code = status.returncode

    def getoutput(self, command):
        flush()
        done = subprocess.run(
            ["/bin/bash", "-c", expanded(command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        return done.stdout.decode(errors="replace").splitlines()

    def help(self, name):
        print(part("help").described(name) or "Nothing is known of %s." % name)

    def run_line_magic(self, name, argument, _stack_depth=1):
        if name in HIDDEN:
            return self.configure(name, argument)
        found = getattr(self, "line_" + name, None)
        if found is None:
            raise UsageError("There is no %%%s here." % name)
        return found(expanded(argument) if name in ("pip", "cd", "ls", "cat", "mkdir", "sh") else argument)

    def run_cell_magic(self, name, argument, body):
        found = getattr(self, "cell_" + name, None)
        if found is None:
            raise UsageError("There is no %%%%%s here." % name)
        return found(argument, body)

    def configure(self, name, argument):
        figures = re.search(r"figure_formats?\s*=\s*(.+)", argument)
        if figures:
            kinds = re.findall(r"png|svg|pdf|retina", figures[1])
            os.environ["SYLA_FIGURES"] = ",".join(kinds).replace("retina", "png") or "png"

    def magic(self, text):
        name, _, argument = text.lstrip("%").partition(" ")
        return self.run_line_magic(name, argument)

    def line_pip(self, argument):
        """Where the user may write; what is installed can be imported at once."""
        words = argument.split()
        if words[:1] == ["install"] and sys.prefix == sys.base_prefix and not {"--user", "--target", "-t"} & set(words):
            words.insert(1, "--user")
        environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_BREAK_SYSTEM_PACKAGES="1")
        subprocess.run([sys.executable, "-m", "pip", *words], env=environment, stdin=subprocess.DEVNULL)
        import importlib
        import site

        folder = site.getusersitepackages()
        if os.path.isdir(folder) and folder not in sys.path:
            sys.path.append(folder)
        importlib.invalidate_caches()

    def line_cd(self, argument):
        os.chdir(os.path.expanduser(argument.strip("'\"") or "~"))
        print(os.getcwd())

    def line_pwd(self, _):
        return os.getcwd()

    def line_env(self, argument):
        name, equals, value = argument.partition("=")
        if equals:
            os.environ[name.strip()] = value.strip()
            return None
        return os.environ.get(argument) if argument else dict(os.environ)

    line_set_env = line_env

    def line_who(self, _):
        print("\t".join(name for name in namespace if not name.startswith("_")))

    def line_who_ls(self, _):
        return sorted(name for name in namespace if not name.startswith("_"))

    def line_time(self, argument):
        return self.timed(argument)

    def cell_time(self, _, body):
        return self.timed(body)

    def timed(self, code):
        import time

        wall, used = time.perf_counter(), time.process_time()
        try:
            run_cell(code, remembered(code))
        finally:
            print("CPU time: %s" % duration(time.process_time() - used))
            print("Wall time: %s" % duration(time.perf_counter() - wall))

    def line_timeit(self, argument):
        self.cell_timeit("", argument)

    def cell_timeit(self, setup, body):
        import timeit

        timer = timeit.Timer(body, setup or "pass", globals=namespace)
        count, _ = timer.autorange()
        times = [one / count for one in timer.repeat(7, count)]
        mean = sum(times) / len(times)
        spread = (sum((one - mean) ** 2 for one in times) / len(times)) ** 0.5
        told = (duration(mean), duration(spread), count)
        print("%s ± %s per loop (mean ± std. dev. of 7 runs, %d loops each)" % told)

    def cell_bash(self, argument, body):
        flush()
        done = subprocess.run(["/bin/bash", "-c", body, "bash", *argument.split()], stdin=subprocess.DEVNULL)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, "bash")

    cell_sh = cell_bash

    def cell_writefile(self, argument, body):
        words = argument.split()
        path = os.path.expanduser(words[-1])
        with open(path, "a" if "-a" in words else "w") as file:
            file.write(body)
        print("Wrote %s" % path)

    def cell_capture(self, argument, body):
        import contextlib
        import io

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run_cell(body, remembered(body))
        if argument:
            namespace[argument.split()[-1]] = types.SimpleNamespace(stdout=out.getvalue(), stderr=err.getvalue())

    def cell_html(self, _, body):
        display({"text/html": body}, raw=True)

    def cell_markdown(self, _, body):
        display({"text/markdown": body}, raw=True)

    def cell_latex(self, _, body):
        display({"text/latex": body}, raw=True)

    def cell_svg(self, _, body):
        display({"image/svg+xml": body}, raw=True)

    def cell_javascript(self, _, body):
        display({"application/javascript": body}, raw=True)


for command in ("ls", "cat", "mkdir", "rm", "cp", "mv", "sh", "sx"):
    def line(self, argument, command=command):
        self.system(argument if command in ("sh", "sx") else command + " " + argument)

    setattr(Shell, "line_" + command, line)


def remembered(code):
    name = "<cell %s, inside>" % state.cell
    remember(name, code)
    return name


def duration(seconds):
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return "%.3g %s" % (seconds / size, unit)
    return "%.3g ns" % (seconds / 1e-9)


shell = Shell()
