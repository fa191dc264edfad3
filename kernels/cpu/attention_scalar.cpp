#include "kernels/cpu/attention_impl.h"

namespace vortex::cpu {

void attention_rows_scalar(const AttentionRow* rows, int count) { attention_rows(rows, count); }

}  // namespace vortex::cpu
