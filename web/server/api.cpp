#include "web/server/api.h"

#include <memory>

#include "base/json.h"
#include "db/lock.h"
#include "web/server/json.h"
#include "web/server/views.h"

namespace vortex::web {
namespace {

using nlohmann::json;

int status_of(const Error& error) {
  switch (error.blame) {
    case Blame::kCandidate:
      return 400;
    case Blame::kEnvironment:
      return 503;
    case Blame::kInternal:
      break;
  }
  return 500;
}

Error not_found(const std::string& what) {
  return Error{Blame::kCandidate, "there is no " + what, "see /openapi.json"};
}

std::string value_of(const Request& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string() : found->second;
}

Result<std::string> text_of(Result<json> value) {
  if (!value.ok()) { return value.error(); }
  return dumped(*value);
}

Result<std::vector<int64_t>> numbers_of(const std::string& text) {
  std::vector<int64_t> numbers;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(',', begin), text.size());
    VORTEX_ASSIGN(const int64_t number, number_of(text.substr(begin, end - begin), "candidate"));
    numbers.push_back(number);
    begin = end + 1;
  }
  if (numbers.size() < 2 || numbers.size() > 5) { return candidate_error("two to five candidates can be compared"); }
  return numbers;
}

// A member of a body that must be there and have the type of `value`.
template <typename T>
Status read(const json& body, const char* name, T& value) {
  const auto found = body.find(name);
  if (found == body.end()) { return candidate_error(std::string("the body has no \"") + name + "\""); }
  try {
    found->get_to(value);
  } catch (const json::exception&) { return candidate_error(std::string("\"") + name + "\" has the wrong type"); }
  return ok_status();
}

constexpr size_t kLongestNote = 4000;

}  // namespace

Result<int64_t> number_of(const std::string& text, const std::string& what) {
  const bool digits = !text.empty() && text.size() <= 15 && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoll(text) == 0) { return candidate_error("not a " + what + ": " + text.substr(0, 40)); }
  return std::stoll(text);
}

Response Api::handle(const Request& request) {
  const bool is_post = request.method == "POST";
  Result<std::string> answer = is_post ? post(request) : get(request);
  if (answer.ok()) { return {200, std::move(*answer)}; }
  const Error& error = answer.error();
  const bool missing = error.blame == Blame::kCandidate && error.message.rfind("there is no ", 0) == 0;
  const int status = missing ? 404 : status_of(error);
  return {status, dumped({{"error", error.message}, {"hint", error.hint}, {"blame", blame_name(error.blame)}})};
}

Result<std::string> Api::get(const Request& request) {
  const std::vector<std::string>& path = request.path;
  if (path.size() == 1 && path[0] == "about") {
    return text_of(about_json(options_.workspace, options_.actions, options_.vortex));
  }
  if (path.size() == 1 && path[0] == "runs") { return text_of(runs_json(runs_)); }
  if (path.size() == 3 && path[0] == "runs") { return get_of_run(request); }
  if ((path.size() == 2 || path.size() == 3) && path[0] == "candidates") { return get_of_candidate(request); }
  if (path.size() == 1 && path[0] == "compare") {
    VORTEX_ASSIGN(const std::vector<int64_t> numbers, numbers_of(value_of(request, "candidates")));
    VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(options_.workspace));
    return text_of(compare_json(*store, runs_, numbers));
  }
  if (path.size() == 2 && path[0] == "calls") {
    VORTEX_ASSIGN(const int64_t call, number_of(path[1], "call"));
    VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(options_.workspace));
    return text_of(call_json(*store, call));
  }
  return not_found("such page of the API");
}

Result<std::string> Api::get_of_run(const Request& request) {
  VORTEX_ASSIGN(const std::shared_ptr<LiveRun> run, runs_.find(request.path[1]));
  const std::string& what = request.path[2];
  if (what == "overview") { return run->since(0); }
  if (what == "candidates") { return text_of(candidates_json(*run, request.query)); }
  if (what == "lineage") { return text_of(lineage_json(*run)); }
  if (what == "brief") { return text_of(brief_json(options_.workspace, *run, options_.vortex)); }
  if (what == "failures") { return text_of(failures_json(*run)); }
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(options_.workspace));
  if (what == "diversity") { return text_of(diversity_json(*store, *run)); }
  if (what == "notebook") { return text_of(notebook_json(*store, *run)); }
  if (what == "environment") { return text_of(environment_json(*store, *run, options_.workspace)); }
  return not_found("such view of a run");
}

Result<std::string> Api::get_of_candidate(const Request& request) {
  VORTEX_ASSIGN(const int64_t candidate, number_of(request.path[1], "candidate"));
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(options_.workspace));
  VORTEX_ASSIGN(const std::string name, run_of(*store, candidate));
  if (request.path.size() == 3) {
    if (request.path[2] == "run") { return dumped({{"run", name}}); }
    return not_found("such view of a candidate");
  }
  VORTEX_ASSIGN(const std::shared_ptr<LiveRun> run, runs_.find(name));
  return text_of(candidate_json(*store, *run, candidate, options_.vortex));
}

// Each action is a row; what a running search does of it, it writes there.
Result<std::string> Api::post(const Request& request) {
  if (!options_.actions) {
    return candidate_error("this dashboard only shows", "start it with --actions to act beyond this machine");
  }
  const std::vector<std::string>& path = request.path;
  const json body = parse_json(request.body.empty() ? "{}" : request.body);
  if (!body.is_object()) { return candidate_error("the body is no JSON object"); }
  if (path.size() != 3) { return not_found("such action"); }
  if (path[0] == "runs" && path[2] == "stop") {
    bool now = false;
    VORTEX_TRY(read(body, "now", now));
    VORTEX_ASSIGN(const std::shared_ptr<LiveRun> run, runs_.find(path[1]));
    if (run->run().state != db::RunState::kRunning || !db::lock_holder(options_.workspace)) {
      return candidate_error("search " + run->run().name + " is not running");
    }
    VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open(options_.workspace));
    VORTEX_TRY(store->add_event(run->run().id, now ? "stop-now-requested" : "stop-requested", "{}"));
    return dumped({{"asked", true}});
  }
  if (path[0] != "candidates") { return not_found("such action"); }
  VORTEX_ASSIGN(const int64_t candidate, number_of(path[1], "candidate"));
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open(options_.workspace));
  VORTEX_ASSIGN(const std::optional<db::Candidate> row, store->find_candidate(candidate));
  if (!row) { return not_found("candidate " + path[1]); }
  if (path[2] == "mark") {
    db::Mark mark;
    mark.candidate = candidate;
    VORTEX_TRY(read(body, "starred", mark.starred));
    VORTEX_TRY(read(body, "hidden", mark.hidden));
    VORTEX_TRY(read(body, "note", mark.note));
    if (mark.note.size() > kLongestNote) { return candidate_error("the note is longer than 4000 bytes"); }
    VORTEX_TRY(store->set_mark(mark));
    return dumped({{"saved", true}});
  }
  if (path[2] == "request") {
    db::Request asked;
    asked.run = row->run;
    asked.candidate = candidate;
    std::string kind;
    VORTEX_TRY(read(body, "kind", kind));
    const auto known = from_name<db::RequestKind>(kind);
    if (!known) { return candidate_error("\"kind\" is retest or confirm"); }
    asked.kind = *known;
    if (!study::has_passed(*row) || study::is_dense(*row)) {
      return candidate_error("candidate " + path[1] + " did not pass every stage: there is nothing to ask again");
    }
    VORTEX_ASSIGN(const int64_t id, store->add_request(asked));
    return dumped({{"request", id}});
  }
  return not_found("such action");
}

}  // namespace vortex::web
