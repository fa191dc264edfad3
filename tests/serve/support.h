// A tokenizer whose tokens are bytes, and a small model that speaks it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/engine/cpu_engine.h"
#include "core/engine/session.h"
#include "core/model/unicode.h"
#include "serve/dispatcher.h"
#include "serve/served.h"
#include "tests/core/engine/support.h"

namespace vortex::testing {

// Null where this build has no BPE.
inline std::shared_ptr<const model::Tokenizer> byte_tokenizer() {
  auto tokenizer = model::load_tokenizer(VORTEX_SOURCE_DIR "/tests/cases/model/tiny_bpe");
  if (!tokenizer.ok()) { return nullptr; }
  return std::shared_ptr<const model::Tokenizer>(std::move(*tokenizer));
}

// A token for each byte of a text.
inline std::vector<int32_t> byte_tokens(const model::Tokenizer& tokenizer, const std::string& text) {
  std::vector<int32_t> ids;
  for (const char byte : text) {
    for (int32_t id = 0; id < 560; ++id) {
      if (tokenizer.piece(id, false) == std::string(1, byte)) {
        ids.push_back(id);
        break;
      }
    }
  }
  EXPECT_EQ(ids.size(), text.size()) << "every byte is a token";
  return ids;
}

// An engine over random weights whose vocabulary is the tokenizer's; its stop token is 1, a byte.
inline std::shared_ptr<engine::CpuEngine> byte_engine(int max_batch, int64_t kv_memory_bytes = 0) {
  TinyModel shape;
  shape.vocab = 565;
  engine::EngineOptions options;
  options.max_batch = max_batch;
  options.max_context = 256;
  options.kv_memory_bytes = kv_memory_bytes;
  return make_engine(shape, options);
}

inline std::vector<serve::Lane> lanes_of(const std::vector<std::shared_ptr<engine::CpuEngine>>& engines) {
  std::vector<serve::Lane> lanes;
  for (const auto& one : engines) {
    lanes.push_back({"lane-" + std::to_string(lanes.size()), [one] { return one->session({16, 0, true}); }});
  }
  return lanes;
}

// One of whose rounds with a request fails: the `fatal`-th.
class FailingSession final : public engine::Session {
 public:
  FailingSession(std::unique_ptr<engine::Session> real, int fatal) : real_(std::move(real)), fatal_(fatal) {}
  Status submit(engine::LiveRequest request) override { return real_->submit(std::move(request)); }
  void cancel(int64_t id) override { real_->cancel(id); }
  Result<bool> round() override {
    if (real_->use().running > 0 && ++rounds_ == fatal_) { return environment_error("out of memory"); }
    return real_->round();
  }
  engine::SessionUse use() const override { return real_->use(); }

 private:
  std::unique_ptr<engine::Session> real_;
  int fatal_;
  int rounds_ = 0;
};

}  // namespace vortex::testing
