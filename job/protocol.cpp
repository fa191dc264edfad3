#include "job/protocol.h"

#include <algorithm>

#include "base/escape.h"
#include "base/json.h"
#include "base/json_reader.h"

namespace vortex::job {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;  // of nesting: evidence needs few levels, and copying JSON is recursive

std::string frame_of(const json& object) { return frame(object.dump(-1, ' ', false, json::error_handler_t::replace)); }

Result<json> parse_payload(std::string_view payload) {
  if (payload.size() > kMaxFrameBytes) { return internal_error("a frame is longer than the protocol allows"); }
  if (json_depth(payload) > kMaxDepth) { return internal_error("a frame is nested deeper than the protocol allows"); }
  json parsed = parse_json(payload);
  if (parsed.is_discarded()) { return internal_error("not JSON: " + terminal_text(payload.substr(0, 80))); }
  return parsed;
}

Status check_version(int version) {
  if (version == kProtocolVersion) { return ok_status(); }
  return environment_error(
      "protocol version " + std::to_string(version) + " instead of " + std::to_string(kProtocolVersion),
      "vortex and vortex-worker must come from the same build");
}

struct EventWriter {
  json operator()(const Hello& hello) const {
    return {{"event", "hello"}, {"protocol", hello.protocol}, {"build", hello.build}};
  }
  json operator()(const StageStart& start) const {
    json line = {{"event", "start"}, {"stage", stage_name(start.stage)}};
    if (start.planned > 0) { line["planned"] = start.planned; }
    return line;
  }
  json operator()(const StageResult& result) const { return {{"event", "result"}, {"result", to_json(result)}}; }
  json operator()(const NewToken& token) const { return to_json(token); }
  json operator()(const GenerationRun& run) const { return to_json(run); }
  json operator()(const Refusal& refusal) const {
    const Error& error = refusal.error;
    return {{"event", "refused"}, {"blame", blame_name(error.blame)}, {"message", error.message}, {"hint", error.hint}};
  }
};

struct RequestWriter {
  json operator()(const Job& job) const { return {{"protocol", kProtocolVersion}, {"job", to_json(job)}}; }
  json operator()(const GenerationJob& job) const {
    return {{"protocol", kProtocolVersion}, {"generation", to_json(job)}};
  }
};

Result<Event> parse_hello(JsonReader& reader) {
  Hello hello;
  reader.required("protocol", hello.protocol);
  reader.required("build", hello.build);
  VORTEX_TRY(reader.finish());
  VORTEX_TRY(check_version(hello.protocol));
  return Event(hello);
}

Result<Event> parse_start(JsonReader& reader) {
  std::string name;
  double planned = 0;
  reader.required("stage", name);
  reader.optional("planned", planned);
  if (planned < 0) { reader.refuse("planned", "must not be negative"); }
  const auto stage = stage_from_name(name);
  if (!stage) { reader.refuse("stage", "is no stage: \"" + terminal_text(name) + "\""); }
  VORTEX_TRY(reader.finish());
  return Event(StageStart{*stage, planned});
}

Result<Event> parse_result(JsonReader& reader) {
  const json* body = reader.find("result", true);
  VORTEX_TRY(reader.finish());
  VORTEX_ASSIGN(StageResult result, stage_result_from_json(*body));
  return Event(std::move(result));
}

Result<Event> parse_refusal(JsonReader& reader) {
  Refusal refusal;
  std::string blame;
  reader.required("blame", blame);
  reader.required("message", refusal.error.message);
  reader.required("hint", refusal.error.hint);
  const auto known = blame_from_name(blame);
  if (!known) { reader.refuse("blame", "names nobody: \"" + terminal_text(blame) + "\""); }
  VORTEX_TRY(reader.finish());
  refusal.error = {*known, terminal_text(refusal.error.message), terminal_text(refusal.error.hint)};
  return Event(std::move(refusal));
}

Result<Event> parse_token(const json& parsed) {
  VORTEX_ASSIGN(const NewToken token, new_token_from_json(parsed));
  return Event(token);
}

Result<Event> parse_run(const json& parsed) {
  VORTEX_ASSIGN(const GenerationRun run, generation_run_from_json(parsed));
  return Event(run);
}

}  // namespace

std::string request_frame(const Request& request) { return frame_of(std::visit(RequestWriter{}, request)); }

std::string event_frame(const Event& event) { return frame_of(std::visit(EventWriter{}, event)); }

Result<Request> parse_request(std::string_view payload) {
  VORTEX_ASSIGN(const json parsed, parse_payload(payload));
  JsonReader reader(parsed, "request");
  int version = 0;
  reader.required("protocol", version);
  const json* generation = reader.find("generation", false);
  const json* job = reader.find("job", generation == nullptr);
  VORTEX_TRY(reader.finish());
  VORTEX_TRY(check_version(version));
  if (generation != nullptr) {
    VORTEX_ASSIGN(GenerationJob read, generation_job_from_json(*generation));
    return Request(std::move(read));
  }
  VORTEX_ASSIGN(Job read, job_from_json(*job));
  return Request(std::move(read));
}

Result<Event> parse_event(std::string_view payload) {
  VORTEX_ASSIGN(const json parsed, parse_payload(payload));
  JsonReader reader(parsed, "event");
  std::string kind;
  reader.required("event", kind);
  if (kind == "hello") { return parse_hello(reader); }
  if (kind == "start") { return parse_start(reader); }
  if (kind == "result") { return parse_result(reader); }
  if (kind == "token") { return parse_token(parsed); }
  if (kind == "run") { return parse_run(parsed); }
  if (kind == "refused") { return parse_refusal(reader); }
  reader.refuse("event", "is unknown: \"" + terminal_text(kind.substr(0, 80)) + "\"");
  return reader.finish().error();
}

}  // namespace vortex::job
