"""What ``help()`` and editors show of everything that the package has for its users, and of its extension module."""

from __future__ import annotations

import importlib.util
import inspect
import keyword
import pydoc
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import stratigraph_nn as sg
from stratigraph_nn import _native

#: How a function is shown of which no signature can be read.
NO_SIGNATURE = re.compile(r"^[ |]*\w+\(\.\.\.\)", re.MULTILINE)


def _modules() -> Iterator[ModuleType]:
    yield from (sg, _native)
    # Their classes are made of those of these libraries.
    for name in ("lightning", "transformers"):
        if importlib.util.find_spec(name) is not None:
            yield importlib.import_module(f"stratigraph_nn.{name}")


MODULES = list(_modules())


def _is_exception(of: Any) -> bool:
    return inspect.isclass(of) and issubclass(of, BaseException)


def _callables() -> Iterator[tuple[str, Any]]:
    """Functions, classes and their methods, by name."""
    for module in MODULES:
        for name in getattr(module, "__all__", [name for name in dir(module) if not name.startswith("_")]):
            of = getattr(module, name)
            if inspect.ismodule(of) or not callable(of):
                continue
            path = f"{module.__name__}.{name}"
            yield path, of
            # What exceptions do is Python's.
            for member in dir(of) if inspect.isclass(of) and not _is_exception(of) else ():
                method = getattr(of, member)
                if not member.startswith("_") and callable(method):
                    yield f"{path}.{member}", method


CALLABLES = dict(_callables())


def test_what_is_looked_at_is_what_there_is() -> None:
    assert {"stratigraph_nn.record", "stratigraph_nn.Run.by_neuron", "stratigraph_nn.Recorder.tap"} <= set(CALLABLES)
    assert {"stratigraph_nn._native.Ablation", "stratigraph_nn._native.Run.name_structure"} <= set(CALLABLES)


@pytest.mark.parametrize("path", CALLABLES)
def test_everything_has_a_signature_and_help(path: str) -> None:
    of = CALLABLES[path]
    shown = pydoc.render_doc(of, renderer=pydoc.plaintext)
    if _is_exception(of):
        return
    for name in inspect.signature(of).parameters:
        # Nobody could give it by its name.
        assert not keyword.iskeyword(name), path
    assert not NO_SIGNATURE.search(shown), shown


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.__name__))
def test_a_module_has_help(module: ModuleType) -> None:
    assert module.__name__ in pydoc.render_doc(module, renderer=pydoc.plaintext).partition("\n")[0]


@pytest.mark.parametrize(
    "of",
    [_native.Ablation, _native.Run.find_structures, _native.Run.name_structure, sg.Run.class_selectivity],
)
def test_a_parameter_called_class_is_shown_as_it_is_given(of: Any) -> None:
    assert "class_" in inspect.signature(of).parameters
