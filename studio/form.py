"""A widget for every parameter, made from the one schema, with the sentence of its error below it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st
from pydantic.fields import FieldInfo

from studio.text import literal
from vit.config.document import choices, scalar, section_of, takes, unit
from vit.config.entries import Entries, entry_problems, fields, typed
from vit.config.fields import Section
from vit.config.schema import Params
from vit.errors import UserError

COLUMNS = 3
LONGEST = 2000  # characters in a field


@dataclass(frozen=True)
class Form:
    """What is entered: values by dotted key, and sentences about those that are wrong."""

    entries: dict[str, list[object]]
    problems: dict[str, str]

    @property
    def is_valid(self) -> bool:
        return not self.problems


def parameter_form(
    defaults: Mapping[str, Any],
    fixed: Mapping[str, object],
    is_grid: bool,
    name: str,
    further: Callable[[Entries], dict[str, str]] = lambda entries: {},
) -> Form:
    """The widgets of all parameters, one expander per section; `further` finds problems that the schema cannot know.

    `defaults` are by dotted key, and `fixed` cannot be changed; in a grid every field takes several values. What was
    typed is kept under `name` while one looks at other pages.
    """
    kept = st.session_state.setdefault(f"entered {name} {is_grid}", {})
    entries: dict[str, list[object]] = {}
    found: dict[str, str] = {}
    for key, field in fields():
        widget = _widget_key(name, key, is_grid)
        kept[key] = st.session_state.setdefault(widget, kept.get(key, _shown(field, defaults[key], is_grid)))
        try:
            entries[key] = [fixed[key]] if key in fixed else _values(key, field, kept[key], is_grid)
        except UserError as error:
            found[key] = str(error)
            entries[key] = [defaults[key]]  # so that the other fields can be checked
    found = further(entries) | entry_problems(entries) | found
    for section, group in _by_section().items():
        wrong = [key for key, _ in group if key in found]
        with st.expander(f"{_title(section)}: see below" if wrong else _title(section), bool(wrong)):
            for row in _rows(group):
                for column, (key, field) in zip(st.columns(COLUMNS), row, strict=False):
                    with column:
                        _widget(key, field, _widget_key(name, key, is_grid), is_grid, fixed)
                        if key in found:
                            st.error(literal(found[key]))
    return Form(entries, found)


def _by_section() -> dict[str, list[tuple[str, FieldInfo]]]:
    """The parameters by section, subsections after the section that holds them."""
    sections: dict[str, list[tuple[str, FieldInfo]]] = {}
    for key, field in fields():
        sections.setdefault(key.rpartition(".")[0], []).append((key, field))
    return dict(sorted(sections.items(), key=lambda item: list(sections).index(item[0].partition(".")[0])))


def _widget_key(name: str, key: str, is_grid: bool) -> str:
    return f"{name} {key} {'grid' if is_grid else 'single'}"


def _rows(group: list[tuple[str, FieldInfo]]) -> Iterable[list[tuple[str, FieldInfo]]]:
    return (group[start : start + COLUMNS] for start in range(0, len(group), COLUMNS))


def _title(section: str) -> str:
    """The section with what it is, from its docstring; without the file that reads it, which params.yaml names."""
    kind: type[Section] | None = Params
    for key in section.split("."):
        assert kind is not None
        kind = next(section_of(field) for name, field in kind.model_fields.items() if key in (name, field.alias))
    about = ((kind and kind.__doc__) or "").strip()
    return section if about.startswith("->") else f"{section}: {literal(about)}"


def _widget(key: str, field: FieldInfo, widget: str, is_grid: bool, fixed: Mapping[str, object]) -> None:
    label, text = f"{key} {unit(field)}".strip(), help_of(field)
    if key in fixed:
        st.text_input(label, scalar(fixed[key]), help=text, disabled=True, key=f"{widget} fixed")
        return
    options = _options(field)
    if options and is_grid:
        st.multiselect(label, options, key=widget, help=text, format_func=str)
    elif options:
        st.selectbox(label, options, key=widget, help=text)
    else:
        st.text_input(label, key=widget, help=text, max_chars=LONGEST)


def help_of(field: FieldInfo) -> str:
    """The meaning of a parameter with its type, range and choices, for a tooltip."""
    return literal(f"{field.description} ({takes(field).replace('`', '')})")


def _options(field: FieldInfo) -> list[Any]:
    """The choices of a parameter as they stand in params.yaml; empty if any value can be typed."""
    return ["true", "false"] if field.annotation is bool else choices(field.annotation)


def _shown(field: FieldInfo, value: object, is_grid: bool) -> Any:
    """What a widget shows for a value."""
    if _options(field):
        one = scalar(value) if isinstance(value, bool) else value
        return [one] if is_grid else one
    return value if isinstance(value, str) and not is_grid else scalar(value)


def _values(key: str, field: FieldInfo, shown: Any, is_grid: bool) -> list[object]:
    """The values that a widget's state means. Raises UserError if there is none, or one cannot be read."""
    if not _options(field):
        return typed(key, shown, is_grid)
    chosen = shown if is_grid else [shown]
    if not chosen:
        raise UserError(f"{key}: choose at least one value")
    return [one == "true" for one in chosen] if field.annotation is bool else list(chosen)
