"""What programs use of IPython, where there is none: its display functions and the classes that say a form."""

MODULES = (
    "IPython",
    "IPython.display",
    "IPython.core",
    "IPython.core.display",
    "IPython.core.getipython",
    "IPython.core.pylabtools",  # matplotlib asks it for windows, as soon as somebody has imported IPython
)


class Form:
    """Content in one form, given as text, bytes, or by a file's or a page's name."""

    mime = "text/plain"

    def __init__(self, data=None, url=None, filename=None, metadata=None, **options):
        if filename is not None:
            with open(filename, "rb") as file:
                data = file.read()
        elif url is not None and not self.by_address:
            import urllib.request

            with urllib.request.urlopen(url) as response:
                data = response.read()
        if isinstance(data, bytes) and self.mime not in BINARY:
            data = data.decode()
        self.data, self.url, self.filename = data, url, filename
        self.metadata, self.options = metadata or {}, options

    by_address = False

    def _repr_mimebundle_(self, include=None, exclude=None):
        about = {self.mime: self.metadata} if self.metadata else {}
        return {self.mime: self.data, "text/plain": repr(self)}, about

    def __repr__(self):
        return "<IPython.core.display.%s object>" % type(self).__name__


def form(name, mime):
    return type(name, (Form,), {"mime": mime, "__module__": "IPython.core.display"})


class Image(Form):
    mime = "image/png"

    def __init__(self, data=None, url=None, filename=None, format=None, width=None, height=None, **options):
        if isinstance(data, str) and "/" in data and len(data) < 4096:
            data, filename = None, data
        if url is not None:
            data = "<img src=%r>" % url
        super().__init__(data, None, filename, **options)
        self.url, self.mime = url, "text/html" if url is not None else self.kind(format)
        self.metadata = {key: size for key, size in (("width", width), ("height", height)) if size}

    def kind(self, format):
        if format is None:
            data = self.data if isinstance(self.data, bytes) else b""
            format = "jpeg" if data[:2] == b"\xff\xd8" else "gif" if data[:3] == b"GIF" else "png"
        return "image/" + format.lower().replace("jpg", "jpeg")


class IFrame:
    def __init__(self, src, width, height, extras=None, **params):
        self.src, self.width, self.height, self.params = src, width, height, params

    def _repr_html_(self):
        return '<iframe width="%s" height="%s" src="%s" frameborder="0"></iframe>' % (
            self.width, self.height, self.src)


def made(module):
    """Gives a module of the shim what it has."""
    module.get_ipython = builtins.get_ipython
    module.backend2gui = {}
    module.version_info, module.__version__ = (8, 0, 0, ""), "8.0.0"
    module.display, module.clear_output, module.DisplayHandle = display, clear_output, DisplayHandle
    kinds = {
        "HTML": "text/html",
        "Markdown": "text/markdown",
        "Latex": "text/latex",
        "Math": "text/latex",
        "SVG": "image/svg+xml",
        "JSON": "application/json",
        "Javascript": "application/javascript",
        "Pretty": "text/plain",
        "TextDisplayObject": "text/plain",
    }
    for name, mime in kinds.items():
        setattr(module, name, form(name, mime))
    module.Math._repr_mimebundle_ = lambda self, include=None, exclude=None: {
        self.mime: "$\\displaystyle %s$" % self.data, "text/plain": repr(self)}
    module.DisplayObject, module.Image, module.IFrame = Form, Image, IFrame
    after_display(module)
    for name in kinds:
        mime = kinds[name]
        setattr(module, "display_" + name.lower(), lambda *values, raw=False, mime=mime, **_: [
            display({mime: value}, raw=True) if raw else display(value) for value in values] and None)


class Loader:
    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        made(module)
