#include "evals/ladder/trace.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "base/files.h"
#include "base/sha256.h"

namespace vortex::evals {
namespace {

constexpr int kFormat = 2;
constexpr size_t kTopTokens = 32;

int trace_tokens(const Session& session, const PreparedProblem& prepared) {
  return std::min(prepared.spec->max_new_tokens, session.job.recall_tokens);
}

// Named by everything that a trace depends on.
std::filesystem::path trace_path(const Session& session, const PreparedProblem& prepared) {
  const nlohmann::json identity = {kFormat, session.engine->model().hash, trace_tokens(session, prepared),
                                   prepared.prompt};
  const std::string name = "trace-" + sha256_hex(identity.dump()).substr(0, 32) + ".json";
  return std::filesystem::path(session.job.prefix_folder) / name;
}

nlohmann::json to_json(const DenseTrace& trace) {
  return {{"tokens", trace.tokens}, {"top", trace.top}, {"log_probs", trace.log_probs}};
}

bool well_formed(const DenseTrace& trace) {
  if (trace.tokens.empty() || trace.top.size() != trace.tokens.size() ||
      trace.log_probs.size() != trace.tokens.size()) {
    return false;
  }
  for (size_t i = 0; i < trace.tokens.size(); ++i) {
    if (trace.top[i].empty() || trace.top[i].size() != trace.log_probs[i].size()) return false;
  }
  return true;
}

std::optional<DenseTrace> load_trace(const std::filesystem::path& path) {
  const auto text = read_file(path);
  if (!text.ok()) return std::nullopt;
  try {
    const nlohmann::json json = nlohmann::json::parse(*text);
    DenseTrace trace;
    const nlohmann::json& body = json.at("trace");
    body.at("tokens").get_to(trace.tokens);
    body.at("top").get_to(trace.top);
    body.at("log_probs").get_to(trace.log_probs);
    // The checksum is of what was read, so a changed digit anywhere shows.
    if (json.at("sha256") == sha256_hex(to_json(trace).dump()) && well_formed(trace)) return trace;
  } catch (const nlohmann::json::exception&) {  // damaged
  }
  return std::nullopt;
}

Status save_trace(const DenseTrace& trace, const std::filesystem::path& path) {
  nlohmann::json body = to_json(trace);
  const std::string checksum = sha256_hex(body.dump());
  const nlohmann::json json = {{"sha256", checksum}, {"trace", std::move(body)}};
  return write_file_atomic(path, json.dump());
}

// Keeps the most probable tokens of one position.
void keep_top(const float* log_probs, size_t vocab, DenseTrace& trace) {
  std::vector<int32_t> order(vocab);
  std::iota(order.begin(), order.end(), 0);
  const auto kept = static_cast<std::ptrdiff_t>(std::min(kTopTokens, vocab));
  std::partial_sort(order.begin(), order.begin() + kept, order.end(), [&](int32_t a, int32_t b) {
    return log_probs[a] != log_probs[b] ? log_probs[a] > log_probs[b] : a < b;
  });
  order.resize(static_cast<size_t>(kept));
  std::vector<float> values;
  for (const int32_t token : order) values.push_back(log_probs[token]);
  trace.top.push_back(std::move(order));
  trace.log_probs.push_back(std::move(values));
}

// Under dense attention, which must be set.
Result<std::vector<DenseTrace>> compute_traces(Session& session, const std::vector<size_t>& which) {
  std::vector<engine::Request> requests;
  for (const size_t i : which) {
    VORTEX_ASSIGN(engine::Request request, request_of(session, session.problems[i]));
    request.sampling = {};
    request.max_new_tokens = trace_tokens(session, session.problems[i]);
    requests.push_back(std::move(request));
  }
  VORTEX_ASSIGN(const std::vector<engine::Output> outputs, session.engine->generate(requests, nullptr));
  std::vector<DenseTrace> traces;
  for (size_t i = 0; i < requests.size(); ++i) {
    DenseTrace trace;
    trace.tokens = outputs[i].tokens;
    VORTEX_ASSIGN(const std::vector<float> log_probs,
                  session.engine->teacher_force(requests[i], trace.tokens, {}, nullptr));
    const size_t vocab = log_probs.size() / trace.tokens.size();
    for (size_t at = 0; at < trace.tokens.size(); ++at) keep_top(&log_probs[at * vocab], vocab, trace);
    traces.push_back(std::move(trace));
  }
  return traces;
}

}  // namespace

Result<std::vector<DenseTrace>> dense_traces(Session& session, size_t count) {
  const bool kept = !session.job.prefix_folder.empty();
  std::vector<DenseTrace> traces(count);
  std::vector<size_t> missing;
  for (size_t i = 0; i < count; ++i) {
    auto loaded = kept ? load_trace(trace_path(session, session.problems[i])) : std::nullopt;
    if (loaded) {
      traces[i] = std::move(*loaded);
    } else {
      missing.push_back(i);
    }
  }
  if (missing.empty()) return traces;
  VORTEX_TRY(session.engine->set_policy(std::nullopt));
  auto computed = compute_traces(session, missing);
  VORTEX_TRY(session.engine->set_policy(session.policy));
  if (!computed.ok()) return computed.error();
  for (size_t i = 0; i < missing.size(); ++i) {
    traces[missing[i]] = std::move((*computed)[i]);
    if (kept) VORTEX_TRY(save_trace(traces[missing[i]], trace_path(session, session.problems[missing[i]])));
  }
  return traces;
}

}  // namespace vortex::evals
