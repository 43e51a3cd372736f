/* The element-wise ops of two inputs and their gradients, a row each: ROW(name, value).
 *
 * The value is an expression of x and y, and for gradients of `grad` too, for vectors. binary_loops.h makes kernels of
 * the rows; the same expressions for NumPy, which small arrays are left to, are in minidl/kernels/binary.py.
 */
ROW(add, x + y)
ROW(sub, x - y)
ROW(mul, x * y)
ROW(div, x / y)
ROW(maximum, binary_larger(x, y))
ROW(minimum, (x <= y) | (x != x) ? x : y)

/* Not x / y^2, whose square may be 0 or infinite where y is neither. */
ROW(div_other, -(grad * (x / y / y)))

/* Equal inputs share the gradient, and beside NaN, where all comparisons are false, both get it. */
ROW(maximum_input, x < y ? 0 : grad * (x == y ? (real)0.5 : 1))
ROW(maximum_other, x > y ? 0 : grad * (x == y ? (real)0.5 : 1))
ROW(minimum_input, x > y ? 0 : grad * (x == y ? (real)0.5 : 1))
ROW(minimum_other, x < y ? 0 : grad * (x == y ? (real)0.5 : 1))

ROW(pow, binary_pow(x, y))
/* At y = 0 the slope is 0 even where the power of x is infinite. */
ROW(pow_input, y == 0 ? 0 : grad * (y * binary_pow(x, y - 1)))
ROW(pow_other, (x == 0) & (y >= 0) ? 0 : grad * (binary_pow(x, y) * vector_log(x)))

/* 1 for values that are the extremum y, or are NaN as it is. */
ROW(equal, x == y ? 1 : 0)
ROW(same, (x == y) | ((x != x) & (y != y)) ? 1 : 0)
/* y where x is not 0: not a product, which would be NaN where y is infinite. */
ROW(chosen, x == 0 ? 0 : y)

/* x is a probability, or a logit, and y the target probability. Logarithms are -100 at least. */
ROW(cross_entropy, (y - 1) * binary_larger(vector_log1p(-x), -100) - y * binary_larger(vector_log(x), -100))
ROW(cross_entropy_input, grad * ((x - y) / binary_larger(x * (1 - x), (real)LEAST_VARIANCE)))
ROW(cross_entropy_other, grad * (vector_log(1 - x) - vector_log(x)))
ROW(logit_cross_entropy, (1 - y) * x - binary_log_sigmoid(x))
ROW(logit_cross_entropy_input, grad * (vector_sigmoid(x) - y))
ROW(logit_cross_entropy_other, -(grad * x))

ROW(prelu, x > 0 ? x : y * x)
ROW(prelu_input, x > 0 ? grad : grad * y)
ROW(prelu_other, x > 0 ? 0 : grad * x)
