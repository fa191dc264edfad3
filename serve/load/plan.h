#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vortex::load {

// A request of a load: when it comes, and how long it is. Its prompt is made of blocks of tokens; blocks of one number
// have the same tokens, so that prompts that begin with the same numbers begin alike.
struct LoadRequest {
  double at = 0;  // seconds after the start
  int prompt_tokens = 0;
  int output_tokens = 0;
  std::vector<uint64_t> blocks;
};
inline constexpr int kBlockTokens = 512;  // of the Mooncake traces

enum class Arrivals { kPoisson, kGamma, kConstant };

// Made-up requests.
struct MadeUp {
  int requests = 100;
  double rate = 1;  // a second; 0: all at once
  Arrivals arrivals = Arrivals::kPoisson;
  double smoothness = 0.5;  // of kGamma: the shape of its gaps; 1 is Poisson, less comes in bursts
  int prompt_tokens = 512;
  int shared_tokens = 0;  // of these, that all prompts begin with: whole blocks
  int output_tokens = 128;
  uint64_t seed = 1;
};
std::vector<LoadRequest> make_up(const MadeUp& what);

// A recorded load in the format of Mooncake's traces: a JSON object a line, with timestamp (milliseconds),
// input_length, output_length and, optional, hash_ids (of blocks of 512 tokens). Requests without output are left out.
Result<std::vector<LoadRequest>> parse_trace(std::string_view text, const std::string& name);

// How a trace is replayed.
struct Replay {
  double speed = 1;     // 2: twice as fast as it was recorded
  bool spread = false;  // requests of one time stamp come evenly until the next one: some recorders tick slowly
  int most = 0;         // the first so many requests; 0: all
};
void apply(const Replay& replay, std::vector<LoadRequest>& requests);

// The ids of a prompt, each at least `lowest` and less than `vocab`.
std::vector<int32_t> prompt_of(const LoadRequest& request, int lowest, int vocab, uint64_t seed);

}  // namespace vortex::load
