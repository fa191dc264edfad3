#include "core/model/architecture.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace vortex::model {
namespace {

const Architecture* const kArchitectures[] = {
    &kDeepseekV2, &kDeepseekV3, &kGlm4MoeLite, &kLlama, &kMinimaxM2, &kQwen2, &kQwen3, &kQwen3Moe,
};

std::string print_shape(const std::vector<int64_t>& shape) {
  std::vector<std::string> extents;
  for (int64_t extent : shape) { extents.push_back(std::to_string(extent)); }
  return "[" + join(extents, ", ") + "]";
}

}  // namespace

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture* architecture : kArchitectures) {
    if (architecture->name == name) { return architecture; }
  }
  return nullptr;
}

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const Architecture* architecture : kArchitectures) { names.emplace_back(architecture->name); }
  return names;
}

Result<Tensor> find_tensor(const std::map<std::string, Tensor>& tensors, const std::string& name,
                           const std::vector<int64_t>& shape) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) { return candidate_error("the checkpoint lacks the tensor " + name); }
  if (found->second.shape != shape) {
    return candidate_error("tensor " + name + " has shape " + print_shape(found->second.shape) +
                           ", but config.json asks for " + print_shape(shape));
  }
  return found->second;
}

Status refuse_option(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null() || *found == false || *found == 0) { return ok_status(); }
  return candidate_error(std::string("config.json: ") + key + " " + found->dump() + " is not supported");
}

}  // namespace vortex::model
