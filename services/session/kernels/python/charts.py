"""The numbers that a figure of matplotlib was drawn from, found in what is on its axes: lines, points, bars, slices or
boxes, when there is nothing but one of them. Anything else is a chart of unknown type, with its title."""
import re
import weakref

from matplotlib import collections, container, dates, lines, patches
from numpy.ma import masked

POINTS_MAX = 100000
boxes = weakref.WeakKeyDictionary()  # of axes: what `bxp` was given, and by which line that can be seen to be there
scalar = part("structure").scalar


def remember_boxes(axes_class):
    """What a box stands for cannot be told from its lines; so it is noted when they are drawn."""
    draw = axes_class.bxp

    def bxp(self, bxpstats, *rest, **options):
        given = list(bxpstats)
        drawn = draw(self, given, *rest, **options)
        boxes.setdefault(self, []).append((given, drawn["medians"]))
        return drawn

    bxp.__doc__, bxp.__wrapped__ = draw.__doc__, draw
    axes_class.bxp = bxp


def chart_of(figure):
    """None for a figure with nothing on it."""
    charts = [chart_of_axes(axes) for axes in figure.axes if axes.get_label() != "<colorbar>" and axes.has_data()]
    if len(charts) < 2:
        return charts[0] if charts else None
    title = getattr(figure, "_suptitle", None)
    return {"type": "superchart", "title": text_of(title and title.get_text()), "elements": charts}


def chart_of_axes(axes):
    kind, elements = elements_of(axes) if axes.name == "rectilinear" else ("unknown", [])
    chart = {"type": kind, "title": text_of(axes.get_title()), "elements": elements}
    if kind in ("line", "scatter", "bar", "box_and_whisker"):
        sides = [axes.xaxis, axes.yaxis]
        if is_lying(axes, kind):
            sides.reverse()
        for name, axis in zip("xy", sides):
            label = text_of(axis.get_label_text())
            unit = re.search(r"(?:\s\(|\[)([^)\]]+)[)\]]", label or "")
            chart[name + "_label"], chart[name + "_unit"] = label, unit and unit[1]
    if kind in ("line", "scatter"):
        for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
            labels = [label.get_text() for label in axis.get_majorticklabels()]
            chart[name + "_ticks"] = [*map(reader(axis), axis.get_majorticklocs())]
            chart[name + "_tick_labels"] = labels
            chart[name + "_scale"] = scale_of(axis)
    return chart


def text_of(text):
    return text or None


def elements_of(axes):
    """What is on axes, and what kind of chart that makes."""
    known = set()  # what belongs to error bars, which nothing is told of
    for one in axes.containers:
        bars = one if isinstance(one, container.ErrorbarContainer) else getattr(one, "errorbar", None)
        for piece in (bars and bars.lines[1:]) or ():
            known.update(piece)
    everything = (*axes.lines, *axes.collections, *axes.patches, *axes.images, *axes.tables)
    drawn = [one for one in everything if one not in known and is_data(axes, one)]
    bars = [one for one in axes.containers if isinstance(one, container.BarContainer)]
    boxed = [one for one in boxes.get(axes, ()) if one[1] and one[1][0] in drawn]
    if boxed:
        return "box_and_whisker", list(boxes_of(axes, *boxed[-1]))
    if all(isinstance(one, lines.Line2D) for one in drawn):
        return "line", [line_of(axes, one) for one in drawn]
    if all(isinstance(one, collections.PathCollection) for one in drawn):
        return "scatter", [scatter_of(axes, one) for one in drawn]
    if all(isinstance(one, patches.Wedge) for one in drawn):
        return "pie", [slice_of(one) for one in drawn]
    if bars and set(drawn) == {bar for one in bars for bar in one}:
        return "bar", [bar for one in bars for bar in bars_of(axes, one)]
    return "unknown", []


def is_data(axes, artist):
    """Whether it is drawn where numbers say, and not across the axes as `axhline` is."""
    return not isinstance(artist, lines.Line2D) or artist.get_transform() == axes.transData


def line_of(axes, line):
    own = line.get_xdata(orig=True)
    # pandas numbers the days, months and so on of a series from 1970.
    periods = [str(one) for one in own] if len(own) and type(own[0]).__name__ == "Period" else None
    points = points_of(axes, line.get_xydata())
    if periods is not None and len(periods) == len(points):
        points = [[period, y] for period, (_, y) in zip(periods, points)]
    return {"label": str(line.get_label()), "points": points}


def scatter_of(axes, collection):
    return {"label": str(collection.get_label()), "points": points_of(axes, collection.get_offsets())}


def points_of(axes, pairs):
    if len(pairs) > POINTS_MAX:
        raise ValueError("too many points")
    across, up = reader(axes.xaxis), reader(axes.yaxis)
    return [[None if x is masked else across(x), None if y is masked else up(y)] for x, y in pairs]


def slice_of(wedge):
    angle = round(abs(float(wedge.theta2) - float(wedge.theta1)), 4)
    return {"label": str(wedge.get_label()), "angle": angle, "radius": float(wedge.r)}


def bars_of(axes, bars):
    across = axes.yaxis if bars.orientation == "horizontal" else axes.xaxis
    named = names_on(across)
    for bar in bars:
        if across is axes.yaxis:
            middle, value = bar.get_y() + bar.get_height() / 2, bar.get_width()
        else:
            middle, value = bar.get_x() + bar.get_width() / 2, bar.get_height()
        label = label_at(across, named, middle)
        yield {"label": label, "value": scalar(float(value)), "group": str(bars.get_label())}


def names_on(axis):
    """The labels of ticks by their places, where somebody has given them."""
    if type(axis.get_major_locator()).__name__ not in ("FixedLocator", "StrCategoryLocator"):
        return {}
    return dict(zip(axis.get_majorticklocs(), (label.get_text() for label in axis.get_majorticklabels())))


def label_at(axis, named, middle):
    """The name of the nearest tick: bars of a group stand beside it. Where none is, the place."""
    near = min(named, key=lambda at: abs(at - middle), default=None)
    if near is not None and abs(near - middle) <= 0.5:
        return named[near]
    at = reader(axis)(middle)
    return "%g" % at if isinstance(at, float) else str(at)


def boxes_of(axes, all_stats, medians):
    across = axes.yaxis if is_lying(axes, "box_and_whisker") else axes.xaxis
    named = names_on(across)
    numbers = {"min": "whislo", "first_quartile": "q1", "median": "med", "third_quartile": "q3", "max": "whishi"}
    for stats, median in zip(all_stats, medians):
        places = median.get_ydata() if across is axes.yaxis else median.get_xdata()
        told = {"label": label_at(across, named, sum(places) / len(places))}
        told.update((name, scalar(float(stats[own]))) for name, own in numbers.items())
        told["outliers"] = [scalar(float(one)) for one in stats.get("fliers", ())]
        yield told


def is_lying(axes, kind):
    """Whether its values are told on the horizontal axis."""
    if kind == "bar":
        return any(getattr(one, "orientation", "") == "horizontal" for one in axes.containers)
    if kind != "box_and_whisker":
        return False
    _, medians = boxes[axes][-1]
    across = medians[0].get_xdata()
    return across[0] == across[-1]


def scale_of(axis):
    converter = axis.get_converter() if hasattr(axis, "get_converter") else axis.converter
    name = type(converter).__name__
    if name == "StrCategoryConverter":
        return "categorical"
    return "datetime" if "Date" in name or "Period" in name else axis.get_scale()


def reader(axis):
    """What a place on an axis stands for: a number, a moment or a name."""
    scale = scale_of(axis)
    if scale == "datetime" and not hasattr(axis, "freq"):
        return lambda at: None if at != at else dates.num2date(at).replace(tzinfo=None).isoformat()
    if scale == "categorical":
        names = {at: name for name, at in axis.units._mapping.items()}
        return lambda at: names.get(float(at), None if at != at else "%g" % at)
    return lambda at: scalar(float(at))
