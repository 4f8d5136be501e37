"""Figures of matplotlib and plotly, shown without being asked to."""


def after_pyplot(pyplot):
    pyplot.show = lambda *_, **__: show_figures()
    finishers.append(show_figures)
    formatters.append((is_figure, forms_of_figure))
    if "chart" in wanted_forms():
        part("charts").remember_boxes(pyplot.Axes)


def is_figure(value):
    base = sys.modules.get("matplotlib.figure")
    return base is not None and isinstance(value, base.Figure)


def forms_of_figure(figure):
    """One that is shown is not shown again at the end of its cell."""
    forms = drawn(figure)
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(figure)
    return forms


def drawn(figure):
    import io

    forms = {}
    wanted = os.environ.get("SYLA_FIGURES", "png").split(",")
    for kind, mime in (("png", "image/png"), ("svg", "image/svg+xml"), ("pdf", "application/pdf")):
        if kind not in wanted:
            continue
        file = io.BytesIO()
        figure.savefig(file, format=kind, bbox_inches="tight")
        forms[mime] = file.getvalue().decode() if kind == "svg" else file.getvalue()
    return forms


def show_figures():
    """All that are open, and closes them."""
    pyplot = sys.modules["matplotlib.pyplot"]
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        try:
            show(figure)
        finally:
            pyplot.close(figure)


def after_plotly(module):
    """Its renderers look for a notebook; here a figure's own forms are shown."""
    if hasattr(module, "renderers"):
        module.renderers.default = "plotly_mimetype"
