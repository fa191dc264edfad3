#include "core/engine/cpu_math.h"

#include <optional>

namespace vortex::engine {

Result<cpu::Unit> find_unit(const std::string& math) {
  if (math == "bf16") {
    if (const std::optional<cpu::Unit> best = cpu::best_bf16_unit()) { return *best; }
    return environment_error("this processor has no bfloat16 unit (AVX512-BF16 or AMX-BF16)", "use --cpu-math float32");
  }
  for (const cpu::Unit unit : {cpu::Unit::kFloat32, cpu::Unit::kAvx512Bf16, cpu::Unit::kAmxBf16}) {
    if (math != cpu::unit_name(unit)) { continue; }
    if (cpu::unit_supported(unit)) { return unit; }
    return environment_error("this processor has no " + math, "use --cpu-math float32");
  }
  return candidate_error("no arithmetic \"" + math + "\"", "float32 or bf16");
}

std::string math_name(cpu::Unit unit) { return unit == cpu::Unit::kFloat32 ? "float32" : "bf16"; }

}  // namespace vortex::engine
