#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "core/engine/engine.h"

namespace vortex::engine {

// What place() made resident.
struct Placed {
  int64_t tokens = 0;
  int64_t real = 0;    // of them, with K and V of donors; those of the others are random
  double seconds = 0;  // that it took
};

// What measurements drive: decode steps of made-up requests on an engine's own model, policy and pool. Nothing depends
// on the values of tokens; lengths, pages and the policy's work are those of real requests. Engine::stepper() makes
// one, with nothing resident.
class Stepper {
 public:
  virtual ~Stepper() = default;

  // Replaces what is resident: request i has lengths[i] >= 1 tokens on scattered pages, summarised by the policy. Where
  // there are donors, its first tokens have the K and V of donors[i % donors.size()], if that is no longer than the
  // request and the engine can place it for less than a few steps cost; all others are random. More requests than
  // max_batch() or more pages than pages() are the caller's fault.
  virtual Status place(std::span<const int> lengths, std::span<const PrefixPtr> donors) = 0;
  virtual Placed placed() const = 0;  // by the last place()

  // Prefills a random prompt and makes it resident, as the last one. Gives the seconds it took.
  virtual Result<double> admit(int prompt_tokens) = 0;

  // The same in pieces, between which the residents decode: begin() takes what a prompt needs, read() computes at most
  // `tokens` more of it and gives what it took. The request is resident once none are left. An
  // engine that does not cut prompts reads the whole at once.
  struct Piece {
    int left = 0;  // tokens
    double seconds = 0;
  };
  virtual Status begin(int prompt_tokens) {
    begun_ = prompt_tokens;
    return ok_status();
  }
  virtual Result<Piece> read([[maybe_unused]] int tokens) {
    const Result<double> seconds = admit(begun_);
    if (!seconds.ok()) { return seconds.error(); }
    return Piece{0, *seconds};
  }

  // Takes away resident request `index`; the last one takes its place.
  virtual Status retire(int index) = 0;

  // Decodes `steps` tokens of every resident request, each one longer by `steps` afterwards. Gives the seconds of all
  // steps. What is done only once (tuning, graph capture) is done before the clock starts.
  virtual Result<double> run(int steps) = 0;

  // For profiles: steps lack the named stage from now on ("": none), so that its share shows. What is resident stays.
  virtual Status leave_out(const std::string& stage) {
    return stage.empty() ? ok_status() : candidate_error("stages can be left out on CUDA only, not " + stage);
  }

  // From now on the seconds of run() and copy_bandwidth() are those that this process computes, a thread: what others
  // do on the same cores hardly shows. Devices ignore it.
  virtual void count_processor_time() {}

  // What the steps of this stepper did.
  virtual Result<RunStats> stats() = 0;

  virtual int block_size() const = 0;
  virtual int64_t pages() const = 0;  // of the pool
  virtual int max_batch() const = 0;
  virtual int max_context() const = 0;
  virtual int steps_per_round() const = 0;    // that the engine decodes between two looks of the host
  virtual vflow::Dtype kv_dtype() const = 0;  // of K and V where no policy says otherwise
  virtual vflow::Dtype expert_dtype() const { return vflow::Dtype::kBf16; }  // that weights of experts are kept as
  virtual bool on_device() const = 0;

  // Bytes a second of a large copy inside the device's memory, read + write: what limits are compared with. What is
  // resident is lost.
  virtual Result<double> copy_bandwidth() = 0;

  // Results of special functions a second, at the device's highest clock; 0 where limits do not count them.
  virtual double special_rate() const { return 0; }

  virtual std::string device() const = 0;  // name, driver
  virtual std::string notes() const = 0;   // what was tuned, a line each; may be empty

 private:
  int begun_ = 0;
};

}  // namespace vortex::engine
