"""minidl's files are written whole, judged before memory is taken, and named in errors."""

from minidl.files.generators import set_generator_state
from minidl.files.packing import Unpacker, pack, storable
from minidl.files.strict_json import cut, read_json, shortened
from minidl.files.tensors import TensorFile, content_checksum, opened_tensors, tensor_bytes
from minidl.files.writing import StrPath, checked_path, checked_target, write_whole

__all__ = [
    "StrPath",
    "TensorFile",
    "Unpacker",
    "checked_path",
    "checked_target",
    "content_checksum",
    "cut",
    "opened_tensors",
    "pack",
    "read_json",
    "set_generator_state",
    "shortened",
    "storable",
    "tensor_bytes",
    "write_whole",
]
