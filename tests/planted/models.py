"""Mistakes in geometry, modules, optimisers' and schedules' base classes, loaders and checkpoints."""

from __future__ import annotations

from planted._mutant import Mutant

MUTANTS = [
    Mutant(
        "same-padding-odd-side", "_same_padding",
        "return total // 2, total - total // 2", "return total - total // 2, total // 2",
        "padding off by one on one side only: the odd pixel before", ("test_geometry.py -k same",),
    ),
    Mutant(
        "padding-axes", "sides",
        "Padding(rows, rows, columns, columns)", "Padding(rows, columns, rows, columns)",
        "the four paddings in another order", ("test_survivors.py -k padding",),
    ),
    Mutant(
        "dilation-of-the-other-axis", "_window",
        "dilations[1] * (kernel[1] - 1) + 1", "dilations[0] * (kernel[1] - 1) + 1",
        "the reach across takes the dilation down", ("test_geometry.py -k brute_force",),
    ),
    Mutant(
        "window-too-large", "_window",
        "if min(output) < 1:", "if max(output) < 1:",
        "a window that is larger than the image in one direction alone passes", ("test_geometry.py -k larger",),
    ),
    Mutant(
        "true-is-1", "sliding_window",
        "types = tuple([tuple(map(type, v)) if isinstance(v, tuple) else None for v in values])", "types = ()",
        "a cached window lets True pass for 1", ("test_geometry.py", "test_survivors.py"),
    ),
    Mutant(
        "ceil-mode-starts-in-the-padding", "_positions",
        ">= size + leading else count", "> size + leading else count",
        "a last window that starts in the padding after the image counts", ("test_geometry.py",),
    ),
    Mutant(
        "train-reaches-no-children", "Module.train",
        "module.training = mode", "self.training = mode",
        "evaluation mode stops at the model itself", ("nn/test_module.py -k train_and_eval",),
    ),
    Mutant(
        "state-dict-key", "Module._state",
        'yield from child._state(f"{prefix}{name}.")', 'yield from child._state(f"{name}.")',
        "keys of the state dict lose the path of the parents", ("nn/test_module.py -k StateDict or names",
        "test_survivors.py"),
    ),
    Mutant(
        "tied-parameters-twice", "_unique",
        "            seen.add(id(tensor))\n", "",
        "a parameter that two layers share is given twice", ("nn/test_module.py -k tied",),
    ),
    Mutant(
        "loading-unseen", "Module.load_state_dict",
        "                tensor._version[0] += 1\n        return LoadResult", "        return LoadResult",
        "loading leaves the versions alone", ("nn/test_module.py -k overwritten_by_loading",),
    ),
    Mutant(
        "loading-any-shape", "Module.load_state_dict",
        "if key in arrays and not _fits(arrays[key].shape, expected)",
        "if key in arrays and len(arrays[key].shape) != len(expected)",
        "a check removed: a smaller array is broadcast into a parameter", ("nn/test_module.py -k every_problem",),
    ),
    Mutant(
        "gradients-stay-behind", "Module.to",
        "tensor._grad = None if tensor._grad is None else tensor._grad.astype(wanted)", "pass",
        "the gradient keeps the old dtype", ("nn/test_module.py -k test_to",),
    ),
    Mutant(
        "buffers-not-saved", "Module.register_buffer",
        "def register_buffer(self, name: str, tensor: Any, persistent: bool = True)",
        "def register_buffer(self, name: str, tensor: Any, persistent: bool = False)",
        "a wrong default: buffers are missing in the state dict", ("nn/test_module.py -k buffers",),
    ),
    Mutant(
        "copies-forget", "leaf_state",
        "**(attributes or {}), **own}", "**(attributes or {})}",
        "slots of subclasses are left out: a parameter forgets that it has no shape", ("test_copies.py -k shape",),
    ),
    Mutant(
        "copies-in-one-layout", "leaf_state",
        "if not (array.flags.c_contiguous or array.flags.f_contiguous):", "if False:",
        "NumPy is taken to keep every order of axes", ("test_copies.py -k layout",),
    ),
    Mutant(
        "errors-take-the-layer-along", "MinidlError.__reduce__",
        'if name != "_layer"', "if True",
        "an error raised in a model is pickled with the model", ("test_errors.py",),
    ),
    Mutant(
        "recorded-attributes-go-unseen", "recorded_within",
        "        if not value.is_leaf:\n            yield path\n", "        return\n",
        "the copy of a module fails without saying where", ("nn/test_module_copies.py -k recorded",),
    ),
    Mutant(
        "dropout-in-evaluation", "Dropout.forward",
        "self.p, self.training, self.inplace", "self.p, True, self.inplace",
        "evaluation mode ignored", ("nn/test_layers.py -k Dropout",),
    ),
    Mutant(
        "parameter-twice", "Optimizer.add_param_group",
        "            held.add(id(p))\n", "",
        "a check removed: a parameter may be in a group twice", ("optim/test_optimizer_state.py -k parameters",),
    ),
    Mutant(
        "state-shared", "Optimizer.state_dict",
        "v.copy() if isinstance(v, np.ndarray) else v for k, v", "v for k, v",
        "an alias instead of a copy: a saved state goes on changing", ("test_survivors.py -k does_not_go_on",),
    ),
    Mutant(
        "clip-grows", "clip_grad_norm_",
        "np.minimum(np.float64(limit) / (norm + 1e-6), 1.0)", "np.float64(limit) / (norm + 1e-6)",
        "small gradients are scaled up to the limit", ("optim/test_clip.py -k pytorch",),
    ),
    Mutant(
        "clip-without-root", "_norm",
        ".sum() ** (1 / order)", ".sum() ** 0.5",
        "all norms take the square root", ("optim/test_clip.py -k pytorch",),
    ),
    Mutant(
        "clip-largest-of-some", "_norm",
        "sizes.max() if order > 0", "sizes[0] if order > 0",
        "the largest absolute value is the first one", ("optim/test_clip.py -k pytorch",),
    ),
    Mutant(
        "clip-value-one-sided", "clip_grad_value_",
        "np.clip(g.data, -bound, bound, out=g.data)", "np.minimum(g.data, bound, out=g.data)",
        "negative gradients are not limited", ("optim/test_clip.py -k Value",),
    ),
    Mutant(
        "linear-goes-alone", "DenseRun.__init__",
        "_is_plain(dense := modules[position], Dense, Linear):", "_is_plain(dense := modules[position], Dense):",
        "layers under PyTorch's name are computed one by one", ("nn/test_names.py -k neighbours",),
    ),
    Mutant(
        "in-place-of-nothing", "apply_in_place",
        "input.clone() if is_recorded else input", "input",
        "a gradient is taken at the values that were written over", ("nn/test_names.py -k InPlace",),
    ),
    Mutant(
        "clip-unseen", "clip_grad_norm_",
        "            g._version[0] += 1\n", "",
        "the gradients change in place and keep their versions", ("test_survivors.py",),
    ),
    Mutant(
        "loader-drops-the-last", "DataLoader.__len__",
        "if self.drop_last else -(-samples // self.batch_size)", "if self.drop_last else samples // self.batch_size",
        "the last batch, if it is not whole, is dropped", ("data/test_loader.py -k order",),
    ),
    Mutant(
        "collate-as-numpy-promotes", "_Stacking._stack_arrays",
        "if stacked.dtype != arrays[0].dtype:", "if False:",
        "what NumPy makes of int64 and float32 is left as it is: float64", ("data/test_collate.py -k batch",),
    ),
    Mutant(
        "loader-always-the-same-samples", "DataLoader._draw_order",
        "self.generator.permutation(samples)[: self.num_samples]",
        "self.generator.permutation(self.num_samples or samples)",
        "an epoch of fewer samples always has the first", ("data/test_loader.py -k fewer_samples",),
    ),
    Mutant(
        "loader-generator-after-resuming", "DataLoader.__iter__",
        "            self.generator.bit_generator.state = now\n", "",
        "after the order was drawn again, random numbers go on from there", ("data/test_loader.py -k resumed",),
    ),
    Mutant(
        "loader-position", "DataLoader._batches",
        "self.position = number + 1", "self.position = number",
        "a resumed epoch repeats a batch", ("data/test_loader.py -k resumed or position",),
    ),
    Mutant(
        "shift-never-the-last", "RandomShift.__call__",
        "generator.integers(0, 2 * self.pixels + 1,", "generator.integers(0, 2 * self.pixels,",
        "one shift is never drawn", ("data/test_transforms.py -k every_shift",),
    ),
    Mutant(
        "normalize-mean", "Normalize.__init__",
        "factors = 1 / (255 * self.std), -self.mean / self.std,", "factors = 1 / (255 * self.std), -self.mean,",
        "the mean is not divided by the deviation", ("data/test_transforms.py -k normalize",),
    ),
    Mutant(
        "checkpoint-generator", "load_checkpoint",
        'default[""], "default generator")] if resumes else []', 'default[""], "default generator")] if named else []',
        "a resumed run draws other random numbers", ("test_survivors.py -k resumed",),
    ),
    Mutant(
        "checkpoint-halfway", "load_checkpoint",
        "for restore in reversed(undo):", "for restore in reversed(undo[1:]):",
        "a checkpoint that does not fit is loaded in part", ("test_checkpoint.py -k changes_nothing",),
    ),
]  # fmt: skip
