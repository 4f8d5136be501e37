"""What cells show: the forms of a value, and display()."""

METHODS = (
    ("text/html", "_repr_html_"),
    ("text/markdown", "_repr_markdown_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"),
    ("application/pdf", "_repr_pdf_"),
    ("text/latex", "_repr_latex_"),
    ("application/json", "_repr_json_"),
    ("application/javascript", "_repr_javascript_"),
)
BINARY = ("image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf")


def packed(mime, data):
    """A form as it is sent."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        import binascii

        return {"base64": binascii.b2a_base64(data, newline=False).decode()}
    if mime in BINARY and isinstance(data, str):
        return {"base64": data}
    return data if isinstance(data, str) else json.dumps(data, default=str)


def plain(value):
    text = repr(value)
    if len(text) > 79 and type(value) in (dict, list, tuple, set) and len(text) < TEXT_MAX:
        import pprint

        text = pprint.pformat(value, sort_dicts=False)
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + " (and %d more)" % (len(text) - TEXT_MAX)


def method_of(value, name):
    """What a library gives for this purpose; a class has it for its instances."""
    if isinstance(value, type):
        return None
    try:
        found = getattr(value, name, None)
        odd = callable(getattr(value, "_ipython_canary_method_should_not_exist_", None))
        return found if callable(found) and not odd else None
    except Exception:
        return None


def forms_of(value):
    """The forms of a value, and what is said of them."""
    forms, metadata = {}, {}

    def add(mime, data):
        if isinstance(data, tuple) and len(data) == 2 and isinstance(data[1], dict):
            data, about = data
            if about:
                metadata[mime] = about
        if data is not None:
            forms[str(mime)] = packed(mime, data)

    for known, make in formatters:
        if known(value):
            for mime, data in make(value).items():
                add(mime, data)
    bundle = method_of(value, "_repr_mimebundle_")
    if bundle is not None:
        try:
            made = bundle(include=None, exclude=None)
            if isinstance(made, tuple):
                made, about = made
                metadata.update(about)
            for mime, data in (made or {}).items():
                add(mime, data)
        except Exception:
            pass
    for mime, name in METHODS:
        method = None if mime in forms else method_of(value, name)
        if method is None:
            continue
        try:
            add(mime, method())
        except Exception:
            pass
    if "text/plain" not in forms:
        forms["text/plain"] = plain(value)
    wanted = wanted_forms()
    if wanted:
        part("structure").add_forms(value, wanted, forms)
    return forms, metadata


def wanted_forms():
    """Those for programs, which cost time and room, and which nobody looks at."""
    return os.environ.get("SYLA_FORMS", "").replace(",", " ").split()


formatters = []  # pairs of functions: whether a value is known, and its forms


def say_forms(forms, metadata=None, display_id=None, update=False, is_main=False):
    flush()
    word = {"say": "update" if update else "result", "forms": forms, "main": is_main}
    if metadata:
        word["metadata"] = metadata
    if display_id:
        word["displayId"] = str(display_id)
    say(word)
    if not is_main and not state.child:
        wait_heard()


def show(value, **options):
    own = method_of(value, "_ipython_display_")
    if own is not None:
        own()
        return
    forms, metadata = forms_of(value)
    metadata.update(options.pop("metadata", None) or {})
    say_forms(forms, metadata, **options)


class DisplayHandle:
    """What was shown under a name, and can be shown anew."""

    def __init__(self, display_id):
        self.display_id = display_id

    def display(self, value, **options):
        display(value, display_id=self.display_id, **options)

    def update(self, value, **options):
        display(value, display_id=self.display_id, update=True, **options)


def display(*values, metadata=None, display_id=None, raw=False, clear=False, update=False, **_):
    """Shows values, each in all the forms that it has; with `raw`, dicts of forms by media type. With `display_id`
    it answers a handle, by which something else can be shown in the place."""
    if clear:
        clear_output(wait=True)
    if display_id is True:
        state.displays += 1
        display_id = "display-%d-%d" % (os.getpid(), state.displays)
    options = {"metadata": metadata, "display_id": display_id, "update": update}
    for value in values:
        if raw or (type(value) is dict and value and all(is_mime(key) for key in value)):
            forms = {str(mime): packed(mime, data) for mime, data in value.items()}
            say_forms(forms, metadata, display_id, update)
        else:
            show(value, **options)
    return DisplayHandle(display_id) if display_id and not update else None


def is_mime(key):
    return isinstance(key, str) and key.count("/") == 1 and key.split("/")[0] in (
        "text", "image", "application", "audio", "video", "model")


def clear_output(wait=False):
    """Clears what this cell has shown so far; with `wait`, not before there is something else."""
    flush()
    say({"say": "clear", "wait": bool(wait)})
    wait_heard()
