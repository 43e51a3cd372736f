"""Mistakes in the graph, the backward pass, recording, numeric gradients, dtypes, and operations that move values."""

from __future__ import annotations

from planted._mutant import Mutant

GRADIENTS = "test_ops.py -k first_gradients and "
FUSED = "test_ops.py -k fused and "

MUTANTS = [
    Mutant(
        "second-use-overwrites", "run_backward",
        "pending[key] = _sum(op.name, pending[key], part)", "pending[key] = part",
        "the gradient from a second use replaces the one from the first", ("test_autograd.py -k diamond or twice",),
    ),
    Mutant(
        "leaves-share-a-gradient", "_accumulate",
        "wrap(grad.copy() if id(leaf) in shared else grad)", "wrap(grad)",
        "an alias instead of a copy", ("test_autograd.py -k two_leaves or retained",),
    ),
    Mutant(
        "backward-overwrites-grad", "_accumulate",
        "own += grad", "own[...] = grad",
        "a second backward replaces the gradient", ("test_autograd.py -k accumulates",),
    ),
    Mutant(
        "grad-changes-unseen", "_accumulate",
        "so_far._version[0] += 1", "pass",
        "the gradient changes in place and keeps its version", ("test_survivors.py",),
    ),
    Mutant(
        "graph-not-freed", "run_backward",
        "if not retain:\n", "if retain and not retain:\n",
        "what was saved is never freed", ("test_autograd.py -k twice or frees",),
    ),
    Mutant(
        "sum-of-any-shapes", "_sum",
        "if one.shape != other.shape:", "if False:",
        "a check removed: a gradient of another shape is broadcast to the one that it is added to",
        ("test_autograd.py -k another_shape",),
    ),
    Mutant(
        "gradient-unchecked", "run_backward",
        "if array.shape != op.shape or array.dtype is not op._dtype:", "if False:",
        "a check removed: kernels trust the shape and dtype of a gradient that hooks have seen",
        ("test_tampering.py -k kept or floating",),
    ),
    Mutant(
        "saved-unchecked", "Op.saved_arrays",
        "if array.shape != shape or array.dtype is not dtype:", "if False:",
        "a check removed: kernels trust the shape and dtype of what was saved", ("test_tampering.py -k in_place",),
    ),
    Mutant(
        "twin-in-the-graph", "Op.saved",
        "edge = (self._node or self) if source == -1", "edge = self if source == -1",
        "a saved result has the history of what computed one gradient alone", ("test_graph_threads.py -k narrowed",),
    ),
    Mutant(
        "gradients-added-at-once", "_accumulate",
        "    with locks.gradients:\n        for leaf", "    if True:\n        for leaf",
        "two threads add to a leaf's gradient at the same time", ("test_graph_threads.py -k all_add_to",),
    ),
    Mutant(
        "freed-state-unnoticed", "Stack.backward_arrays",
        "if state is None and len(grad):", "if False:",
        "kernels read what another thread has freed", ("test_graph_threads.py -k in_the_midst",),
    ),
    Mutant(
        "grad-of-any-shape", "TensorBase._set_grad",
        "if found.shape != own.shape:", "if False:",
        "a gradient of another shape may be assigned", ("test_assignment.py -k TestGrad",),
    ),
    Mutant(
        "data-of-any-kind", "TensorBase._set_data",
        'if self._requires_grad and array.dtype.kind != "f":', "if False:",
        "integers may be assigned to a tensor that requires gradients", ("test_assignment.py -k TestData",),
    ),
    Mutant(
        "sizes-drawn-twice", "Affine._set_input_size",
        "            if self._is_sized:\n                return\n", "",
        "a layer's parameters are drawn by each thread that calls it first", ("test_graph_threads.py -k Sizes",),
    ),
    Mutant(
        "sized-before-drawn", "Affine",
        "            self.reset_parameters()\n            self._is_sized = True\n\n    def _infer",
        "            self._is_sized = True\n            self.reset_parameters()\n\n    def _infer",
        "another thread computes with parameters that are not drawn yet", ("test_graph_threads.py -k Sizes",),
    ),
    Mutant(
        "fork-while-drawing", "_prepare_fork",
        "        lock.acquire()\n", "        break\n",
        "a child waits for a generator's lock", ("test_runtime.py -k another_thread_draws",),
    ),
    Mutant(
        "fork-with-held-locks", "_reset_child",
        "    locks.__init__()  # type: ignore[misc]\n", "",
        "a child waits for a lock of ours", ("test_runtime.py -k a_lock_of_ours",),
    ),
    Mutant(
        "threads-of-the-environment", "_threads_otherwise",
        "available_cores() if _Threads.environment is None else _Threads.environment[0]", "available_cores()",
        "OMP_NUM_THREADS is not heeded", ("test_runtime.py -k process_of_its_own",),
    ),
    Mutant(
        "oldest-op-first", "run_backward",
        "givers[key] = op\n                    heappush(queue, (-edge.order, edge))",
        "givers[key] = op\n                    heappush(queue, (edge.order, edge))",
        "ops run before all gradients of theirs have come", ("test_autograd.py -k diamond",),
    ),
    Mutant(
        "leaf-hooks-forgotten", "run_backward",
        "pending[key] = finished[key] = _call_hooks(leaf._hooks, pending[key])", "pass",
        "hooks of leaves are not called", ("test_autograd.py -k on_a_leaf",),
    ),
    Mutant(
        "recording-after-backward", "run_backward",
        "    finally:\n        state.recording = previous", "    finally:\n        state.recording = True",
        "a backward pass under no_grad turns recording on",
        ("test_autograd.py -k Mode or backward", "test_survivors.py"),
    ),
    Mutant(
        "unused-input-unnoticed", "grad",
        "if result is None and not allow_unused:", "if result is None and allow_unused:",
        "a check removed: an input that was not used gives None", ("test_autograd.py -k unused",),
    ),
    Mutant(
        "hook-shape-unchecked", "_call_hooks",
        "if found._data.shape != shape:\n            raise ShapeError(f\"hook",
        "if found._data.ndim != len(shape):\n            raise ShapeError(f\"hook",
        "a hook may return another shape, which kernels would trust", ("test_autograd.py -k may_not_return",),
    ),
    Mutant(
        "needs-ignored", "run_backward",
        "if not need or part is None:", "if edge is None or part is None:",
        "a gradient that no target asked for goes on its way", ("test_survivors.py -k asked_for",),
    ),
    Mutant(
        "version-check-removed", "Op.saved_arrays",
        "if version is not None and version[0] != count:", "if version is not None and version[0] < count:",
        "a saved value that was changed in place is used", ("test_autograd.py -k changing_a_saved",),
    ),
    Mutant(
        "saved-value-of-another-input", "Op._record",
        "source, version = i, inputs[i]._version", "source, version = 0, inputs[0]._version",
        "second gradients flow to the first input whatever was saved",
        ("test_autograd.py -k saved_in_any_order",),
    ),
    Mutant(
        "saved-value-in-its-place", "Op._record",
        "source, version = position, inputs[position]._version", "source, version = 0, inputs[0]._version",
        "the same, of values saved in the order of the inputs", ("test_autograd.py -k mixed_second",
        "test_ops.py -k second_gradients and (mul or matmul)"),
    ),
    Mutant(
        "views-count-for-themselves", "Op._share_version",
        "result._version = base._version\n", "result._version = [0, False]\n",
        "a change through a view goes unnoticed", ("test_tensor.py -k share_memory_and_versions",),
    ),
    Mutant(
        "retained-gradient-shared", "TensorBase.retain_grad",
        "own = grad if grad._op is not None else wrap(grad._data.copy())", "own = grad",
        "an alias instead of a copy", ("test_autograd.py -k retained",),
    ),
    Mutant(
        "mode-of-all-threads", "_Mode",
        "class _Mode(threading.local):", "class _Mode:",
        "no_grad in one Python thread stops recording in all", ("test_autograd.py -k python_thread",),
    ),
    Mutant(
        "decorator-leaves-its-mode", "set_grad_enabled.__call__",
        "                state.recording = previous\n", "                state.recording = not self._wanted\n",
        "a decorated function turns recording on after itself", ("test_autograd.py -k decorators", "test_survivors.py"),
    ),
    Mutant(
        "repeated-index-once", "PutItem.forward",
        "np.add.at(result, self.index, grad)", "result[self.index] += grad",
        "an index that occurs twice gets one gradient", ("test_tensor.py -k Index",
        "test_ops.py -k first_gradients and index"),
    ),
    Mutant(
        "broadcast-not-summed", "sum_to",
        "or (shape[d - extra] == 1 and x._data.shape[d] != 1))", "or (shape[d - extra] == 1 and d == 0))",
        "the gradient is not summed over what was broadcast", (GRADIENTS + "add",),
    ),
    Mutant(
        "permute-back-the-same-way", "Permute.backward",
        "for d in np.argsort(self.dims))", "for d in self.dims)",
        "the gradient is permuted by the same order instead of its inverse", (GRADIENTS + "permute",),
    ),
    Mutant(
        "overwritten-values-get-gradient", "SetItem.backward",
        "SetItem(self.index)(grad, zero) if self.needs[0] else None", "grad if self.needs[0] else None",
        "what was overwritten still gets a gradient", ("test_autograd.py -k overwritten",),
    ),
    Mutant(
        "setitem-in-place", "SetItem.forward",
        "        result = x.copy()\n        result[self.index] = values",
        "        result = x\n        result[self.index] = values",
        "an input is changed", ("test_autograd.py -k buffer",),
    ),
    Mutant(
        "ties-counted-twice", "Extremum.winners",
        "return wins, kernels.sum_to(wins, self.y.shape)", "return wins, np.ones_like(self.y)",
        "equal maxima each get the whole gradient", ("test_ops.py -k broadcast_views and (amax or amin)",
        "test_parity_functional.py -k amax"),
    ),
    Mutant(
        "mean-without-its-factor", "mean",
        "return div(Sum(dims, keepdim)(x), prod(x.data.shape[d] for d in dims))", "return Sum(dims, keepdim)(x)",
        "a mean without its factor", ("test_ops.py -k values_equal and mean",),
    ),
    Mutant(
        "variance-without-bessel", "_variance",
        "max(prod(x.data.shape[d] for d in dims) - less, 0)", "prod(x.data.shape[d] for d in dims)",
        "Bessel's correction forgotten", ("test_ops.py -k values_equal and var",),
    ),
    Mutant(
        "deviation-of-0", "Deviation.backward",
        "flat, zero = y.data == 0,", "flat, zero = y.data < 0,",
        "the gradient of a deviation of 0 is NaN", ("test_parity_selection.py -k deviation or equal_values",),
    ),
    Mutant(
        "equal-values-vary", "Centre.forward",
        "np.where(np.isfinite(first), first, x.dtype.type(0))", "x.dtype.type(0)",
        "the rounding of a mean makes equal values vary", ("test_parity_selection.py -k equal_values",),
    ),
    Mutant(
        "nan-among-all", "ExtremumOfAll",
        'winner = "same"', 'winner = "equal"',
        "a NaN gets no gradient of max()", ("test_parity_selection.py -k (nan or of_all)",),
    ),
    Mutant(
        "sums-of-images", "Sum.forward",
        'dtype = None if x.dtype.kind == "f" else INT64', "dtype = None",
        "sums of unsigned integers are unsigned", ("test_dtypes.py -k sums",),
    ),
    Mutant(
        "cast-gradient-dtype", "Cast.backward",
        "return Cast(self.input_dtype)(grad)", "return grad",
        "the gradient keeps the dtype of the result", ("test_dtypes.py -k keep_the_dtype",),
    ),
    Mutant(
        "concatenate-gradients-shifted", "Concatenate.backward",
        "slice(start, end)))(grad) if need", "slice(end - start)))(grad) if need",
        "each part gets the first part's gradient", (GRADIENTS + "concatenate",),
    ),
    Mutant(
        "subtraction-sign", "Sub.backward",
        "neg(grad) if self.needs[1] else None)", "grad if self.needs[1] else None)",
        "the sign of the second gradient", (FUSED + "sub",),
    ),
    Mutant(
        "product-saves-the-wrong-factor", "Mul.backward",
        "mul(grad, b) if self.needs[0] else None, mul(grad, a)",
        "mul(grad, b) if self.needs[0] else None, mul(grad, b)",
        "the saved value of the wrong input", (FUSED + "mul",),
    ),
    Mutant(
        "product-saves-too-much", "Mul.keep",
        "self.save(a if self.needs[1] else None, b if self.needs[0] else None)", "self.save(a, b)",
        "a factor that no gradient reads may not be changed", ("test_autograd.py -k not_saved",),
    ),
    Mutant(
        "quotient-gradient", "Div.backward",
        "neg(mul(grad, div(div(a, b), b)))", "neg(mul(grad, div(a, b)))",
        "the denominator is not squared", (FUSED + "div",),
    ),
    Mutant(
        "power-at-0", "Pow.backward",
        "mul(grad, where(b.data == 0, wrap(np.zeros((), a.data.dtype)), slope))", "mul(grad, slope)",
        "0 to the power of 0: the gradient of the base is NaN", ("test_survivors.py -k power",),
    ),
    Mutant(
        "tie-of-two", "Extreme.backward",
        "np.where(a == b, 0.5, 1)", "np.where(a == b, 1, 1)",
        "both get the whole gradient of a tie", ("test_parity_functional.py -k maximum or minimum",
        "test_survivors.py"),
    ),
    Mutant(
        "mask-shared", "where",
        "return Where(mask.copy())(a, b)", "return Where(mask)(a, b)",
        "an alias instead of a copy: the mask may change before the backward pass", ("test_autograd.py -k mask",),
    ),
    Mutant(
        "root-without-its-factor", "Sqrt.backward",
        "return div(grad, mul(y, 2))", "return div(grad, y)",
        "the factor 1/2 of the root's slope", (FUSED + "sqrt",),
    ),
    Mutant(
        "linear-bias-one-sample", "Linear.backward_arrays",
        "kernels.channel_sum(grad) if self.needs[2]", "grad[0].copy() if self.needs[2]",
        "the sum over the batch is missing, in the fused gradient alone", (FUSED + "linear",),
    ),
    Mutant(
        "linear-gradient-not-transposed", "Linear.backward",
        "MatMul()(matrix_transpose(grad), x) if self.needs[1]", "matrix_transpose(MatMul()(grad, x)) if self.needs[1]",
        "the wrong factor is transposed, in the differentiable gradient alone", (FUSED + "linear",),
    ),
    Mutant(
        "0d-wins", "result_dtype",
        "return b if a_is_0d else a", "return a if a_is_0d else b",
        "a tensor without axes decides the dtype", ("test_dtypes.py -k pairs or scalars",),
    ),
    Mutant(
        "floats-beside-float64", "scalar_dtype",
        'return other if other.kind == "f" else get_default_dtype()', "return get_default_dtype()",
        "a Python float turns float64 into float32, or the other way", ("test_survivors.py -k python_float",),
    ),
]  # fmt: skip
