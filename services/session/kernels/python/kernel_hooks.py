"""What looks at what cells import, and what stands for standard input."""


class Finder:
    """Looks at what is imported: libraries that are made to show things here, and a small IPython where there is
    none."""

    def __init__(self):
        self.busy = set()

    def find_spec(self, name, path=None, target=None):
        if name not in after_import or name in self.busy:
            return None
        self.busy.add(name)
        try:
            spec = sys.modules["_frozen_importlib"]._find_spec(name, path)
        finally:
            self.busy.discard(name)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                after_import[name](module)

            spec.loader.exec_module = exec_module
        return spec


class Shim:
    """The last to be asked."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] != "IPython" or name not in part("shim").MODULES:
            return None
        machinery = sys.modules["_frozen_importlib"]
        return machinery.ModuleSpec(name, part("shim").Loader, is_package=name in ("IPython", "IPython.core"))


def after_linecache(module):
    module.cache.update(sources)


def after_getpass(module):
    module.getpass = module.unix_getpass = lambda prompt="Password: ", stream=None: ask(prompt, True)


def after_display(module):
    for own in (display, clear_output):
        setattr(module, own.__name__, own)
    module.update_display = lambda value, *, display_id, **rest: display(
        value, display_id=display_id, update=True, **rest)
    module.publish_display_data = lambda data, metadata=None, *_, transient=None, **rest: say_forms(
        {mime: packed(mime, form) for mime, form in data.items()},
        metadata, (transient or {}).get("display_id"), bool(rest.get("update")))


after_import = {
    "linecache": after_linecache,
    "getpass": after_getpass,
    "IPython.core.display_functions": after_display,
    "matplotlib.pyplot": lambda module: part("figures").after_pyplot(module),
    "plotly.io": lambda module: part("figures").after_plotly(module),
}


class Input:
    """Standard input, as far as there is somebody to answer."""

    encoding, errors, closed, name, mode = "utf-8", "strict", False, "<stdin>", "r"

    def readline(self, size=-1):
        try:
            return ask("") + "\n"
        except EOFError:
            return ""

    def read(self, size=-1):
        return "".join(self)

    def readlines(self, hint=-1):
        return list(self)

    def __iter__(self):
        return iter(self.readline, "")

    def fileno(self):
        return 0

    def isatty(self):
        return False

    readable = lambda self: True
    writable = seekable = lambda self: False
    close = flush = lambda self: None
