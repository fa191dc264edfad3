#include "evals/ladder/trace.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/files.h"
#include "base/sha256.h"

namespace vortex::evals {
namespace {

constexpr int kTraceFormat = 2;
constexpr int kTopTokens = 32;

int trace_length(const Session& session, const PreparedProblem& prepared) {
  return std::min(prepared.spec->max_new_tokens, session.job.recall_tokens);
}

// Named by everything that a trace depends on.
std::filesystem::path trace_path(const Session& session, const TraceWanted& wanted) {
  const PreparedProblem& prepared = session.problems[wanted.problem];
  nlohmann::json identity = {kTraceFormat, session.engine->model().computed_by(), trace_length(session, prepared),
                             prepared.prompt};
  if (!wanted.tokens.empty()) { identity[2] = wanted.tokens; }
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
    if (trace.top[i].empty() || trace.top[i].size() != trace.log_probs[i].size()) { return false; }
  }
  return true;
}

std::optional<DenseTrace> load_trace(const std::filesystem::path& path) {
  const auto text = read_file(path);
  if (!text.ok()) { return std::nullopt; }
  try {
    const nlohmann::json json = nlohmann::json::parse(*text);
    DenseTrace trace;
    const nlohmann::json& body = json.at("trace");
    body.at("tokens").get_to(trace.tokens);
    body.at("top").get_to(trace.top);
    body.at("log_probs").get_to(trace.log_probs);
    // The checksum is of what was read, so a changed digit anywhere shows.
    if (json.at("sha256") == sha256_hex(to_json(trace).dump()) && well_formed(trace)) { return trace; }
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

// Fills in the tokens that dense attention, which must be set, writes where none are given.
Status write_tokens(Session& session, const std::vector<TraceWanted>& wanted,
                    std::vector<engine::ForcedRequest>& forced) {
  std::vector<engine::Request> requests;
  std::vector<size_t> writes;
  for (size_t i = 0; i < forced.size(); ++i) {
    if (!forced[i].continuation.empty()) { continue; }
    engine::Request request = forced[i].request;
    request.sampling = {};
    request.max_new_tokens = trace_length(session, session.problems[wanted[i].problem]);
    requests.push_back(std::move(request));
    writes.push_back(i);
  }
  if (requests.empty()) { return ok_status(); }
  VORTEX_ASSIGN(std::vector<engine::Output> outputs, session.engine->generate(requests, nullptr));
  for (size_t i = 0; i < writes.size(); ++i) { forced[writes[i]].continuation = std::move(outputs[i].tokens); }
  return ok_status();
}

// Under dense attention, which must be set.
Result<std::vector<DenseTrace>> compute_traces(Session& session, const std::vector<TraceWanted>& wanted) {
  std::vector<engine::ForcedRequest> requests;
  for (const TraceWanted& one : wanted) {
    engine::ForcedRequest request;
    VORTEX_ASSIGN(request.request, request_of(session, session.problems[one.problem]));
    request.continuation = one.tokens;
    requests.push_back(std::move(request));
  }
  VORTEX_TRY(write_tokens(session, wanted, requests));
  VORTEX_ASSIGN(std::vector<engine::Forced> forced, session.engine->force_decode(requests, {kTopTokens, 0}, nullptr));
  std::vector<DenseTrace> traces;
  for (size_t i = 0; i < forced.size(); ++i) {
    traces.push_back(
        {std::move(requests[i].continuation), std::move(forced[i].top), std::move(forced[i].top_log_probs)});
  }
  return traces;
}

}  // namespace

Result<std::vector<DenseTrace>> dense_traces(Session& session, const std::vector<TraceWanted>& wanted) {
  const bool kept = !session.job.prefix_folder.empty();
  std::vector<DenseTrace> traces(wanted.size());
  std::vector<size_t> missing;
  std::vector<TraceWanted> to_compute;
  for (size_t i = 0; i < wanted.size(); ++i) {
    auto loaded = kept ? load_trace(trace_path(session, wanted[i])) : std::nullopt;
    if (loaded) {
      traces[i] = std::move(*loaded);
    } else {
      missing.push_back(i);
      to_compute.push_back(wanted[i]);
    }
  }
  if (missing.empty()) { return traces; }
  VORTEX_TRY(session.engine->set_policy(std::nullopt));
  auto computed = compute_traces(session, to_compute);
  VORTEX_TRY(session.engine->set_policy(session.policy));
  if (!computed.ok()) { return computed.error(); }
  for (size_t i = 0; i < missing.size(); ++i) {
    traces[missing[i]] = std::move((*computed)[i]);
    if (kept) { VORTEX_TRY(save_trace(traces[missing[i]], trace_path(session, wanted[missing[i]]))); }
  }
  return traces;
}

}  // namespace vortex::evals
