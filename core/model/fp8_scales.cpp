#include "core/model/fp8_scales.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "core/model/config_json.h"

namespace vortex::model {
namespace {

using nlohmann::json;

constexpr const char* kTail = "_scale_inv";

int64_t blocks_of(int64_t size, int block) { return (size + block - 1) / block; }

Status attach(const std::string& name, Tensor& tensor, const Tensor& scales, const ScaleBlock& block) {
  const std::vector<int64_t> wanted = {blocks_of(tensor.shape[0], block.rows), blocks_of(tensor.shape[1], block.cols)};
  if (scales.shape != wanted || scales.dtype == vflow::Dtype::kFp8E4m3) {
    return candidate_error("the checkpoint's tensor " + name + kTail + " is not one number for each block of " +
                           std::to_string(block.rows) + "x" + std::to_string(block.cols) + " of " + name);
  }
  tensor.scales = std::make_shared<const Tensor>(scales);
  tensor.scale_block = block;
  return ok_status();
}

}  // namespace

Result<ScaleBlock> read_scale_block(const json& quantisation) {
  const auto refused = [](const std::string& what) {
    return candidate_error(
        "config.json: quantised checkpoints are not supported but in fp8 with a scale for each block: " + what);
  };
  if (!quantisation.is_object()) { return refused("quantization_config is not an object"); }
  const json method = value_or(quantisation, "quant_method", nullptr);
  if (method != "fp8") { return refused("quant_method is " + method.dump()); }
  const json format = value_or(quantisation, "fmt", "e4m3");
  if (format != "e4m3" && format != "float8_e4m3fn") { return refused("fmt is " + format.dump()); }
  const json block = value_or(quantisation, "weight_block_size", nullptr);
  if (!block.is_array() || block.size() != 2) { return refused("weight_block_size is " + block.dump()); }
  ScaleBlock sizes;
  for (const auto& [side, out] : {std::pair{0, &sizes.rows}, {1, &sizes.cols}}) {
    const json& size = block[static_cast<size_t>(side)];
    if (!size.is_number_integer() || size < 1 || size > (1 << 24)) {
      return refused("weight_block_size is " + block.dump());
    }
    *out = size.get<int>();
  }
  return sizes;
}

Status attach_scales(const ScaleBlock& block, std::map<std::string, Tensor>& tensors) {
  for (auto& [name, tensor] : tensors) {
    if (tensor.dtype != vflow::Dtype::kFp8E4m3) { continue; }
    if (block.rows == 0) {
      return candidate_error("the checkpoint's tensor " + name +
                             " is in fp8, and config.json has no quantization_config that says how it is scaled");
    }
    const auto scales = tensors.find(name + kTail);
    if (tensor.shape.size() != 2 || scales == tensors.end()) {
      return candidate_error("the checkpoint's tensor " + name + " is in fp8, and the checkpoint lacks its scales, " +
                             name + kTail);
    }
    VORTEX_TRY(attach(name, tensor, scales->second, block));
  }
  return ok_status();
}

}  // namespace vortex::model
