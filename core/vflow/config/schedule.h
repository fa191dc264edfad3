#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/vflow/diagnostics.h"

namespace vortex::vflow {

// The inputs that a `vortex_schedule_policy` snippet may name.
struct ScheduleInputs {
  int cached_block_len = 0;
  int topk_val = 0;
  double topk_ratio = 0.0;
  int block_reserved_bos = 0;
  int block_reserved_eos = 0;
};

// A budget rule: a safe expression subset of C++ (const locals, + - * / %, comparisons, && || !, ?:, min, max, sqrt,
// int/float casts, if/else, return), compiled by us and never pasted into a kernel. int arithmetic is 32-bit,
// floating point is float32, as in the original device code.
struct ScheduleCode;
class Schedule {
 public:
  Schedule() = default;  // the default rule

  // Compiles a snippet; on an error diagnostics say where and the default rule is returned.
  static Schedule compile(std::string_view source, std::string_view name, std::vector<Diagnostic>& diagnostics);

  // The budget, before it is cut to the number of blocks. Total: division by zero and overflow give 0 or saturate.
  int budget(const ScheduleInputs& inputs) const;

  // What the rule does for these inputs that C++ leaves undefined, or that is no number ("divides by zero"); nothing
  // where all of it is defined. Our own backends are total; the text as C++, which vortex_torch compiles, is not.
  std::optional<std::string> fault(const ScheduleInputs& inputs) const;

  bool is_default() const { return code_ == nullptr; }

  // What other backends compile (schedule_code.h); null for the default rule. Slots 0 to 4 start as the inputs in the
  // order of ScheduleInputs, topk_ratio rounded to float32. Every value is a double that holds an int32 or a float32:
  // computed in double, then rounded to float32 or cut and saturated to int32.
  const ScheduleCode* code() const { return code_.get(); }

  // A text that is equal for schedules that are equal up to white space, comments and names of locals.
  std::string canonical() const;

 private:
  std::shared_ptr<const ScheduleCode> code_;
};

}  // namespace vortex::vflow
