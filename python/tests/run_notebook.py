"""Runs a notebook from beginning to end: ``python python/tests/run_notebook.py`` runs ``examples/notebook.ipynb`` and
saves it with what it shows.

The kernel is this interpreter, which has to have the package. It is spoken to by sockets in a temporary directory,
where also goes whatever it writes.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import os
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"

#: Seconds for one cell, and for all together. It takes less than a minute on two cores.
CELL_LIMIT, LIMIT = 180, 420


def read(path: Path = NOTEBOOK) -> NotebookNode:
    """The notebook, checked against its format."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def executed(notebook: NotebookNode, directory: Path) -> NotebookNode:
    """A copy of ``notebook`` that was run in ``directory``, with what its cells show.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell has failed.
        TimeoutError: It took longer than it may.
    """
    own = copy.deepcopy(notebook)
    asyncio.run(asyncio.wait_for(_execute(own, directory), LIMIT))
    return own


async def _execute(notebook: NotebookNode, directory: Path) -> None:
    # Sockets are files in it, whose paths have to be short.
    with tempfile.TemporaryDirectory(prefix="sg-") as own:
        manager = AsyncKernelManager(
            kernel_name="python3",
            # No directory has a kernel for it to find: so it is this interpreter's.
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            connection_file=f"{own}/kernel.json",
            transport="ipc",
            ip=f"{own}/kernel",
        )
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=CELL_LIMIT,
            record_timing=False,
            resources={"metadata": {"path": str(directory)}},
        )
        # One thread, so that sums are made in one order.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": own}
        environment |= {"IPYTHONDIR": own, "JUPYTER_CONFIG_DIR": own}
        try:
            await client.async_execute(env=environment)
        finally:
            await manager.shutdown_kernel(now=True)


def fingerprint(notebook: NotebookNode) -> str:
    """Of what the code cells say."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()[:16]


def save(notebook: NotebookNode, path: Path = NOTEBOOK) -> None:
    """Writes a notebook without what is of one machine or one moment."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "outputs_of": fingerprint(notebook),
        }
    )
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    save(executed(read(), NOTEBOOK.parent))
    print(f"{NOTEBOOK.name}: {NOTEBOOK.stat().st_size:,} bytes")
