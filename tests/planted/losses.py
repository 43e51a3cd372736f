"""Mistakes in losses and activations."""

from __future__ import annotations

from planted._mutant import Mutant

FUSED_LOSS = "test_loss_limits.py -k fused_kernels"
VALUES = "test_ops.py -k values_equal_the_references and "
FIRST = "test_ops.py -k first_gradients and "
FUSED = "test_ops.py -k fused_gradients_equal and "
ROWS = "test_kernels_elementwise.py -k rows_equal and "
FUSED = "test_ops.py -k fused and "

MUTANTS = [
    Mutant(
        "cross-entropy-gradient-scale", "cross_entropy_gradient",
        "grad_rc[r, target_r[r]] -= share * scale", "grad_rc[r, target_r[r]] -= share",
        "a mean without its factor, for the right class alone", (FUSED_LOSS,),
    ),
    Mutant(
        "cross-entropy-spread", "cross_entropy_gradient",
        "whole = <real>(share + spread_sum) * scale", "whole = share * scale",
        "label smoothing forgotten in one term of the gradient", (FUSED_LOSS,),
    ),
    Mutant(
        "cross-entropy-ignored-gradient", "cross_entropy_gradient",
        "                    grad_rc[r, c] = 0\n", "                    grad_rc[r, c] = <real>factor\n",
        "ignored rows get a gradient", (FUSED_LOSS,),
    ),
    Mutant(
        "cross-entropy-mean-of-all", "CrossEntropy.forward",
        "divisor = count if divisor is None", "divisor = len(self.target) if divisor is None",
        "ignored rows count in the mean", (VALUES + "cross_entropy",),
    ),
    Mutant(
        "cross-entropy-mean-of-weights", "CrossEntropy.forward",
        "divisor = float(own[kept].sum())", "divisor = float(own.sum())",
        "ignored rows' weights count in the mean", (VALUES + "cross_entropy",),
    ),
    Mutant(
        "cross-entropy-differentiable", "CrossEntropy.backward",
        "found = mul(found, wrap(wanted.sum(axis=1, keepdims=True)))",
        "found = mul(found, wrap(wanted.sum(axis=1)[:1]))",
        "the sum over classes of the wrong row, in the differentiable gradient alone", (FUSED + "cross_entropy",),
    ),
    Mutant(
        "smoothing-over-the-others", "_soft_cross_entropy",
        "p = add(mul(p, 1 - smoothing), smoothing / classes)",
        "p = add(mul(p, 1 - smoothing), smoothing / (classes - 1))",
        "smoothing is spread over one class too few", (VALUES + "cross_entropy",),
    ),
    Mutant(
        "nll-weights-in-the-mean", "nll_loss",
        "losses, total = mul(losses, wrap(own)), wrap(own.sum())", "losses = mul(losses, wrap(own))",
        "a weighted mean is divided by the number of rows", (VALUES + "nll_loss",),
    ),
    Mutant(
        "kl-div-batchmean", "kl_div",
        'return reduced(losses, "mean", x.data.shape[0] if x.data.ndim else 1)', 'return reduced(losses, "mean")',
        "divided by the number of elements instead of the batch", (VALUES + "kl_div",),
    ),
    Mutant(
        "losses-broadcast", "reduced",
        "return div(whole, losses.data.size if total is None else total)",
        "return div(whole, len(losses.data) if total is None else total)",
        "a mean over the first dimension alone", (VALUES + "l1_loss",),
    ),
    Mutant(
        "huber-without-half", "elementwise_table: huber",
        "(vector_absolute(x) - vector_least(vector_absolute(x), a) / 2)",
        "(vector_absolute(x) - vector_least(vector_absolute(x), a))",
        "the tangent meets the parabola in the wrong place", (ROWS + "huber", VALUES + "huber"),
    ),
    Mutant(
        "smooth-l1-slope", "SmoothL1.slope",
        "return Limited(-1.0, 1.0)(div(x, self.a))", "return Limited(-1.0, 1.0)(x)",
        "beta forgotten in the gradient", (FUSED + "smooth_l1",),
    ),
    Mutant(
        "logits-positive-weight", "WeightedCrossEntropyWithLogits.backward",
        "mul(grad, sub(mul(add(sub(1, t), weighted), Sigmoid()(x)), weighted))",
        "mul(grad, sub(mul(add(sub(1, t), weighted), Sigmoid()(x)), t))",
        "the weight of the positive is missing in one term", (FIRST + "with_logits",),
    ),
    Mutant(
        "probabilities-at-0", "_cross_entropy",
        "np.maximum(np.log(x), -100)", "np.log(x)",
        "the logarithm of 0", ("test_loss_limits.py -k probabilities",),
    ),
    Mutant(
        "norm-gradient-at-0", "Norm.backward",
        "y = where(y.data == 0, one, y)", "y = where(y.data < 0, one, y)",
        "the gradient of a norm at 0 is NaN", ("test_loss_limits.py -k norms or vectors",),
    ),
    Mutant(
        "triplet-swap", "triplet_margin_loss",
        "far = minimum(far, distance(b, c))", "far = minimum(far, distance(a, b))",
        "the swapped distance is between the wrong two", (VALUES + "triplet",),
    ),
    Mutant(
        "margin-of-the-right-class", "multi_margin_loss",
        "others[right] = False", "others[right] = True",
        "the right class counts as one that is too near", (VALUES + "multi_margin",),
    ),
    Mutant(
        "cosine-sign", "cosine_embedding_loss",
        "where(t == 1, sub(1, cosine), unlike)", "where(t == 1, sub(1, cosine), neg(unlike))",
        "unlike vectors lower the loss", (VALUES + "cosine",),
    ),
    Mutant(
        "weights-shared", "constant",
        "return tensor.data.copy()", "return tensor.data",
        "an alias instead of a copy: a weight may change before the backward pass",
        ("test_loss_limits.py -k before_the_backward",),
    ),
    Mutant(
        "classes-unchecked", "read_classes",
        "kernels.all_below(numbers, classes)", "kernels.all_below(numbers, classes + 1)",
        "a check weakened: a class that is not there is read from beyond the row",
        ("test_bad_input.py -k cross_entropy",),
    ),
    Mutant(
        "squares-of-the-last", "squares",
        "        sums[i] += <real>(d * d)\n    for i in range(16):\n        total",
        "        sums[i] = <real>(d * d)\n    for i in range(16):\n        total",
        "what does not fill a vector replaces the sums before", ("test_loss_limits.py -k squared_distance",),
    ),
    Mutant(
        "squares-of-the-first-chunk", "squared_distance",
        "squares(&x[0] + start, &target[0] + start, stop - start)", "squares(&x[0], &target[0], stop - start)",
        "every chunk is the first one", ("test_loss_limits.py -k squared_distance",),
    ),
    Mutant(
        "squares-not-rounded", "squares",
        "            sums[i] += <real>(d * d)\n    p =", "            sums[i] += <double>d * d\n    p =",
        "a square that float32 does not hold is counted all the same", ("test_loss_limits.py -k squares_are_rounded",),
    ),
    Mutant(
        "classes-read-with-a-sign", "all_below",
        "<unsigned long long>numbers[i] < limit", "numbers[i] < <long long>limit",
        "negative class numbers pass the check", ("test_loss_limits.py -k range_of_class",),
    ),
    Mutant(
        "settings-passed-by-value", "_check_once",
        "@lru_cache(maxsize=256, typed=True)", "@lru_cache(maxsize=256)",
        "True passes for a setting where 1 has passed", ("test_loss_limits.py -k other_type",),
    ),
    Mutant(
        "loss-scale-of-rows-alone", "cross_entropy_gradient",
        "scale = scale_r[r] if has_scale else <real>factor", "scale = scale_r[r] if has_scale else 1",
        "a mean without its factor, for every class", (FUSED_LOSS,),
    ),
    Mutant(
        "tanh-slope", "Tanh",
        "return sub(1, mul(y, y))", "return sub(1, y)",
        "the result is not squared", (FUSED + "tanh",),
    ),
    Mutant(
        "gelu-slope", "GELU.slope",
        "return add(cdf(x), mul(x, cdf.slope(x)))", "return add(cdf(x), cdf.slope(x))",
        "the density is not multiplied by x", (FUSED + "gelu",),
    ),
    Mutant(
        "tanh-gelu-inner", "TanhGELU.slope",
        "mul(add(mul(square, 3), 1), 2 * sqrt(2 / pi))", "mul(add(square, 1), 2 * sqrt(2 / pi))",
        "the cube's factor of 3 in the slope", (FUSED + "gelu",),
    ),
    Mutant(
        "elu-alpha", "elementwise_table: elu",
        "grad * (a * vector_exp_of_minus_size(x))", "grad * (b * vector_exp_of_minus_size(x))",
        "alpha is forgotten in the gradient", (ROWS + "elu", FIRST + "elu"),
    ),
    Mutant(
        "softplus-threshold", "elementwise_table: softplus",
        "a * x > b ? x :", "x > b ? x :",
        "the threshold is compared with x instead of beta x",
        (ROWS + "softplus", VALUES + "softplus", "test_parity_activation.py -k softplus"),
    ),
    Mutant(
        "hardswish-at-3", "Hardswish.slope",
        "outside = wrap(steps(x.data >= 3, 0, 1, x.data.dtype))",
        "outside = wrap(steps(x.data > 3, 0, 1, x.data.dtype))",
        "the slope at 3 itself", ("test_parity_activation.py -k hardswish", "test_survivors.py"),
    ),
    Mutant(
        "prelu-weight-not-summed", "PReLU.backward",
        "mul(grad, where(positive, zero, x)) if self.needs[1]", "mul(grad, where(positive, x, zero)) if self.needs[1]",
        "the weight's gradient from the wrong side", (FIRST + "prelu",),
    ),
    Mutant(
        "log-softmax-gradient", "LogSoftmax.backward",
        "sub(grad, mul(exp(y), Sum((self.dim,), True)(grad)))", "sub(grad, mul(exp(y), grad))",
        "the sum over the row is missing", (FUSED + "log_softmax",),
    ),
    Mutant(
        "softmax-axis", "Softmax.backward",
        "Sum((self.dim,), True)(mul(grad, y))", "Sum((y.data.ndim - 1,), True)(mul(grad, y))",
        "the wrong axis in a sum", (FUSED + "softmax",),
    ),
    Mutant(
        "dropout-not-scaled", "Dropout.forward",
        "float(1 / x.dtype.type(1 - self.p)) if self.p < 1", "1.0 if self.p < 1",
        "what is kept is not scaled up", ("nn/test_layers.py -k Dropout", "nn/test_activation.py -k drop"),
    ),
    Mutant(
        "probabilities-at-0-in-large-arrays", "binary_table: cross_entropy",
        "y * binary_larger(vector_log(x), -100)", "y * vector_log(x)",
        "the logarithm of 0, in the kernel", ("test_kernels_binary.py -k special_values",),
    ),
    Mutant(
        "dropout-gradient-drops-others-fused", "Dropout.backward_arrays",
        'kernels.binary("mul", grad, self.scale)', "grad.copy()",
        "what was dropped gets a gradient", ("nn/test_layers.py -k Dropout", "nn/test_activation.py -k drop"),
    ),
    Mutant(
        "dropout-gradient-drops-others", "Dropout.backward",
        "return mul(grad, wrap(self.scale))", "return mul(grad, 1.0)",
        "the gradient of what was dropped", ("test_functions.py -k dropout",),
    ),
    Mutant(
        "unary-keeps-x", "Unary.forward",
        'self.save(x if keeps == "x" else y)', "self.save(x)",
        "the saved value of the wrong side", (FIRST + "(exp or tanh or sigmoid)",),
    ),
    Mutant(
        "gate-gradient-inside", "Clip.passes",
        "return (x >= self.a) & (x <= self.b)", "return (x > self.a) & (x <= self.b)",
        "the gradient at the lower limit itself is lost", ("test_survivors.py -k clip",),
    ),
    Mutant(
        "lookup-repeated-rows", "LookupGradient.forward",
        "table[used] = np.add.reduceat(y.reshape(flat.size, columns)[order], starts, axis=0)",
        "table[used] = y.reshape(flat.size, columns)[order][starts]",
        "a row that is used twice gets one gradient", (FIRST + "embedding",),
    ),
]  # fmt: skip
