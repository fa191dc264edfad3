#include "core/model/fp8_scales.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/model/config_json.h"

namespace vortex::model {
namespace {

using nlohmann::json;

constexpr const char* kTail = "_scale_inv";
constexpr const char* kOneRelease = "fetch the model again: config.json and weights must be of one release";
constexpr const char* kOthers = "take a release in bf16, or one in fp8 whose weight_block_size names blocks";

int64_t blocks_of(int64_t size, int block) { return (size + block - 1) / block; }

bool is_finite(const Tensor& matrix) {
  std::vector<float> row(static_cast<size_t>(cols_of(matrix)));
  for (int64_t i = 0; i < rows_of(matrix); ++i) {
    read_row(matrix, i, row.data());
    if (!std::all_of(row.begin(), row.end(), [](float x) { return std::isfinite(x); })) { return false; }
  }
  return true;
}

Status attach(const std::string& name, Tensor& tensor, const Tensor& scales, const ScaleBlock& block) {
  const std::vector<int64_t> wanted = {blocks_of(tensor.shape[0], block.rows), blocks_of(tensor.shape[1], block.cols)};
  if (scales.shape != wanted || scales.dtype == vflow::Dtype::kFp8E4m3) {
    return candidate_error("the checkpoint's tensor " + name + kTail + " is not one number for each block of " +
                               std::to_string(block.rows) + "x" + std::to_string(block.cols) + " of " + name +
                               ", which are " + std::to_string(wanted[0]) + "x" + std::to_string(wanted[1]),
                           kOneRelease);
  }
  if (!is_finite(scales)) {
    return candidate_error("the checkpoint's tensor " + name + kTail + " has a scale that is no finite number",
                           kOneRelease);
  }
  tensor.scales = std::make_shared<const Tensor>(scales);
  tensor.scale_block = block;
  return ok_status();
}

}  // namespace

Result<ScaleBlock> read_scale_block(const json& quantisation) {
  const auto refused = [](const std::string& what) {
    return candidate_error(
        "config.json: quantised checkpoints are not supported but in fp8 with a scale for each block: " + what,
        kOthers);
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
                                 " is in fp8, and config.json has no quantization_config that says how it is scaled",
                             kOneRelease);
    }
    const auto scales = tensors.find(name + kTail);
    if (tensor.shape.size() != 2 || scales == tensors.end()) {
      return candidate_error(
          "the checkpoint's tensor " + name + " is in fp8, and the checkpoint lacks its scales, " + name + kTail,
          kOneRelease);
    }
    VORTEX_TRY(attach(name, tensor, scales->second, block));
  }
  return ok_status();
}

}  // namespace vortex::model
