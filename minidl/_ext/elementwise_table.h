/* The element-wise ops of one input, a row each; elementwise_rows.h makes threaded kernels of them.
 *
 * ROW(name, PyTorch's name, what the gradient keeps, steps, value, gradient, documentation): the value is an expression
 * of x and of the op's numbers a and b; the gradient is one of `grad`, a and b, and of x (INPUT), of the result y
 * (OUTPUT) or of neither (NOTHING). Both are for vectors: without branches and calls, choices by `?:` among what has
 * been computed. `steps` is how many multiply-adds an element is worth, about, which says when a second thread pays.
 *
 * FAR_ROW has a value and a gradient more, number by number, for numbers beyond TRIGONOMETRIC_LIMIT.
 *
 * A gradient that does not pass is chosen to be 0, not multiplied by 0, which would be NaN for an infinite one. The
 * differentiable slope of each op, for gradients of gradients, is that of its class in minidl/ops, and tests/test_ops.py
 * holds the two together; the NumPy twins are in minidl/reference/elementwise.py.
 */

/* Rectifiers: functions in pieces. */
ROW(relu, "torch.relu", OUTPUT, 0.25,
    x <= 0 ? 0 : x,
    y <= 0 ? 0 : grad,
    "max(x, 0), NaN for NaN")
ROW(relu6, "torch.nn.functional.relu6", INPUT, 0.25,
    vector_clipped(x, 0, 6),
    (x <= 0) | (x >= 6) ? 0 : grad,
    "min(max(x, 0), 6)")
ROW(leaky_relu, "torch.nn.functional.leaky_relu", INPUT, 0.25,
    x > 0 ? x : a * x,
    x > 0 ? grad : a * grad,
    "x, or a x for x up to 0")
ROW(elu, "torch.nn.functional.elu", INPUT, 2,
    x > 0 ? b * x : a * vector_expm1(x > 0 ? 0 : x),
    x > 0 ? b * grad : grad * (a * vector_exp_of_minus_size(x)),
    "b x, or a (exp(x) - 1) for x up to 0")
ROW(hardswish, "torch.nn.functional.hardswish", INPUT, 0.5,
    x * vector_clipped(x + 3, 0, 6) / 6,
    x <= -3 ? 0 : (x >= 3 ? grad : grad * (x / 3 + (real)0.5)),
    "x min(max(x + 3, 0), 6) / 6")

/* Smooth activations. */
ROW(tanh, "torch.tanh", OUTPUT, 2,
    vector_tanh(x),
    grad * (1 - y * y),
    "the hyperbolic tangent")
ROW(sigmoid, "torch.sigmoid", OUTPUT, 2,
    vector_sigmoid(x),
    grad * (y * (1 - y)),
    "1 / (1 + exp(-x))")
ROW(logsigmoid, "torch.nn.functional.logsigmoid", INPUT, 2,
    (x < 0 ? x : 0) - vector_log1p_of_unit(vector_exp_of_minus_size(x)),
    grad * vector_gate(-x),
    "log(sigmoid(x))")
ROW(softplus, "torch.nn.functional.softplus", INPUT, 2,
    a * x > b ? x : vector_softplus(a * x) * (1 / a),
    a * x > b ? grad : grad * vector_gate(a * x),
    "log(1 + exp(a x)) / a, or x where a x is above b")
ROW(silu, "torch.nn.functional.silu", INPUT, 2,
    x * vector_gate(x),
    grad * vector_silu_slope(x),
    "x sigmoid(x)")
ROW(mish, "torch.nn.functional.mish", INPUT, 2,
    x * vector_tanh_of_softplus(x).value,
    grad * vector_mish_slope(x),
    "x tanh(softplus(x))")
ROW(gelu, "torch.nn.functional.gelu", INPUT, 2,
    x * vector_normal_cdf(x),
    grad * vector_gelu_slope(x),
    "x times the share of a standard normal distribution below x")
ROW(gelu_tanh, "torch.nn.functional.gelu", INPUT, 2,
    x * vector_gate(vector_gelu_tanh_inner(x)),
    grad * vector_gelu_tanh_slope(x),
    "x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3)")
ROW(normal_cdf, "torch.special.ndtr", INPUT, 2,
    vector_normal_cdf(x),
    grad * vector_normal_density(x),
    "the share of a standard normal distribution below x")

/* Functions of mathematics. */
ROW(neg, "torch.neg", NOTHING, 0.25,
    -x,
    -grad,
    "-x")
ROW(abs, "torch.abs", INPUT, 0.25,
    vector_absolute(x),
    grad * (x > 0 ? 1 : x < 0 ? (real)-1 : 0),
    "the absolute value")
ROW(clip, "torch.clamp", INPUT, 0.25,
    vector_clipped(x, a, b),
    (x >= a) & (x <= b) ? grad : 0,
    "x limited to a and b, whose gradient passes at the limits")
ROW(hardtanh, "torch.nn.functional.hardtanh", INPUT, 0.25,
    vector_clipped(x, a, b),
    (x > a) & (x < b) ? grad : 0,
    "x limited to a and b, whose gradient does not pass at the limits")
ROW(sqrt, "torch.sqrt", OUTPUT, 0.5,
    vector_square_root(x),
    grad / (2 * y),
    "the square root")
ROW(deviation, "torch.sqrt", OUTPUT, 0.5,
    vector_square_root(x),
    y == 0 ? 0 : grad / (2 * y),
    "the square root of a variance, whose gradient is 0 where nothing varies")
ROW(square, "torch.square", INPUT, 0.25,
    x * x,
    grad * (2 * x),
    "x^2")
ROW(cube, "torch.pow", INPUT, 0.25,
    x * x * x,
    grad * (3 * (x * x)),
    "x^3")
ROW(rsqrt, "torch.rsqrt", OUTPUT, 0.5,
    1 / vector_square_root(x),
    grad * ((real)-0.5 * (y * y * y)),
    "1 / sqrt(x)")
ROW(reciprocal, "torch.reciprocal", OUTPUT, 0.5,
    1 / x,
    -grad * (y * y),
    "1 / x")
ROW(exp, "torch.exp", OUTPUT, 2,
    vector_exp(x),
    grad * y,
    "e to the power of x")
ROW(exp2, "torch.exp2", OUTPUT, 2,
    vector_exp2(x),
    grad * (y * LN2),
    "2 to the power of x")
ROW(expm1, "torch.expm1", OUTPUT, 2,
    vector_expm1(x),
    grad * (y + 1),
    "exp(x) - 1, accurate where x is small")
ROW(log, "torch.log", INPUT, 2,
    vector_log(x),
    grad / x,
    "the natural logarithm")
ROW(log2, "torch.log2", INPUT, 2,
    vector_log2(x),
    grad * INVERSE_LN2 / x,
    "the logarithm to base 2")
ROW(log10, "torch.log10", INPUT, 2,
    vector_log10(x),
    grad * (real)0x1.bcb7b1526e50ep-2 / x,
    "the logarithm to base 10")
ROW(log1p, "torch.log1p", INPUT, 2,
    vector_log1p(x),
    grad / (1 + x),
    "log(1 + x), accurate where x is small")
ROW(erf, "torch.erf", INPUT, 2,
    vector_erf(x),
    grad * ((real)0x1.20dd750429b6dp0 * vector_exp(-(x * x))),
    "the error function")
FAR_ROW(sin, "torch.sin",
    vector_sin(x), grad * vector_cos(x),
    vector_library_sin(x), grad * vector_library_cos(x),
    "the sine")
FAR_ROW(cos, "torch.cos",
    vector_cos(x), -grad * vector_sin(x),
    vector_library_cos(x), -grad * vector_library_sin(x),
    "the cosine")
FAR_ROW(tan, "torch.tan",
    vector_sin(x) / vector_cos(x), grad * vector_secant_squared(vector_cos(x)),
    vector_library_tan(x), grad * vector_secant_squared(vector_library_cos(x)),
    "the tangent")
ROW(floor, "torch.floor", NOTHING, 0.25,
    vector_floor(x),
    0,
    "the largest integer that is not above x")
ROW(ceil, "torch.ceil", NOTHING, 0.25,
    vector_ceil(x),
    0,
    "the smallest integer that is not below x")
ROW(round, "torch.round", NOTHING, 0.25,
    vector_round(x),
    0,
    "the integer nearest to x, the even one of two")
ROW(trunc, "torch.trunc", NOTHING, 0.25,
    vector_trunc(x),
    0,
    "the integer that is next to x towards 0")
ROW(threshold, "torch.ge", NOTHING, 0.25,
    x >= a ? b : 0,
    0,
    "b where x is a or more, 0 elsewhere")
ROW(sign, "torch.sign", NOTHING, 0.25,
    x > 0 ? 1 : x < 0 ? (real)-1 : 0,
    0,
    "1 above 0, -1 below, and 0 for 0 and for NaN")

/* Losses of one difference x. */
ROW(huber, "torch.nn.functional.huber_loss", INPUT, 0.5,
    vector_least(vector_absolute(x), a) * (vector_absolute(x) - vector_least(vector_absolute(x), a) / 2),
    grad * vector_clipped(x, -a, a),
    "x^2 / 2 up to a on both sides, then on along the tangent")
ROW(smooth_l1, "torch.nn.functional.smooth_l1_loss", INPUT, 0.5,
    vector_least(vector_absolute(x), a) / a * (vector_absolute(x) - vector_least(vector_absolute(x), a) / 2),
    grad * vector_clipped(x / a, -1, 1),
    "x^2 / (2 a) up to a on both sides, then |x| - a / 2")
