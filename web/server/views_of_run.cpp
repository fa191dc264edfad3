#include <algorithm>
#include <cctype>
#include <limits>
#include <optional>
#include <string_view>

#include "db/migrations.h"
#include "study/notebook.h"
#include "web/server/json.h"
#include "web/server/views.h"

namespace vortex::web {
namespace {

using nlohmann::json;

constexpr int64_t kMostListed = 500;  // candidates a page

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

struct Marks {
  std::set<int64_t> starred;
  std::set<int64_t> hidden;
};

Marks marks_of(const LiveRun& run) {
  Marks marks;
  for (const json& mark : run.section("marks")) {
    if (mark["starred"].get<bool>()) { marks.starred.insert(mark["candidate"].get<int64_t>()); }
    if (mark["hidden"].get<bool>()) { marks.hidden.insert(mark["candidate"].get<int64_t>()); }
  }
  return marks;
}

// What of a list is asked for.
struct Filter {
  std::string verdict;
  std::string stage;
  std::string origin;  // a part of it
  std::string words;   // lower case
  bool hidden = false;

  bool lets(const study::BoardLine& line, const study::Board& board, const Marks& marks) const {
    if (!hidden && marks.hidden.contains(line.candidate)) { return false; }
    if (!stage.empty() && db::stage_round_name(line.stage) != stage) { return false; }
    if (!origin.empty() && lower(study::origin_name(line.origin, line.arm)).find(origin) == std::string::npos) {
      return false;
    }
    if (!words.empty() && lower(line.why + " " + line.made_by).find(words) == std::string::npos) { return false; }
    if (verdict.empty()) { return true; }
    if (verdict == "front") { return board.on_front(line.candidate); }
    if (verdict == "starred") { return marks.starred.contains(line.candidate); }
    if (verdict == "running") { return !line.is_done(); }
    return name_of(line.verdict) == verdict;
  }
};

std::string get(const std::map<std::string, std::string>& query, const std::string& name) {
  const auto found = query.find(name);
  return found == query.end() ? std::string() : found->second;
}

// Less by the column of that name; missing values come last whatever the direction.
using Less = bool (*)(const study::BoardLine&, const study::BoardLine&);
struct Order {
  std::string_view name;
  Less less;
  bool (*missing)(const study::BoardLine&);
};
bool never(const study::BoardLine&) { return false; }
constexpr std::array kOrders = {
    Order{"candidate", [](const auto& a, const auto& b) { return a.candidate < b.candidate; }, never},
    Order{"verdict", [](const auto& a, const auto& b) { return name_of(a.verdict) < name_of(b.verdict); }, never},
    Order{"stage",
          [](const auto& a, const auto& b) { return db::stage_round_name(a.stage) < db::stage_round_name(b.stage); },
          never},
    Order{"speed", [](const auto& a, const auto& b) { return a.speed < b.speed; },
          [](const auto& a) { return !a.speed.has_value(); }},
    Order{"accuracy", [](const auto& a, const auto& b) { return a.accuracy < b.accuracy; },
          [](const auto& a) { return !a.accuracy.has_value(); }},
    Order{"seconds", [](const auto& a, const auto& b) { return a.seconds < b.seconds; }, never},
    Order{"origin", [](const auto& a, const auto& b) { return name_of(a.origin) < name_of(b.origin); }, never},
};

Result<int64_t> count_of(const std::string& text, int64_t otherwise) {
  if (text.empty()) { return otherwise; }
  if (text == "0") { return int64_t{0}; }
  if (text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos) {
    return candidate_error("not a count: " + text.substr(0, 40));
  }
  return std::stoll(text);
}

json line_json(const study::BoardLine& line, const study::Board& board, const Marks& marks) {
  return {{"candidate", line.candidate},
          {"batch", line.batch},
          {"origin", line.origin},
          {"arm", line.arm},
          {"state", line.state},
          {"verdict", name_of(line.verdict)},
          {"stage", db::stage_round_name(line.stage)},
          {"why", line.why},
          {"accuracy", to_json(line.accuracy)},
          {"speed", to_json(line.speed)},
          {"seconds", rounded(line.seconds, 1e3)},
          {"made_by", line.made_by},
          {"on_front", board.on_front(line.candidate)},
          {"starred", marks.starred.contains(line.candidate)},
          {"hidden", marks.hidden.contains(line.candidate)}};
}

}  // namespace

std::string command_of(const std::string& vortex, const std::string& arguments) {
  const size_t place = vortex.find("{}");
  if (place == std::string::npos) { return vortex + " " + arguments; }
  return vortex.substr(0, place) + arguments + vortex.substr(place + 2);
}

Result<json> about_json(const std::filesystem::path& workspace, bool actions, const std::string& vortex) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(workspace));
  VORTEX_ASSIGN(const std::vector<db::Run> runs, store->runs());
  json names = json::array();
  for (const db::Run& run : runs) { names.push_back(run.name); }
  return json{{"version", VORTEX_VERSION},
              {"actions", actions},
              {"newest", runs.empty() ? "" : runs.front().name},
              {"runs", std::move(names)},
              {"vortex", vortex}};
}

Result<json> runs_json(Runs& runs) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(runs.workspace()));
  VORTEX_ASSIGN(const std::vector<db::Run> rows, store->runs());
  json list = json::array();
  for (const db::Run& row : rows) {
    Result<std::shared_ptr<LiveRun>> run = runs.find(row.name);
    if (!run.ok()) {
      continue;  // of another version: the others are shown
    }
    json entry = (*run)->section("run");
    const json counts = (*run)->section("counts");
    const json front = (*run)->section("front");
    const json best = (*run)->section("best");
    const json hypervolume = (*run)->section("hypervolume");
    entry["candidates"] = counts.value("candidates", 0);
    entry["verdicts"] = {{"pass", counts.value("passed", 0)}};
    entry["front"] = front.is_array() ? front.size() : 0;
    entry["best_speed"] = best.is_object() ? best["speed"]["value"] : json();
    entry["best_candidate"] = best.is_object() ? best["candidate"] : json();
    entry["hypervolume"] = hypervolume.is_object() ? hypervolume["value"] : json();
    for (const json& spent : (*run)->section("spent")) {
      if (spent["what"] == "dollars") { entry["dollars"] = spent["used"]; }
    }
    list.push_back(std::move(entry));
  }
  return list;
}

Result<json> candidates_json(const LiveRun& run, const std::map<std::string, std::string>& query) {
  const Filter filter{get(query, "verdict"), get(query, "stage"), lower(get(query, "origin")), lower(get(query, "q")),
                      get(query, "hidden") == "1"};
  VORTEX_ASSIGN(const int64_t offset, count_of(get(query, "offset"), 0));
  VORTEX_ASSIGN(const int64_t limit, count_of(get(query, "limit"), 100));
  std::string sort = get(query, "sort");
  const bool down = sort.rfind('-', 0) == 0;
  if (down) { sort.erase(0, 1); }
  const auto order = std::find_if(kOrders.begin(), kOrders.end(), [&](const Order& one) { return one.name == sort; });
  const Marks marks = marks_of(run);
  return run.with_board([&](const study::Board& board, const LiveRun::Parents&) {
    std::vector<const study::BoardLine*> lines;
    for (const study::BoardLine& line : board.lines()) {
      if (filter.lets(line, board, marks)) { lines.push_back(&line); }
    }
    if (order != kOrders.end()) {
      std::stable_sort(lines.begin(), lines.end(), [&](const study::BoardLine* a, const study::BoardLine* b) {
        const bool no_a = order->missing(*a);
        const bool no_b = order->missing(*b);
        if (no_a || no_b) { return !no_a && no_b; }
        return down ? order->less(*b, *a) : order->less(*a, *b);
      });
    }
    json items = json::array();
    const auto end = std::min<int64_t>(static_cast<int64_t>(lines.size()), offset + std::min(limit, kMostListed));
    for (int64_t i = offset; i < end; ++i) { items.push_back(line_json(*lines[static_cast<size_t>(i)], board, marks)); }
    return json{{"total", lines.size()}, {"items", std::move(items)}};
  });
}

Result<json> lineage_json(const LiveRun& run) {
  return run.with_board([](const study::Board& board, const LiveRun::Parents& parents) {
    json data = {{"candidate", json::array()},
                 {"batch", json::array()},
                 {"outcome", json::array()},
                 {"origin", json::array()},
                 {"edges", json::array()}};
    for (const study::BoardLine& line : board.lines()) {
      data["candidate"].push_back(line.candidate);
      data["batch"].push_back(line.batch);
      data["origin"].push_back(line.origin);
      data["outcome"].push_back(line.is_dense()                  ? "dense"
                                : !line.is_done()                ? name_of(line.state)
                                : board.on_front(line.candidate) ? "front"
                                : line.has_passed()              ? "passed"
                                                                 : name_of(line.verdict));
    }
    for (const auto& [child, edges] : parents) {
      for (const db::LineageEdge& edge : edges) { data["edges"].push_back({edge.child, edge.parent, edge.operation}); }
    }
    return data;
  });
}

Result<json> failures_json(const LiveRun& run) {
  return run.with_board([](const study::Board& board, const LiveRun::Parents&) {
    json list = json::array();
    for (const study::FailureGroup& group : board.failures()) {
      if (group.count == 0) { continue; }
      list.push_back({{"stage", db::stage_round_name(group.stage)},
                      {"verdict", group.verdict},
                      {"blame", name_of(group.blame)},
                      {"cause", group.cause},
                      {"count", group.count},
                      {"example", group.example},
                      {"message", group.message}});
    }
    return list;
  });
}

// The notebook asks of a history only where each candidate stands in it.
Result<json> notebook_json(db::Store& store, const LiveRun& run) {
  VORTEX_ASSIGN(const study::History history, study::read_rows(store, run.run()));
  return study::notebook_json(store, history, std::numeric_limits<int64_t>::max());
}

Result<json> environment_json(db::Store& store, const LiveRun& run, const std::filesystem::path& workspace) {
  const db::Run row = run.run();
  json evidence = json::object();
  const int64_t dense =
      run.with_board([](const study::Board& board, const LiveRun::Parents&) { return board.dense(); });
  if (dense != 0) {
    VORTEX_ASSIGN(const std::vector<db::StageRow> stages, store.stages(dense));
    // Of the last stage that ended by itself: what was stopped tells little.
    for (const db::StageRow& stage : stages) {
      if (stage.verdict == job::Verdict::kPass) { evidence = parsed(stage.evidence); }
    }
  }
  json faults = json::array();
  VORTEX_ASSIGN(const std::vector<db::Event> events, store.events(row.id));
  for (const db::Event& event : events) {
    const bool fault = event.kind == "environment" || event.kind == "stall" || event.kind == "failed" ||
                       event.kind.rfind("breaker", 0) == 0 || event.kind == "worker-lost";
    if (!fault) { continue; }
    faults.push_back(
        {{"id", event.id}, {"created", event.created}, {"kind", event.kind}, {"detail", parsed(event.detail)}});
  }
  return json{{"options", parsed(row.config)},
              {"evidence", evidence.is_object() ? evidence : json::object()},
              {"program",
               {{"version", VORTEX_VERSION},
                {"schema", db::schema_version()},
                {"workspace", std::filesystem::absolute(workspace).string()}}},
              {"faults", std::move(faults)}};
}

}  // namespace vortex::web
