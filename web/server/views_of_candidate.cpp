#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "core/vflow/graph/canonical.h"
#include "core/vflow/graph/distance.h"
#include "core/vflow/tell/cost.h"
#include "core/vflow/tell/explain.h"
#include "study/front.h"
#include "study/loaded_run.h"
#include "study/notebook.h"
#include "study/retest.h"
#include "web/server/front_section.h"
#include "web/server/json.h"
#include "web/server/structure.h"
#include "web/server/views.h"

namespace vortex::web {
namespace {

using nlohmann::json;

constexpr size_t kMostStructures = 80;  // in the distance matrix

int64_t dense_of(const LiveRun& run) {
  return run.with_board([](const study::Board& board, const LiveRun::Parents&) { return board.dense(); });
}

json stage_json(const db::StageRow& stage, double limit) {
  const bool worker = job::stage_info(stage.stage.stage).in_worker;
  json metrics = parsed(stage.metrics);
  json evidence = parsed(stage.evidence);
  const auto planned = evidence.is_object() ? evidence.find("planned_seconds") : evidence.end();
  const bool is_planned = evidence.is_object() && planned != evidence.end() && planned->is_number();
  return {{"id", stage.id},
          {"attempt", stage.attempt},
          {"stage", db::stage_round_name(stage.stage)},
          {"verdict", stage.verdict},
          {"blame", name_of(stage.blame)},
          {"message", stage.message},
          {"seconds", rounded(stage.seconds, 1e4)},
          {"planned_seconds", is_planned ? json(rounded(planned->get<double>(), 1e4)) : json()},
          {"limit_seconds", worker ? limit : 0.0},
          {"created", stage.created},
          {"metrics", metrics.is_array() ? metrics : json::array()},
          {"evidence", std::move(evidence)},
          {"log_tail", stage.log_tail}};
}

// Answers of the last attempt at each stage that asks, beside dense attention's at the same problems.
json outcomes_json(const study::CandidateHistory& candidate, const study::CandidateHistory* dense) {
  json list = json::array();
  std::vector<db::StageRound> stages = {job::Stage::kGate, job::Stage::kRace};
  for (int round = 1; round <= study::kMaxRetests; ++round) { stages.push_back(study::retest_stage(round)); }
  stages.push_back(study::confirm_stage(1));
  for (const db::StageRound which : stages) {
    const db::StageRow* stage = study::last_stage(candidate, which);
    if (stage == nullptr) { continue; }
    std::map<std::pair<std::string, int>, bool> right;
    const db::StageRow* reference = dense == nullptr ? nullptr : study::last_stage(*dense, which);
    if (reference != nullptr) {
      for (const job::Outcome& outcome : study::outcomes_of(*dense, *reference)) {
        right[{outcome.problem, outcome.trial}] = outcome.correct;
      }
    }
    for (const job::Outcome& outcome : study::outcomes_of(candidate, *stage)) {
      const auto found = right.find({outcome.problem, outcome.trial});
      list.push_back({{"stage", db::stage_round_name(which)},
                      {"attempt", stage->attempt},
                      {"problem", outcome.problem},
                      {"trial", outcome.trial},
                      {"correct", outcome.correct},
                      {"dense_correct", found == right.end() ? json() : json(found->second)},
                      {"tokens", outcome.tokens},
                      {"extracted", outcome.extracted},
                      {"rule", outcome.rule}});
    }
  }
  return list;
}

json relative_json(const LiveRun& run, int64_t id, const std::string& operation) {
  return run.with_board([&](const study::Board& board, const LiveRun::Parents&) {
    const study::BoardLine* line = board.find(id);
    return json{{"candidate", id},
                {"operation", operation},
                {"origin", line == nullptr ? "" : name_of(line->origin)},
                {"verdict", line == nullptr ? "" : study::outcome_name(line->state, line->verdict)}};
  });
}

json files_json(const study::CandidateFiles& files) {
  return {{"module", files.module_text}, {"config", files.config_text}};
}

Result<study::CandidateFiles> files_of(db::Store& store, int64_t candidate) {
  VORTEX_ASSIGN(const std::optional<db::Candidate> row, store.find_candidate(candidate));
  if (!row) { return candidate_error("there is no candidate " + std::to_string(candidate)); }
  return study::files_of(store, *row);
}

Status add_family(db::Store& store, const LiveRun& run, int64_t candidate, json& record) {
  using Edges = std::vector<db::LineageEdge>;
  const auto [mine, children] = run.with_board([&](const study::Board&, const LiveRun::Parents& parents) {
    const auto found = parents.find(candidate);
    Edges down;
    for (auto child = parents.upper_bound(candidate); child != parents.end(); ++child) {
      for (const db::LineageEdge& edge : child->second) {
        if (edge.parent == candidate) { down.push_back(edge); }
      }
    }
    return std::pair<Edges, Edges>(found == parents.end() ? Edges{} : found->second, std::move(down));
  });
  record["parents"] = json::array();
  for (const db::LineageEdge& edge : mine) {
    json parent = relative_json(run, edge.parent, edge.operation);
    VORTEX_ASSIGN(const study::CandidateFiles files, files_of(store, edge.parent));
    parent["files"] = files_json(files);
    record["parents"].push_back(std::move(parent));
  }
  record["children"] = json::array();
  for (const db::LineageEdge& edge : children) {
    record["children"].push_back(relative_json(run, edge.child, edge.operation));
  }
  return ok_status();
}

Status add_calls(db::Store& store, const db::Candidate& row, json& record) {
  VORTEX_ASSIGN(const std::vector<db::LlmCall> calls, store.llm_calls(row.run));
  record["calls"] = json::array();
  for (const db::LlmCall& call : calls) {
    const bool ours = call.batch == row.batch && (call.purpose == db::CallPurpose::kPropose || call.slot == row.slot);
    if (!ours || study::is_dense(row) || row.arm == db::Arm::kControl) { continue; }
    record["calls"].push_back({{"id", call.id},
                               {"purpose", call.purpose},
                               {"model", call.model},
                               {"state", call.state},
                               {"finish", call.finish},
                               {"message", call.message},
                               {"input_tokens", call.input_tokens},
                               {"output_tokens", call.output_tokens},
                               {"dollars", call.dollars},
                               {"seconds", call.seconds},
                               {"draw", call.draw}});
  }
  return ok_status();
}

// Of a history with this candidate alone: no other's notes are its.
Status add_notes(db::Store& store, const LiveRun& run, const db::Candidate& row, json& record) {
  record["notes"] = json::array();
  study::History alone;
  alone.run = run.run();
  alone.candidates.push_back({row, {}, {}, {}});
  VORTEX_ASSIGN(const json notebook, study::notebook_json(store, alone, row.batch));
  for (const json& entry : notebook) {
    if (entry.value("candidate", int64_t{0}) == row.id) { record["notes"].push_back(entry); }
  }
  return ok_status();
}

json cost_json(const vflow::DecodeCost& cost) {
  return {{"context_tokens", cost.context_tokens},
          {"pages", cost.pages},
          {"selected_pages", cost.scored_pages == 0 ? cost.pages : cost.selected_pages},
          {"dense_bytes", rounded(cost.dense_bytes, 1)},
          {"policy_bytes", rounded(cost.policy_bytes, 1)},
          {"summary_bytes", rounded(cost.summary_bytes, 1)}};
}

void add_graph(const study::CandidateFiles& files, const LiveRun& run, json& record) {
  record["graph"] = json::array();
  record["graph_problem"] = "";
  record["formulas"] = "";
  record["cost"] = nullptr;
  if (files.module_text.empty()) { return; }
  const Result<vflow::Policy> policy = traced_policy(files, run.options());
  if (!policy.ok()) {
    record["graph_problem"] = policy.error().message;
    return;
  }
  record["graph"] = graph_json(policy->program);
  const Result<vflow::ModelGeometry> geometry = geometry_of_run(run.options());
  if (!geometry.ok()) { return; }
  record["formulas"] = vflow::explain(*policy, *geometry);
  record["cost"] = cost_json(vflow::decode_cost(*policy, *geometry, geometry->max_context));
}

// Of a candidate that may be exported without doubt, or only with it said inside.
json commands_json(const std::string& vortex, const db::Candidate& row, bool kept) {
  const std::string id = std::to_string(row.id);
  json commands = json::array();
  const auto add = [&](const char* name, const std::string& arguments) {
    commands.push_back({{"name", name}, {"command", command_of(vortex, arguments)}});
  };
  if (!study::is_dense(row) && study::has_passed(row)) {
    add("export", "export " + id + " --to vortex-torch --out winner/" + (kept ? "" : " --unconfirmed"));
  }
  add("replay", "replay " + id);
  add("show", "show " + id);
  return commands;
}

json mark_json(const std::vector<db::Mark>& marks, int64_t candidate) {
  for (const db::Mark& mark : marks) {
    if (mark.candidate == candidate) {
      return {{"starred", mark.starred}, {"hidden", mark.hidden}, {"note", mark.note}};
    }
  }
  return {{"starred", false}, {"hidden", false}, {"note", ""}};
}

json difference_to(const LiveRun& run, int64_t candidate, int64_t other) {
  return run.with_board([&](const study::Board& board, const LiveRun::Parents&) {
    const study::Point* a = board.point(candidate);
    const study::Point* b = board.point(other);
    if (a == nullptr || b == nullptr || a == b) { return json(); }
    return to_json(evals::paired_difference(a->outcomes, b->outcomes, run.options().seed));
  });
}

json mass_per_layer(const study::CandidateHistory& history) {
  const db::StageRow* recall = study::last_stage(history, job::Stage::kRecall);
  if (recall == nullptr) { return json::array(); }
  const json evidence = parsed(recall->evidence);
  const auto found = evidence.is_object() ? evidence.find("mass_per_layer") : evidence.end();
  return evidence.is_object() && found != evidence.end() && found->is_array() ? *found : json::array();
}

}  // namespace

Result<std::string> run_of(db::Store& store, int64_t candidate) {
  VORTEX_ASSIGN(const std::optional<db::Candidate> row, store.find_candidate(candidate));
  if (!row) { return candidate_error("there is no candidate " + std::to_string(candidate)); }
  VORTEX_ASSIGN(const std::optional<db::Run> run, store.find_run(std::to_string(row->run)));
  if (!run) { return internal_error("candidate " + std::to_string(candidate) + " belongs to no search"); }
  return run->name;
}

Result<json> candidate_json(db::Store& store, const LiveRun& run, int64_t candidate, const std::string& vortex) {
  VORTEX_ASSIGN(const study::CandidateHistory history, study::read_candidate(store, candidate));
  const db::Candidate& row = history.row;
  const int64_t dense_id = dense_of(run);
  study::CandidateHistory dense;
  if (dense_id != 0) { VORTEX_ASSIGN(dense, study::read_candidate(store, dense_id)); }
  VORTEX_ASSIGN(const study::CandidateFiles files, study::files_of(store, row));
  json record = {{"run", run.section("run")},
                 {"candidate", row.id},
                 {"batch", row.batch},
                 {"slot", row.slot},
                 {"draw", row.draw},
                 {"origin", row.origin},
                 {"arm", row.arm},
                 {"state", row.state},
                 {"verdict", name_of(row.verdict)},
                 {"rationale", row.rationale},
                 {"key", row.key},
                 {"program_hash", row.program_hash},
                 {"files", files_json(files)},
                 {"front", nullptr}};
  for (const json& member : run.section("front")) {
    if (member["candidate"] == candidate) { record["front"] = member; }
  }
  record["difference"] = difference_to(run, candidate, dense_id);
  record["stages"] = json::array();
  for (const db::StageRow& stage : history.stages) {
    record["stages"].push_back(stage_json(stage, run.options().stage_seconds));
  }
  record["outcomes"] = outcomes_json(history, dense_id == 0 || dense_id == candidate ? nullptr : &dense);
  record["mass_per_layer"] = mass_per_layer(history);
  VORTEX_TRY(add_family(store, run, candidate, record));
  VORTEX_TRY(add_calls(store, row, record));
  VORTEX_TRY(add_notes(store, run, row, record));
  add_graph(files, run, record);
  VORTEX_ASSIGN(const std::vector<db::Mark> marks, store.marks(row.run));
  record["mark"] = mark_json(marks, candidate);
  record["requests"] = json::array();
  VORTEX_ASSIGN(const std::vector<db::Request> requests, store.requests(row.run));
  for (const db::Request& request : requests) {
    if (request.candidate == candidate) { record["requests"].push_back(request_json(request)); }
  }
  const json& front = record["front"];
  const json& best = run.section("best");  // which a member that only seems as accurate may have driven from the front
  const bool kept = (front.is_object() && front["keeps"] == "kept") ||
                    (best.is_object() && best.value("candidate", int64_t{0}) == candidate);
  record["commands"] = commands_json(vortex, row, kept);
  return record;
}

Result<json> call_json(db::Store& store, int64_t call) {
  VORTEX_ASSIGN(const std::vector<db::Run> runs, store.runs());
  for (const db::Run& run : runs) {
    VORTEX_ASSIGN(const std::vector<db::LlmCall> calls, store.llm_calls(run.id));
    for (const db::LlmCall& row : calls) {
      if (row.id != call) { continue; }
      std::string reply;
      VORTEX_ASSIGN(const std::string prompt, store.get_object(row.prompt_object));
      if (!row.reply_object.empty()) { VORTEX_ASSIGN(reply, store.get_object(row.reply_object)); }
      return json{{"prompt", prompt}, {"reply", reply}};
    }
  }
  return candidate_error("there is no call " + std::to_string(call));
}

Result<json> diversity_json(db::Store& store, const LiveRun& run) {
  std::vector<int64_t> chosen;  // the front first, then the fastest of what passed
  size_t passed = 0;
  run.with_board([&](const study::Board& board, const LiveRun::Parents&) {
    std::vector<const study::Point*> points;
    for (const study::Point& point : board.standing().archive().points()) {
      if (!point.reference) { points.push_back(&point); }
    }
    passed = points.size();
    std::stable_sort(points.begin(), points.end(), [&](const study::Point* a, const study::Point* b) {
      const bool front_a = board.on_front(a->candidate);
      const bool front_b = board.on_front(b->candidate);
      return front_a != front_b ? front_a : a->speed.ratio.value > b->speed.ratio.value;
    });
    for (size_t i = 0; i < std::min(points.size(), kMostStructures); ++i) { chosen.push_back(points[i]->candidate); }
    return 0;
  });
  json names = json::array();
  json candidates = json::array();
  json on_front = json::array();
  std::vector<vflow::CanonicalTree> trees;
  for (int64_t candidate : chosen) {
    VORTEX_ASSIGN(const study::CandidateFiles files, files_of(store, candidate));
    const Result<vflow::Policy> policy = traced_policy(files, run.options());
    if (!policy.ok()) {
      continue;  // of an older vortex, or without its model: it counts as left out
    }
    trees.push_back(vflow::canonical_tree(policy->program));
    candidates.push_back(candidate);
    names.push_back(policy->program.name + " (" + std::to_string(candidate) + ")");
    on_front.push_back(
        run.with_board([&](const study::Board& board, const LiveRun::Parents&) { return board.on_front(candidate); }));
  }
  const size_t n = trees.size();
  const std::vector<double> matrix = vflow::distance_matrix(trees);
  json cells = json::array();
  for (double distance : matrix) { cells.push_back(rounded(distance, 1e4)); }
  json places = json::array();
  for (const auto& [x, y] : plane_of(matrix, n)) { places.push_back({rounded(x, 1e4), rounded(y, 1e4)}); }
  return json{{"candidates", std::move(candidates)},
              {"names", std::move(names)},
              {"on_front", std::move(on_front)},
              {"matrix", std::move(cells)},
              {"order", near_order(matrix, n)},
              {"position", std::move(places)},
              {"mean", rounded(vflow::mean_pairwise_distance(trees))},
              {"left_out", passed - n}};
}

namespace {

evals::AnswerSheet answers_of(const LiveRun& run, int64_t candidate) {
  return run.with_board([&](const study::Board& board, const LiveRun::Parents&) {
    const study::Point* point = board.point(candidate);
    return point == nullptr ? evals::AnswerSheet() : point->outcomes;
  });
}

// Problems that both answered, differently.
json flips_between(const evals::AnswerSheet& a, const evals::AnswerSheet& b) {
  std::map<std::pair<std::string, int>, bool> first;
  for (size_t i = 0; i < a.size(); ++i) { first[{a.question(i).problem, a.question(i).trial}] = a.right(i); }
  json flips = json::array();
  for (size_t i = 0; i < b.size(); ++i) {
    const evals::AnswerSheet::Question& question = b.question(i);
    const auto found = first.find({question.problem, question.trial});
    if (found == first.end() || found->second == b.right(i)) { continue; }
    flips.push_back(
        {{"problem", question.problem}, {"trial", question.trial}, {"first", found->second}, {"this", b.right(i)}});
  }
  return flips;
}

json paired_between(const evals::AnswerSheet& a, const evals::AnswerSheet& b, uint64_t seed) {
  return a.empty() || b.empty() ? json() : to_json(evals::paired_difference(b, a, seed));
}

}  // namespace

Result<json> compare_json(db::Store& store, Runs& runs, const std::vector<int64_t>& candidates) {
  json list = json::array();
  evals::AnswerSheet first;
  for (int64_t candidate : candidates) {
    VORTEX_ASSIGN(const std::string name, run_of(store, candidate));
    VORTEX_ASSIGN(const std::shared_ptr<LiveRun> run, runs.find(name));
    VORTEX_ASSIGN(const study::CandidateHistory history, study::read_candidate(store, candidate));
    VORTEX_ASSIGN(const study::CandidateFiles files, study::files_of(store, history.row));
    const evals::AnswerSheet answers = answers_of(*run, candidate);
    if (list.empty()) { first = answers; }
    json entry = {{"candidate", candidate},
                  {"origin", history.row.origin},
                  {"rationale", history.row.rationale},
                  {"verdict", study::outcome_name(history.row.state, history.row.verdict)},
                  {"tokens_per_s", to_json(study::stage_metric(history, job::Stage::kSpeed, "tokens_per_s"))},
                  {"mass_recall", to_json(study::stage_metric(history, job::Stage::kRecall, "mass_recall"))},
                  {"confirmed", to_json(study::stage_metric(history, job::Stage::kConfirm, "accuracy"))},
                  {"files", files_json(files)}};
    run->with_board([&](const study::Board& board, const LiveRun::Parents&) {
      const study::Point* point = board.point(candidate);
      entry["accuracy"] = point == nullptr ? json() : to_json(point->accuracy);
      entry["speed"] = point == nullptr ? json() : to_json(point->speed.ratio);
      return 0;
    });
    const bool is_first = list.empty();
    entry["difference"] = is_first ? json() : paired_between(first, answers, run->options().seed);
    entry["flips"] = is_first ? json::array() : flips_between(first, answers);
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace vortex::web
