"""How layers are called: the names of modules, as a trace can write them.

The rules are those of the trace format (``schemas/README.md``, partitions), which the recorder in Rust
applies as well. They leave a label that they have made as it is.
"""

from __future__ import annotations

#: The word for the network's inputs in the sources of connections.
INPUT = "input"

#: What some engine reads as a value in a directory's name.
_READ_AS_VALUES = frozenset("true false null none na nan nat inf infinity epoch now today tomorrow yesterday".split())
#: The longest a label may be once it is percent-encoded, in bytes.
_MAX_ENCODED_BYTES = 200
#: What a longer one is cut to, so that ``-`` and a checksum of 8 digits fit behind it.
_CUT_BYTES = 191


def label_of(path: str) -> str:
    """The label of a module that was given none, from its path."""
    return as_label("L_input_" if path.lower() == INPUT else path)


def as_label(text: str) -> str:
    """A label made of any text that is not empty.

    It starts with a letter and is no word that an engine takes for a value: ``0`` becomes ``L_0``. What is
    too long for a directory's name is cut, and ends in the checksum of the whole.
    """
    is_value = text.strip(" \t\n\r\x0b\x0c").lower() in _READ_AS_VALUES
    label = text if text[0].isascii() and text[0].isalpha() and not is_value else f"L_{text}"
    if sum(map(_encoded_bytes, label)) <= _MAX_ENCODED_BYTES:
        return label
    kept, used = [], 0
    for character in label:
        used += _encoded_bytes(character)
        if used > _CUT_BYTES:
            break
        kept.append(character)
    return f"{''.join(kept)}-{_crc32c(label.encode()):08x}"


def _encoded_bytes(character: str) -> int:
    if character.isascii() and (character.isalnum() or character in "_.-"):
        return 1
    return 3 * len(character.encode())


def _crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli); of ``123456789`` it is 0xe3069283."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF
