"""What a value is to a program that does not look at it: a table as its columns, a list or a dictionary as JSON, and a
figure as the numbers that it was drawn from. Made for those sessions alone that ask for it, by SYLA_FORMS."""

FORM_MAX = 1 << 22
CELLS_MAX = 200000

JSON_MIME = "application/json"
TABLE_MIME = "application/vnd.syla.table+json"
CHART_MIME = "application/vnd.syla.chart+json"


def add_forms(value, wanted, forms):
    """Adds those that a value has; what cannot be told is left out, and so is what is too long."""
    for name, (mime, make) in FORMS.items():
        if name not in wanted or mime in forms:
            continue
        try:
            made = make(value)
            text = None if made is None else json.dumps(made, allow_nan=False)
        except Exception:
            continue
        if text is not None and len(text) <= FORM_MAX:
            forms[mime] = text


def as_json(value):
    return value if type(value) in (dict, list) else None


def as_table(value):
    """A pandas or polars frame: a list for each column."""
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        columns = ((name, value.iloc[:, at].tolist()) for at, name in enumerate(value.columns))
    elif polars is not None and isinstance(value, polars.DataFrame):
        columns = ((column.name, column.to_list()) for column in value.get_columns())
    else:
        return None
    if value.shape[0] * value.shape[1] > CELLS_MAX:
        return None
    return {str(name): [scalar(one) for one in column] for name, column in columns}


def scalar(value):
    """As JSON has it; times as ISO 8601, and what is not there as null."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if abs(value) != float("inf") and value == value else None
    if hasattr(value, "isoformat"):
        return value.isoformat() if value == value else None
    if isinstance(value, (list, tuple)):
        return [scalar(one) for one in value]
    if isinstance(value, dict):
        return {str(key): scalar(one) for key, one in value.items()}
    if hasattr(value, "item") and not getattr(value, "shape", ()):
        return scalar(value.item())
    text = str(value)
    return None if text in ("<NA>", "NaT") else text


def as_chart(value):
    return part("charts").chart_of(value) if part("figures").is_figure(value) else None


FORMS = {
    "json": (JSON_MIME, as_json),
    "table": (TABLE_MIME, as_table),
    "chart": (CHART_MIME, as_chart),
}
