"""Which columns of a table of labels hold the files, the labels and the class names: as set, or as is evident."""

from vit.data.join import Index
from vit.data.tables import Line
from vit.data.text import as_read, values_as_read
from vit.errors import UserError

FILE_HEADERS = {
    *("id", "image", "img", "file", "path", "filename", "filepath", "fname", "picture", "photo"),
    *(
        f"{what}_{which}"
        for what in ("image", "img", "file", "picture", "photo")
        for which in ("id", "name", "path", "file")
    ),
}
LABEL_HEADERS = {
    *("label", "labels", "class", "category", "target", "species", "breed", "diagnosis", "y"),
    *("class_id", "class_name", "class_label", "label_id", "label_name", "category_id", "category_name", "image_label"),
}


def choose_columns(
    index: Index, table: list[Line], file_column: str | None, label_column: str | None, file: str
) -> tuple[str, str]:
    """The columns of files and of labels of the table `file`.

    Without a name given the files are in the column that names most images, the labels in the one whose header says so
    or that alone is left. Raises UserError if a given one is missing, or if it is unclear.
    """
    columns = [name for name in table[0] if name]
    given = {
        parameter: as_read(name)
        for parameter, name in (("data.file_column", file_column), ("data.label_column", label_column))
        if name is not None
    }
    for parameter, name in given.items():
        if name not in columns:
            raise UserError(f"{parameter} '{name}': '{file}' has no such column; it has {columns}")
    labels = given.get("data.label_column")
    files = given.get("data.file_column") or _files(index, table, [name for name in columns if name != labels], file)
    if files == labels:
        raise UserError(f"data.file_column and data.label_column are both '{files}'; '{file}' has {columns}")
    return files, labels or _labels([name for name in columns if name != files], file)


def _files(index: Index, table: list[Line], columns: list[str], file: str) -> str:
    named = {name: _images_named(index, [line[name] for line in table]) for name in columns}
    most = max(named.values(), default=0)
    best = [name for name in columns if named[name] == most]
    if most and len(best) > 1:
        best = [name for name in best if _header(name) in FILE_HEADERS] or best
    if not most:  # the error that follows shows its cells
        best = [name for name in columns if _header(name) in FILE_HEADERS][:1] or best
    if len(best) != 1:
        raise UserError(f"data.labels '{file}': {best} could name the images; set data.file_column to one of them")
    return best[0]


def _images_named(index: Index, cells: list[str]) -> int:
    """How many images a column names: a column of small numbers names few, even if files have such names."""
    return len({tuple(found) for cell in set(cells) if (found := index.find(cell) or index.find_bare(cell))})


def _labels(columns: list[str], file: str) -> str:
    called_so = [name for name in columns if _header(name) in LABEL_HEADERS]
    best = called_so if len(called_so) == 1 else columns
    if len(best) != 1:
        raise UserError(f"data.labels '{file}': the labels could be in {columns}; set data.label_column to one of them")
    return best[0]


def names_of_labels(labels: set[str], table: list[Line], label_column: str, file: str) -> dict[str, str]:
    """The name of the class of each label, by the table `file`: a column holds the labels, another one the names.

    Raises UserError if a label has no name, or two, or if it is unclear which column is which.
    """
    values = {column: values_as_read(line[column] for line in table) for column in table[0] if column}
    held = {column: len(labels & set(cells)) for column, cells in values.items()}
    keys = [column for column, count in held.items() if count == max(held.values())]
    key = label_column if label_column in keys else keys[0]
    if missing := sorted(labels - set(values[key])):
        raise UserError(
            f"data.class_names '{file}': {len(missing)} of {len(labels)} labels have no line, such as '{missing[0]}', "
            f"but its column '{key}' holds values such as '{values[key][0]}'"
        )
    others = [column for column in values if column != key]
    called_so = [column for column in others if "name" in _header(column)]
    best = called_so if len(called_so) == 1 else others
    if len(best) != 1:
        raise UserError(
            f"data.class_names '{file}': it needs two columns, label and name, or one whose header says name; it has "
            f"{list(values)}"
        )
    names: dict[str, str] = {}
    for label, name in zip(values[key], values[best[0]], strict=True):
        if label in labels and (not name or names.setdefault(label, name) != name):
            says = f"two names, '{names[label]}' and '{name}'" if name else "no name"
            raise UserError(f"data.class_names '{file}': label '{label}' has {says}; give it one")
    return names


def _header(name: str) -> str:
    return name.casefold().replace(" ", "_").replace("-", "_")
