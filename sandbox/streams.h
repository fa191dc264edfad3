#pragma once

#include <functional>
#include <string_view>

#include "sandbox/process_tree.h"

namespace vortex::sandbox {

// The traffic with a program: sends it its input, hands on what it says.
class Streams {
 public:
  using Take = std::function<void(std::string_view bytes)>;

  // `input` must live as long as this object.
  Streams(ProcessTree& tree, std::string_view input, Take take_output, Take take_log)
      : tree_(tree), unsent_(input), take_output_(std::move(take_output)), take_log_(std::move(take_log)) {}

  // Waits for traffic, a tenth of a second at most, and lets it pass: the log before the output, so that whoever takes
  // the output knows what was logged before. True: the tree has ended.
  bool exchange();

  // After the end of the tree: reads what it left in the pipes, as long as `wanted` says so.
  void finish(const std::function<bool()>& wanted);

 private:
  ProcessTree& tree_;
  std::string_view unsent_;
  Take take_output_;
  Take take_log_;
  bool output_open_ = true;
  bool log_open_ = true;
};

}  // namespace vortex::sandbox
