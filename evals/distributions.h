#pragma once

namespace vortex::evals {

// P(Z <= z) of the standard normal distribution.
double normal_cdf(double z);
// The point below which a standard normal number lies with probability `p` in (0, 1).
double normal_quantile(double p);
// The same of Student's t with `dof` > 0 degrees of freedom, which need not be whole; normal where dof is infinite.
double student_quantile(double p, double dof);
// ln |gamma(x)|. std::lgamma also writes a global sign, which two threads must not do at once.
double log_gamma(double x);
// The regularised incomplete beta function I_x(a, b), a and b > 0: P(Binomial(n, x) >= k) is I_x(k, n - k + 1).
double incomplete_beta(double x, double a, double b);

}  // namespace vortex::evals
