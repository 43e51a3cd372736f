"""Mistakes in what reads and writes files."""

from __future__ import annotations

from planted._mutant import Mutant

DAMAGE = "test_checkpoint_damage.py -k "
WRITING = "files/test_writing.py -k "
RECALLED = "test_recalled_algorithms.py -k "

MUTANTS = [
    Mutant(
        "checkpoint-tuples", "_pack",
        'return items if isinstance(value, list) else {"$tuple": items}', "return items",
        "tuples come back as lists", ("test_checkpoint.py -k extra",),
    ),
    Mutant(
        "checkpoint-unchecked", "_read_metadata",
        'if "sha256" in metadata and file', 'if "sha512" in metadata and file',
        "a checksum that is stored and not compared", (DAMAGE + "flipped",),
    ),
    Mutant(
        "checkpoint-unknown-metadata", "_read_metadata",
        "    if unknown:\n", "    if len(unknown) > 1:\n",
        "a flipped bit in the checksum's name makes an old file of a new one", (DAMAGE + "wrong_metadata",),
    ),
    Mutant(
        "checkpoint-array-twice", "Unpacker.array",
        "if name in self._taken:", 'if name == "":',
        "a small file asks for any amount of memory", (DAMAGE + "referred_to",),
    ),
    Mutant(
        "storable-with-axes", "storable",
        'return np.asarray(array, array.dtype.newbyteorder("="), order="C")',
        'return np.ascontiguousarray(array, array.dtype.newbyteorder("="))',
        "arrays without axes get one", ("nn/test_layer_files.py -k BatchNorm1d",),
    ),
    Mutant(
        "packed-too-deep", "_DEEPEST",
        "_DEEPEST = 200", "_DEEPEST = 2000",
        "what is saved is too deep to be loaded", (DAMAGE + "deep",),
    ),
    Mutant(
        "tensors-gap", "TensorFile.__init__",
        "if entry.start != end:", "if entry.start < end:",
        "bytes that no array has", ("files/test_tensors.py -k gap",),
    ),
    Mutant(
        "tensors-booleans", "TensorFile.array",
        'if array.dtype.kind == "b" and', 'if array.dtype.kind == "c" and',
        "booleans that are 2", ("files/test_tensors.py -k booleans",),
    ),
    Mutant(
        "weights-without-twins", "_twins",
        "elif id(tensor) in held:", "elif not held:",
        "a tied model's other name counts as missing", ("test_weights.py -k tied",),
    ),
    Mutant(
        "weights-read-first", "_array",
        "if fits and all(", "if not fits or all(",
        "what does not fit is read before it is refused", ("test_weights.py -k not_read",),
    ),
    Mutant(
        "leftovers-stay", "write_whole",
        "        _clear_leftovers(folder)\n", "",
        "temporary files of killed processes pile up", (WRITING + "killed",),
    ),
    Mutant(
        "leftovers-of-the-living", "_delete_unless_held",
        "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "",
        "what another machine writes is deleted", (WRITING + "lock_counts",),
    ),
    Mutant(
        "leftovers-unlocked", "_is_held",
        "return os.fstat(file.fileno()).st_nlink > 0", "return True",
        "a file deleted before it was locked is written to", (WRITING + "cleared_before",),
    ),
    Mutant(
        "error-of-the-temporary", "write_whole",
        "        raise OSError(error.errno, error.strerror, path) from error\n", "        raise\n",
        "an error that names a file which nobody knows", (WRITING + "errors",),
    ),
    Mutant(
        "generator-position", "_checked",
        "if largest is not None and", "if largest is None and",
        "NumPy reads beyond its buffer", ("files/test_generators.py -k refused",),
    ),
    Mutant(
        "recalled-unchecked", "measured_plan",
        "if not _computes(fastest, names):", "if not fastest:",
        "a kernel gets shapes that it can't compute", (RECALLED + "used_with",),
    ),
    Mutant(
        "recalled-inapplicable", "_applies",
        "return has_room and any(", "return has_room or any(",
        "an algorithm is taken over that does not apply", (RECALLED + "hostile",),
    ),
    Mutant(
        "state-of-recorded-steps", "_FOREIGN",
        '"differentiable": _Taken((None, False),', '"differentiable": _Taken((None, False, True),',
        "an option of PyTorch's is passed over that means something", ("optim/test_pytorchs_state.py -k else",),
    ),
    Mutant(
        "state-by-position", "Optimizer.load_state_dict",
        "numbered = dict(zip(numbers, (", "numbered = dict(zip(range(len(numbers)), (",
        "the state goes to another parameter", ("optim/test_pytorchs_state.py -k numbers_that_groups",),
    ),
    Mutant(
        "idx-count-late", "_content",
        "    judge(dtype, shape)\n", "",
        "all is decompressed before it is refused", ("data/test_mnist.py -k judged_before",),
    ),
    Mutant(
        "gzip-one-member", "_Gunzip._begin_member",
        "return bool(self._input)", "return False",
        "the second member of a gzip file is passed over", ("data/test_idx.py -k several_members",),
    ),
    Mutant(
        "idx-dotted-names", "_stored",
        'file.name.replace("-idx", ".idx")', 'file.name.replace("-idx", "_idx")',
        "files as 7-Zip names them are not found", ("data/test_mnist.py -k 7_zip",),
    ),
    Mutant(
        "hash-last-piece", "_content",
        "            each_piece(piece)\n", "            if filled < total:\n                each_piece(piece)\n",
        "the last piece of a compressed file not hashed", ("data/test_idx.py -k sha256",),
    ),
]  # fmt: skip
