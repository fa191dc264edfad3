#include "core/model/model.h"

#include "base/files.h"
#include "base/sha256.h"
#include "core/model/architecture.h"
#include "core/model/fp8_scales.h"
#include "core/model/safetensors.h"
#include "core/model/weights.h"

namespace vortex::model {

Result<Model> load_model(const std::filesystem::path& folder) {
  Model model;
  VORTEX_ASSIGN(model.config, read_model_config(folder));
  VORTEX_ASSIGN(const std::string config_text, read_file(folder / "config.json"));
  VORTEX_ASSIGN(Checkpoint checkpoint, open_checkpoint(folder));
  VORTEX_TRY(attach_scales(model.config.scale_block, checkpoint.tensors));
  VORTEX_ASSIGN(Weights weights,
                find_architecture(model.config.architecture)->collect(model.config, checkpoint.tensors));
  weights.files = std::move(checkpoint.files);
  model.weights = std::make_shared<const Weights>(std::move(weights));
  model.hash = sha256_hex(sha256_hex(config_text) + checkpoint.hash);
  return model;
}

}  // namespace vortex::model
