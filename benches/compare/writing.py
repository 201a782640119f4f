"""The same captures, written durably: by this project's recorder, by peers, and as fast as the disk takes bytes."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import write_pyarrow

TABLE = "weights"
#: How many bytes the sequential write hands to the system at once.
CHUNK = 8 << 20


def record(captures, run, compress="auto", held_out=None):
    """A run of all captures, by the recorder: from the call that begins it until all of it is committed. `held_out` has
    what each capture is given beside its arrays."""
    import stratigraph_nn

    tables = [TABLE] if held_out is None else [TABLE, "activations", "classifications"]
    with stratigraph_nn.record(None, run, record=tables, compress=compress, on_error="stop") as recorder:
        for epoch, (arrays, more) in enumerate(zip(captures, held_out or repeat({}))):
            recorder.capture(arrays, epoch=epoch, step=epoch + 1, **more)


def dump(captures, directory):
    """A file of safetensors a capture, each synced before the next is begun."""
    from safetensors.numpy import save_file

    directory.mkdir()
    for epoch, arrays in enumerate(captures):
        path = directory / f"{epoch}.safetensors"
        save_file(arrays, path)
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)
        os.close(file)


def sequential(num_bytes, chunk, path):
    """So many bytes from memory into one file, synced once."""
    with open(path, "xb", buffering=0) as file:
        left = num_bytes
        while left > 0:
            left -= file.write(chunk[: min(left, len(chunk))])
        os.fsync(file.fileno())


def ways(captures, parts, threads, num_bytes):
    """Functions by name that write all captures to a path that is not there; `parts` are the captures as rows, and
    `num_bytes` is how much the sequential write writes."""
    chunk = memoryview(np.random.default_rng(0).bytes(CHUNK))
    return {
        "ours, none": lambda path: record(captures, path, "none"),
        "ours, size": lambda path: record(captures, path, "size"),
        "pyarrow, none": lambda path: write_pyarrow.write(parts, path, "none", threads, fsync=True),
        "pyarrow, zstd": lambda path: write_pyarrow.write(parts, path, "zstd", threads, fsync=True),
        "safetensors": lambda path: dump(captures, path),
        "sequential write": lambda path: sequential(num_bytes, chunk, path),
    }


def size_of(path):
    """Bytes of the file, or of the files below the directory which hold values: no commits, no run.json."""
    if path.is_file():
        return path.stat().st_size
    suffixes = (".parquet", ".safetensors")
    files = (file for file in path.rglob("*") if file.suffix in suffixes and "commits" not in file.parts)
    return sum(file.stat().st_size for file in files)


def check(name, path, captures, parts):
    """Raises an error unless what was written is what was given."""
    if name == "safetensors":
        from safetensors.numpy import load_file

        for epoch, arrays in enumerate(captures):
            read = load_file(path / f"{epoch}.safetensors")
            if any(not np.array_equal(read[key], arrays[key]) for key in arrays):
                raise SystemExit(f"{name} has other values of epoch {epoch}")
        return
    if name == "sequential write":
        return
    written = write_pyarrow.read(path, [TABLE])
    if len(written) != len(parts):
        raise SystemExit(f"{name} wrote {len(written)} files, not {len(parts)}")
    for (where, rows), (expected_where, expected) in zip(written, parts):
        if where.parent != expected_where.parent or not rows.equals(expected):
            raise SystemExit(f"{name} has other rows in {where}")


def copying(num_bytes, threads):
    """A function that copies so many bytes in memory, a share a thread."""
    share = num_bytes // threads
    sources = [np.ones(share, np.uint8) for _ in range(threads)]
    targets = [np.zeros(share, np.uint8) for _ in range(threads)]
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(np.copyto, targets, sources))


def decoding(captures, threads):
    """A function that decodes the values of all captures, which lie in memory as Parquet's byte planes, without
    levels, other columns or checksums: a file a capture, a thread each."""
    settings = {
        "compression": "none",
        "use_byte_stream_split": True,
        "use_dictionary": False,
        "write_statistics": False,
    }
    files = []
    for arrays in captures:
        values = np.concatenate([array.ravel() for key, array in arrays.items() if key.endswith(".weight")])
        stream = pa.BufferOutputStream()
        pq.write_table(pa.table({"value": values}), stream, row_group_size=len(values), **settings)
        files.append(stream.getvalue())

    def decode(file):
        return pq.read_table(pa.BufferReader(file), use_threads=False).num_rows

    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(decode, files))


def new_path(scratch, name):
    """A path below the scratch directory that is not there."""
    numbers = (scratch / f"{name.replace(', ', '-').replace(' ', '-')}-{nth}" for nth in range(1 << 30))
    return next(path for path in numbers if not Path(path).exists())
