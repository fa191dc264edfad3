#include "kernels/cpu/attention_impl.h"

namespace vortex::cpu {

void attention_row_avx2(const AttentionRow& row) { attention_row(row); }

}  // namespace vortex::cpu
