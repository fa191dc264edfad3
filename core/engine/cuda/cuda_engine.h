// The engine on one CUDA device: the whole decode step is one CUDA graph over state that lives on the device.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "core/engine/engine.h"
#include "core/model/model.h"
#include "core/vflow/config/config.h"

namespace vortex::engine {

class RankLink;

struct CudaOptions {
  int device = 0;
  // K and V where no policy is set; a policy's kv_cache_dtype decides otherwise.
  vflow::Dtype kv_dtype = vflow::Dtype::kBf16;
  // Only matrix-product algorithms that give the same bits at every batch size, and attention whose rows fall into the
  // same pieces whatever thread blocks have them: a request's tokens then depend on nothing but the request.
  bool batch_invariant = true;
  // With `batch_invariant`: thread blocks that a row of attention may be spread over where rows are few, and pieces
  // that it falls into for that wherever it is attended: 1, 2, 4 or 8. Bits follow from it, and from nothing else of
  // how rows are spread. More are quicker for one request and slower for many (docs/benchmarks/hand-over.md); with 1 a
  // policy never selects and attends by one kernel, to compare.
  int row_pieces = 4;
  bool own_products = true;             // matrix products by our kernel too, where it is faster than cuBLASLt
  int steps_per_replay = 8;             // decode steps between two looks of the host
  int prompt_chunk = 0;                 // most tokens of a prompt that are computed together; 0: as suits the model
  bool plain_prompts = false;           // prompts attend by the kernel that takes every type, to compare
  std::filesystem::path kernel_cache;   // compiled policies by hash; empty: not kept
  std::filesystem::path product_cache;  // matrix products tuned by this build on such a device; empty: not kept
  // Of one rank of several (tensor_parallel.h), whose part of a model this engine runs; null: it has all of it.
  std::shared_ptr<RankLink> link;
  std::string build;  // this program's: tuned products of another one are not taken
};

struct CudaDevice {
  std::string name;
  int driver = 0;   // as cudaDriverGetVersion gives it
  int runtime = 0;  // of the toolkit that this program was built with
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
  std::string bus_id;  // as base/gpu.h spells it
};

// The device, if there is one that the kernels run on (compute capability 9.0); otherwise the environment's error that
// says why not.
Result<CudaDevice> find_cuda_device(int device = 0);

// Could make_cuda_engine() and set_policy() take these on a machine that has the device? Says what the kernels do not
// cover, as the candidate's fault. Needs no device.
Status cuda_supports(const model::ModelConfig& model, const EngineOptions& options, const vflow::Policy* policy);

// An Engine (engine.h) on the device. `options.threads` is not used; kv_memory_bytes 0 takes what max_batch requests of
// max_context tokens need, at most what is free. Models and policies whose shapes the kernels do not cover are the
// candidate's fault. AttentionView::cache of an observer holds the pages of the batch only, as bf16, without fields.
Result<std::unique_ptr<Engine>> make_cuda_engine(model::Model model, const EngineOptions& options,
                                                 const CudaOptions& cuda = {});

}  // namespace vortex::engine
