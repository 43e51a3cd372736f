"""Mistakes in normalisations: kernels, operation, running statistics, layers."""

from __future__ import annotations

from planted._mutant import Mutant

KERNEL = "test_kernels_norm.py -k reference"
LAYERS = "nn/test_normalization.py -k "
SECOND = "test_ops.py -k second_gradients and "
FUSED = "test_ops.py -k fused and "

MUTANTS = [
    Mutant(
        "norm-variance-tail", "NORM_SUM",
        "lane < (int)(count % 16)", "lane + 1 < (int)(count % 16)",
        "the last number that fills no vector is left out", (KERNEL,),
    ),
    Mutant(
        "norm-eps-outside-the-root", "normalise",
        "1 / sqrt(variance_b[item] + eps), y_abp)", "1 / (sqrt(variance_b[item]) + eps), y_abp)",
        "eps is added to the root instead of under it", (KERNEL,),
    ),
    Mutant(
        "norm-weight-of-the-row", "apply_row",
        "g = b % G if G > 0 else 0\n    cdef real centre = <real>mean, rest = <real>remainder(mean, <real>mean)\n"
        "    for a in",
        "g = 0\n    cdef real centre = <real>mean, rest = <real>remainder(mean, <real>mean)\n    for a in",
        "every group uses the first one's weight", (KERNEL,),
    ),
    Mutant(
        "norm-columns-of-the-first-block", "normalise_columns",
        "scale[i] *= weight_gk[start + i, 0]\n            shift", "scale[i] *= weight_gk[i, 0]\n            shift",
        "columns after the first 64 use the first ones' weights", (KERNEL,),
    ),
    Mutant(
        "norm-gradient-without-projection", "row_sums",
        "product[0] += weight * run_product", "product[0] = weight * run_product",
        "the sum over the runs keeps the last one alone", (KERNEL,),
    ),
    Mutant(
        "norm-gradient-one-sample", "row_sums",
        "sum_cgk[c, g, k] += run\n", "sum_cgk[c, g, k] = run\n",
        "the bias's gradient is not summed over the batch", (KERNEL,),
    ),
    Mutant(
        "norm-double-precision-means", "apply_run",
        "y[p] = ((x[p] - centre) - rest) * scale + shift", "y[p] = (x[p] - centre) * scale + shift",
        "what rounding left out of the mean is forgotten", ("test_kernels_norm.py -k small_noise",),
    ),
    Mutant(
        "norm-chunks", "normalise_gradient",
        "sums.sum(axis=0).astype(x.dtype) if needs[2]", "sums[0].astype(x.dtype) if needs[2]",
        "only the first partial sum counts", (KERNEL,),
    ),
    Mutant(
        "norm-statistics-are-constants", "Normalise.backward",
        "h = sub(h, add(mean(h, SHARED, True), mul(standard, shared)))", "h = sub(h, mean(h, SHARED, True))",
        "the gradient takes the variance for a constant, where it is recorded", (FUSED + "norm",),
    ),
    Mutant(
        "norm-slope-of-the-deviation", "InverseDeviation.backward",
        "mul(standard, -1 / max(self.layout.set_size, 1))", "mul(standard, -1 / max(self.layout.set_size - 1, 1))",
        "Bessel's correction where there is none, in the second gradient", (SECOND + "batch_norm", SECOND + "norm"),
    ),
    Mutant(
        "running-variance-without-bessel", "_channel_norm",
        "bessel = layout.set_size / (layout.set_size - 1)", "bessel = 1.0",
        "running variance without Bessel's factor", (LAYERS + "by_hand",),
    ),
    Mutant(
        "running-momentum-exchanged", "_channel_norm",
        "(1 - new_share) * tensor.data + new_share * new", "new_share * tensor.data + (1 - new_share) * new",
        "momentum is the share of the old value instead of the new one's", (LAYERS + "by_hand",),
    ),
    Mutant(
        "running-statistics-unseen", "_channel_norm",
        "            tensor._version[0] += 1\n", "",
        "running statistics change in place and keep their versions", (LAYERS + "in_place", "test_survivors.py"),
    ),
    Mutant(
        "running-statistics-shared", "_channel_norm",
        "np.array(running_mean.data, np.float64), np.array(running_var.data, np.float64)",
        "np.asarray(running_mean.data, np.float64), np.asarray(running_var.data, np.float64)",
        "an alias instead of a copy: the statistics may change before the backward pass",
        (LAYERS + "evaluation_keeps", "test_survivors.py"),
    ),
    Mutant(
        "norm-of-one-value", "_channel_norm",
        "if layout.set_size == 1:", "if layout.set_size == 0:",
        "a check removed: one value has no variance", ("test_bad_input.py -k norm",),
    ),
    Mutant(
        "group-norm-groups", "group_norm",
        "Layout(1, N, int(num_groups), C // int(num_groups), prod(size))",
        "Layout(1, N, C // int(num_groups), int(num_groups), prod(size))",
        "the number of groups and their size exchanged", ("test_ops.py -k values_equal and group_norm",),
    ),
    Mutant(
        "batch-norm-in-evaluation", "_BatchNorm.forward",
        "self.training or mean is None, momentum, self.eps)", "True, momentum, self.eps)",
        "evaluation mode ignored", (LAYERS + "running_statistics_by_hand or evaluation_keeps", LAYERS + "training_and"),
    ),
    Mutant(
        "batch-norm-average-of-all", "_BatchNorm.forward",
        "momentum = 1 / (batches.item() + 1) if", "momentum = 1 / max(batches.item(), 1) if",
        "the mean of all batches off by one", (LAYERS + "without_momentum",),
    ),
    Mutant(
        "batches-not-counted", "_BatchNorm.forward",
        "batches.add_(1)", "batches.add_(0)",
        "batches are not counted", (LAYERS + "by_hand or without_momentum", LAYERS + "training_and"),
    ),
    Mutant(
        "instance-norm-default", "_InstanceNorm.__init__",
        "        affine: bool = False,\n        track_running_stats: bool = False,",
        "        affine: bool = True,\n        track_running_stats: bool = False,",
        "a wrong default", (LAYERS + "look_and_start",),
    ),
]  # fmt: skip
