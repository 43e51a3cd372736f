/* The element-wise ops of two inputs and their gradients, a row each: ROW(name, value).
 *
 * The value is an expression of x and y, and for gradients of `grad` too, for vectors. binary_loops.h makes kernels of
 * the rows; the same expressions for NumPy, which small arrays are left to, are in minidl/kernels/binary.py.
 */
ROW(add, x + y)
ROW(sub, x - y)
ROW(mul, x * y)
ROW(div, x / y)
ROW(maximum, (x >= y) | (x != x) ? x : y)
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
ROW(pow_other, (x == 0) & (y >= 0) ? 0 : grad * (binary_pow(x, y) * binary_log(x)))

ROW(prelu, x > 0 ? x : y * x)
ROW(prelu_input, x > 0 ? grad : grad * y)
ROW(prelu_other, x > 0 ? 0 : grad * x)
