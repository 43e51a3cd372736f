/* The optimisers' steps, a row each; optim_rows.h makes kernels of them.
 *
 * STEP(name, (what is remembered), (numbers of each parameter), (options), constants, update): the update is for element
 * i of one parameter, by its gradient `g`, in which sign and coupled weight decay are already. What is remembered are
 * arrays of the parameter's size, NULL where an option leaves one out. Numbers and options are doubles of these names,
 * by which Python gives them; constants round what the update needs of them. The NumPy twins are in
 * minidl/reference/optim.py.
 */

/* velocity = momentum velocity + (1 - dampening) g, g itself the first time. */
STEP(sgd, (velocity), (first), (lr, momentum, dampening, nesterov),
    const real rate = lr; const real share = momentum; const real keep = 1 - dampening;,
    if (velocity) {
        velocity[i] = first ? g : share * velocity[i] + keep * g;
        g = nesterov ? g + share * velocity[i] : velocity[i];
    }
    parameter[i] -= rate * g;)

/* Kingma and Ba 2015, algorithm 1; correction1 = 1 - beta1^step, correction2 = sqrt(1 - beta2^step), and `shrink` is what
 * decoupled weight decay leaves (Loshchilov and Hutter 2019). With `highest`, steps are divided by the root of the
 * largest mean square so far (Reddi et al. 2018). */
STEP(adam, (mean, square, highest), (correction1, correction2), (lr, beta1, beta2, eps, shrink),
    const real rest1 = 1 - beta1; const real share2 = beta2; const real rest2 = 1 - beta2; const real least = eps;
    const real left = shrink; const real rate = lr / correction1; const real root = 1 / correction2;,
    mean[i] = optim_towards(mean[i], g, rest1);
    square[i] = share2 * square[i] + rest2 * g * g;
    real second = square[i];
    if (highest) {
        highest[i] = second <= highest[i] ? highest[i] : second;
        second = highest[i];
    }
    parameter[i] = left * parameter[i] - rate * (mean[i] / (real_sqrt(second) * root + least));)

/* Liu et al. 2020, algorithm 2; `rectified` is sqrt(1 - beta2^step) times the rectification, or 0 while the variance is
 * not tractable, and the step is then along the mean alone. */
STEP(radam, (mean, square), (correction1, rectified), (lr, beta1, beta2, eps, shrink),
    const real rest1 = 1 - beta1; const real share2 = beta2; const real rest2 = 1 - beta2; const real least = eps;
    const real left = shrink; const real rate = lr / correction1; const real factor = rectified;,
    mean[i] = optim_towards(mean[i], g, rest1);
    square[i] = share2 * square[i] + rest2 * g * g;
    const real scale = factor > 0 ? factor / (real_sqrt(square[i]) + least) : 1;
    parameter[i] = left * parameter[i] - rate * mean[i] * scale;)

/* Tieleman and Hinton 2012; with `mean`, the root is of square - mean^2 (Graves 2013). */
STEP(rmsprop, (square, mean, velocity), (), (lr, alpha, eps, momentum),
    const real rate = lr; const real keep = alpha; const real rest = 1 - alpha; const real least = eps;
    const real share = momentum;,
    square[i] = keep * square[i] + rest * g * g;
    real second = square[i];
    if (mean) {
        mean[i] = optim_towards(mean[i], g, rest);
        second -= mean[i] * mean[i];
    }
    g = g / (real_sqrt(second) + least);
    if (velocity) {
        velocity[i] = share * velocity[i] + g;
        g = velocity[i];
    }
    parameter[i] -= rate * g;)

/* Duchi et al. 2011. */
STEP(adagrad, (total), (rate), (eps),
    const real least = eps; const real step = rate;,
    total[i] += g * g;
    parameter[i] -= step * (g / (real_sqrt(total[i]) + least));)

/* Chen et al. 2023, algorithm 2: along the sign of a mean; 0 and NaN have none. */
STEP(lion, (mean), (), (lr, beta1, beta2, shrink),
    const real rate = lr; const real left = shrink; const real share1 = beta1; const real rest1 = 1 - beta1;
    const real share2 = beta2; const real rest2 = 1 - beta2;,
    const real along = share1 * mean[i] + rest1 * g;
    parameter[i] = left * parameter[i] - rate * (along > 0 ? 1 : along < 0 ? (real)-1 : along);
    mean[i] = share2 * mean[i] + rest2 * g;)
