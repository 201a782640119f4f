"""The named queries, a method each, made of what the engine says of them.

``python -m stratigraph_nn._queries`` prints their type stub, ``_queries.pyi``.
"""

from __future__ import annotations

import inspect
import keyword
import textwrap
from typing import Any

from . import _native
from ._result import Result
from ._words import words

_TYPES = {"Boolean": "bool", "Int32": "int", "Int64": "int", "Float64": "float", "Utf8": "str"}


class Queries:
    """What has the named queries for methods."""

    __slots__ = ()
    _native: _native.Run

    def query(self, name: str, /, *, wide: bool = False, **parameters: Any) -> Result:
        """The rows of a named query; ``wide`` writes a column a list element, as ``w_0, w_1, ...``.

        Each is a method as well, whose documentation says what its parameters can be. ``class_`` stands for
        ``class``; several neurons are a list; what is None is as it is by default. Raises
        :class:`QueryError` if there is no such query or parameter, or it cannot have its value.
        """
        return Result(self._native.query(name, words(parameters), wide))


def _python_name(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def _default(data_type: str, text: str) -> Any:
    """What a parameter is if it is not given, as Python says it."""
    if text == "NULL":
        return None
    if data_type == "Boolean":
        return text == "true"
    for number in (int, float):
        if data_type != "Utf8":
            try:
                return number(text)
            except ValueError:
                pass
    return text


def _annotation(data_type: str, values: str) -> str:
    """The type of a parameter for type checkers: words are always understood."""
    of = [_TYPES[data_type]]
    if "<neurons>" in values:
        of = ["list[int]", "int"]
    if of != ["bool"] and of != ["str"]:
        of.append("str")
    return " | ".join([*of, "None"])


def _parameters(told: list[tuple[str, str, str, str, str]]) -> list[inspect.Parameter]:
    of = [
        inspect.Parameter(
            _python_name(name),
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(data_type, default),
            annotation=_annotation(data_type, values),
        )
        for name, data_type, values, default, _ in told
    ]
    wide = inspect.Parameter("wide", inspect.Parameter.KEYWORD_ONLY, default=False, annotation="bool")
    return [*of, wide]


def _documentation(
    purpose: str,
    parameters: list[tuple[str, str, str, str, str]],
    columns: list[tuple[str, str, str]],
) -> str:
    def item(text: str) -> str:
        return textwrap.fill(text, 100, initial_indent="- ", subsequent_indent="  ")

    lines = [textwrap.fill(purpose, 100), "", "Parameters:", ""]
    for name, data_type, values, default, meaning in parameters:
        lines.append(item(f"{_python_name(name)}: {data_type}{values} = {default}: {meaning}"))
    lines.append(item("wide: Boolean = false: a column a list element"))
    lines += ["", "Returns a :class:`Result` of the columns:", ""]
    lines += [item(f"{name}: {data_type}: {meaning}") for name, data_type, meaning in columns]
    lines += ["", "Raises :class:`QueryError` if a parameter cannot have its value, or nothing was captured yet."]
    return "\n".join(lines)


def _add_methods() -> None:
    for name, purpose, parameters, columns in _native.named_queries():

        def method(self: Queries, *, _name: str = name, **given: Any) -> Result:
            return self.query(_name, **given)

        method.__name__ = name
        method.__qualname__ = f"Run.{name}"
        method.__module__ = "stratigraph_nn"
        method.__doc__ = _documentation(purpose, parameters, columns)
        this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        signature = inspect.Signature([this, *_parameters(parameters)], return_annotation="Result")
        method.__signature__ = signature  # type: ignore[attr-defined]
        if hasattr(Queries, name):
            raise ImportError(f"the named query {name} would hide a method of the same name")
        setattr(Queries, name, method)


_add_methods()


def stub() -> str:
    """The text of ``_queries.pyi``."""
    lines = [
        "# Made by `python -m stratigraph_nn._queries`; a test holds it to the queries that there are.",
        "from typing import Any",
        "",
        "from . import _native",
        "from ._result import Result",
        "",
        "class Queries:",
        "    _native: _native.Run",
        "    def query(self, name: str, /, *, wide: bool = ..., **parameters: Any) -> Result: ...",
    ]
    for name, purpose, parameters, _ in _native.named_queries():
        lines.append(f"    def {name}(")
        lines.append("        self,")
        lines.append("        *,")
        for parameter in _parameters(parameters):
            lines.append(f"        {parameter.name}: {parameter.annotation} = {parameter.default!r},")
        lines.append("    ) -> Result:")
        first = purpose.split(". ")[0].rstrip(".")
        lines.append('        """' + "\n        ".join(textwrap.wrap(f"{first}.", 90)) + '"""')
    lines += ["", "def stub() -> str: ...", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(stub(), end="")
