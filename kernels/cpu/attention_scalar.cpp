#include "kernels/cpu/attention_impl.h"

namespace vortex::cpu {

void attention_row_scalar(const AttentionRow& row) { attention_row(row); }

}  // namespace vortex::cpu
