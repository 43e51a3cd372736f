"""Mistakes in optimisers, schedules, initial values, and layers that move values."""

from __future__ import annotations

from planted._mutant import Mutant

STEPS = "optim/test_optimizers.py -k 100_steps and "
SCHEDULES = "optim/test_schedulers.py -k every_step and "
VALUES = "test_ops.py -k values_equal_the_references and "
FIRST = "test_ops.py -k first_gradients and "

MUTANTS = [
    Mutant(
        "momentum-sign", "optim_table: sgd",
        "share * velocity[i] + keep * g", "share * velocity[i] - keep * g",
        "momentum's sign", ("test_kernels.py -k sgd",),
    ),
    Mutant(
        "dampening", "optim_table: sgd",
        "keep = 1 - dampening;", "keep = 1;",
        "dampening ignored", ("test_kernels.py -k sgd",),
    ),
    Mutant(
        "nesterov-looks-twice", "optim_table: sgd",
        "g + share * velocity[i] : velocity[i]", "velocity[i] + share * velocity[i] : velocity[i]",
        "the velocity in place of the gradient", ("test_kernels.py -k sgd",),
    ),
    Mutant(
        "optimiser-rests-at-subnormal-numbers", "Buffers.slot",
        "cdef unsigned before = flush_subnormals()", "cdef unsigned before = 0x1f80",
        "moments of dead units come to rest at subnormal numbers", ("optim/test_optimizer_kernels.py -k subnormal",),
    ),
    Mutant(
        "optimiser-flushes-for-others", "Buffers.restore_subnormals",
        "        restore_subnormals(before)\n", "",
        "after a step all subnormal numbers are zero", ("optim/test_optimizer_kernels.py -k arithmetic",),
    ),
    Mutant(
        "adam-eps-under-the-root", "optim_table: adam",
        "(mean[i] / (real_sqrt(second) * root + least))", "(mean[i] / (real_sqrt(second + least) * root))",
        "eps under the root", ("test_kernels.py -k adam",),
    ),
    Mutant(
        "amsgrad-latest", "optim_table: adam",
        "        second = highest[i];\n", "",
        "the largest mean square is kept and not used", ("test_kernels.py -k adam",),
    ),
    Mutant(
        "rmsprop-not-centred", "optim_table: rmsprop",
        "second -= mean[i] * mean[i]", "second -= mean[i]",
        "the mean is not squared", (STEPS + "RMSprop",),
    ),
    Mutant(
        "lion-mean-first", "optim_table: lion",
        "along = share1 * mean[i] + rest1 * g", "along = share2 * mean[i] + rest2 * g",
        "the two betas exchanged", (STEPS + "Lion",),
    ),
    Mutant(
        "adam-bias-correction", "Adam._update",
        "(1 - beta1 ** (step + 1), sqrt(", "(1 - beta1 ** (step + 2), sqrt(",
        "bias correction off by one", (STEPS + "Adam",),
    ),
    Mutant(
        "adam-correction-without-root", "Adam._update",
        "sqrt(1 - beta2 ** (step + 1))) for", "1 - beta2 ** (step + 1)) for",
        "the second correction without its root", (STEPS + "Adam",),
    ),
    Mutant(
        "adam-correction-of-the-first", "Adam._update",
        "[corrections[step][0] for step in steps]", "[corrections[steps[0]][0] for step in steps]",
        "all parameters take the first one's number of steps", ("optim/test_optimizer_state.py -k gradient_late",),
    ),
    Mutant(
        "memory-begun-again", "Optimizer._recall",
        "                    if name not in state:\n", "                    if name:\n",
        "where one parameter has nothing to remember yet, all forget",
        ("optim/test_optimizer_state.py -k gradient_late",),
    ),
    Mutant(
        "adamw-coupled", "AdamW.__init__",
        "maximize=maximize, decoupled_weight_decay=True)", "maximize=maximize)",
        "weight decay coupled", ("optim/test_optimizers.py -k AdamW", "optim/test_optimizer_state.py -k AdamW"),
    ),
    Mutant(
        "adamw-default", "AdamW.__init__",
        "weight_decay: float = 1e-2,", "weight_decay: float = 0,",
        "a wrong default", ("optim/test_optimizers.py -k defaults",),
    ),
    Mutant(
        "radam-threshold", "_rectified",
        "if length <= 5:", "if length <= 4:",
        "the paper's threshold instead of PyTorch's", (STEPS + "RAdam",),
    ),
    Mutant(
        "adagrad-decay-one-step-early", "Adagrad._update",
        'group["lr"] / (1 + step * group["lr_decay"])', 'group["lr"] / (1 + (step + 1) * group["lr_decay"])',
        "the decay off by one step", (STEPS + "Adagrad",),
    ),
    Mutant(
        "sgd-first-velocity", "SGD._update",
        'first = ["momentum_buffer" not in self.state.get(p, ()) for p in parameters]',
        "first = [False] * len(parameters)",
        "the first velocity is damped", (STEPS + "SGD",),
    ),
    Mutant(
        "gradient-of-another-shape", "fit",
        "grad.ndim * sizeof(Py_ssize_t)) == 0)", "0) == 0)",
        "a gradient of as many numbers in another shape is taken",
        ("optim/test_optimizer_kernels.py -k takes_as_it_is",),
    ),
    Mutant(
        "read-only-parameter-written", "fit",
        "is_plain(&parameter) and not parameter.readonly", "is_plain(&parameter)",
        "a parameter that is read-only passes the check", ("optim/test_optimizer_kernels.py -k takes_as_it_is",),
    ),
    Mutant(
        "unfit-arrays-taken", "Optimizer.step",
        "grads[:] = [self._gradient(p) for p in parameters]", "[self._gradient(p) for p in parameters]",
        "a gradient of another layout is not copied", ("optim/test_optimizer_kernels.py -k another_layout",),
    ),
    Mutant(
        "step-unseen", "Optimizer.step",
        "                p._version[0] += 1\n", "                pass\n",
        "a step between forward and backward goes unnoticed", ("optim/test_optimizer_state.py -k notices",),
    ),
    Mutant(
        "steps-not-counted", "Optimizer.step",
        'self.state[p]["step"] += 1', 'self.state[p]["step"] += 0',
        "every step is the first one", (STEPS + "Adam",),
    ),
    Mutant(
        "state-of-another-shape", "Optimizer._loaded",
        'and array.shape != p.data.shape:\n', "and array.ndim != p.data.ndim:\n",
        "a check removed: state of another shape is taken over",
        ("optim/test_optimizer_state.py -k refused_change_nothing", "test_survivors.py -k broadcast"),
    ),
    Mutant(
        "step-lr-off-by-one", "StepLR._times",
        "return step // self.step_size", "return (step + 1) // self.step_size",
        "a schedule off by one step", (SCHEDULES + "step",),
    ),
    Mutant(
        "milestones-one-late", "MultiStepLR._times",
        "bisect_right(self.milestones, step)", "bisect_right(self.milestones, step - 1)",
        "a schedule off by one step", (SCHEDULES + "milestones",),
    ),
    Mutant(
        "linear-lr-goes-on", "LinearLR._factor",
        "part = min(step, self.total_iters) / self.total_iters", "part = step / self.total_iters",
        "the rate goes on rising after the end", (SCHEDULES + "linear",),
    ),
    Mutant(
        "cosine-whole-period", "CosineAnnealingLR._factor",
        "(1 + cos(pi * step / self.T_max)) / 2", "(1 + cos(2 * pi * step / self.T_max)) / 2",
        "a whole cosine instead of a half", (SCHEDULES + "cosine",),
    ),
    Mutant(
        "chain-forgets-eta-min", "FactorLR._lr",
        "return self.eta_min + (lr - self.eta_min) * (now / previous)", "return lr * (now / previous)",
        "the cosine falls to 0 instead of eta_min", (SCHEDULES + "cosine",),
    ),
    Mutant(
        "restart-length", "CosineAnnealingWarmRestarts.step",
        "                self.T_cur %= self.T_i\n                self.T_i *= self.T_mult",
        "                self.T_cur %= self.T_i",
        "every cycle is as long as the first", (SCHEDULES + "restarts",),
    ),
    Mutant(
        "one-cycle-peak", "OneCycleLR._interpolate",
        "peak = self.pct_start * self.total_steps - 1", "peak = self.pct_start * self.total_steps",
        "the peak one step late", (SCHEDULES + "cycle",),
    ),
    Mutant(
        "one-cycle-momentum", "OneCycleLR._momentum",
        "self._interpolate([(high, low), (low, high), (high, high)])",
        "self._interpolate([(low, high), (high, low), (low, low)])",
        "momentum goes up with the rate instead of down",
        (SCHEDULES + "cycle",),
    ),
    Mutant(
        "plateau-patience", "ReduceLROnPlateau.step",
        "if self.num_bad_epochs > self.patience:", "if self.num_bad_epochs >= self.patience:",
        "patience off by one", ("optim/test_schedulers.py -k plateau",),
    ),
    Mutant(
        "sequence-milestone", "SequentialLR._current",
        "bisect_right(self.milestones, self.last_epoch)]", "bisect_right(self.milestones, self.last_epoch - 1)]",
        "the next schedule begins one step late", ("optim/test_schedulers.py -k sequence",),
    ),
    Mutant(
        "fan-out-of-a-filter", "fans_of",
        "return prod(shape[1:]), shape[0] * prod(shape[2:])", "return prod(shape[1:]), shape[0]",
        "the taps of a filter are forgotten", ("nn/test_init.py -k fans or xavier",),
    ),
    Mutant(
        "kaiming-bound", "kaiming_uniform_",
        'bound = sqrt(3) * _kaiming_std("kaiming_uniform_"', 'bound = sqrt(2) * _kaiming_std("kaiming_uniform_"',
        "the bound of an even distribution", ("nn/test_init.py -k kaiming",),
    ),
    Mutant(
        "orthogonal-signs", "orthogonal_",
        "q *= np.where(np.diag(r) < 0, -scale, scale)", "q *= scale",
        "LAPACK's signs: not all matrices are as likely", ("nn/test_init.py -k all_directions",),
    ),
    Mutant(
        "residual-without-input", "Residual.forward",
        "return change + kept", "return change",
        "the shortcut is not added", ("nn/test_containers.py -k Residual or shortcut",),
    ),
    Mutant(
        "padding-crop-shifted", "Pad.forward",
        "slice(max(-b, 0), n - max(-a, 0))", "slice(max(-a, 0), n - max(-b, 0))",
        "cropping takes the other side", (VALUES + "pad-",),
    ),
    Mutant(
        "reflection-repeats-the-edge", "_padding_matrix",
        "size - 1 - np.abs(size - 1 - np.abs(source))",
        "np.clip(size - np.abs(size - np.abs(source)), 0, size - 1)",
        "the edge is reflected too, on one side only", (VALUES + "pad and reflect",),
    ),
    Mutant(
        "bilinear-corners", "_linear",
        "rows * (input_size - 1) / max(output_size - 1, 1)", "rows * input_size / max(output_size, 1)",
        "align_corners ignored", (VALUES + "interpolate and align",),
    ),
    Mutant(
        "nearest-of-small-images", "_nearest",
        "if is_small and output_size in (input_size, 2 * input_size):",
        "if output_size in (input_size, 2 * input_size):",
        "signals and large images copy sizes that stay", ("test_parity_resample.py -k copies or factor",),
    ),
    Mutant(
        "along-axis-gradient", "AlongAxis.backward",
        "return AlongAxis(self.matrix.transposed, self.axis)(grad)", "return AlongAxis(self.matrix, self.axis)(grad)",
        "the gradient's matrix is not transposed", (FIRST + "(pad or interpolate)",),
    ),
    Mutant(
        "shift-rows-entered", "shift_plane",
        "memset(y + (H + down) * row, 0, -down * row)", "memset(y + (H + down - 1) * row, 0, -down * row)",
        "zeros a row too early where images move up",
        ("test_kernels.py -k shift",), modules=("elementwise",),
    ),
    Mutant(
        "shift-wraps", "shift_plane",
        "memset(y + (h + 1) * row + right, 0, -right)", "memset(y + (h + 1) * row + right, 0, 0)",
        "what leaves a row on the left enters the row above on the right",
        ("test_kernels.py -k shift",), modules=("elementwise",),
    ),
    Mutant(
        "shift-in-bytes", "shift",
        "H, row, down_n[n], right_n[n] * itemsize)", "H, row, down_n[n], right_n[n])",
        "bytes taken for pixels",
        ("test_kernels.py -k shift",), modules=("elementwise",),
    ),
    Mutant(
        "shift-direction", "RandomShift.__call__",
        "down, right = self.pixels - generator", "down, right = -self.pixels + generator",
        "another image for the same seed", ("data/test_transforms.py -k random_shift",),
    ),
]  # fmt: skip
