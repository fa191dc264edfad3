#pragma once

namespace vortex::evals {

// P(Z <= z) of the standard normal distribution.
double normal_cdf(double z);
// The point below which a standard normal number lies with probability `p` in (0, 1).
double normal_quantile(double p);
// The same of Student's t with `dof` > 0 degrees of freedom, which need not be whole; normal where dof is infinite.
double student_quantile(double p, double dof);

}  // namespace vortex::evals
