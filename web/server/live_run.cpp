#include "web/server/live_run.h"

#include <algorithm>
#include <chrono>
#include <unordered_set>

#include "base/clock.h"
#include "db/lock.h"
#include "study/hypervolume.h"
#include "study/loaded_run.h"
#include "study/resources.h"
#include "web/server/front_section.h"
#include "web/server/json.h"

namespace vortex::web {
namespace {

using nlohmann::json;

constexpr int64_t kChunk = 2000;    // candidates read at a time
constexpr size_t kEventsKept = 40;  // in the section
constexpr double kPatience = 0.4;   // seconds; how long a refresh takes new candidates in

std::string made_epoch() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace

LiveRun::LiveRun(std::filesystem::path workspace, db::Run run, study::SearchOptions options,
                 std::unique_ptr<db::RunReader> reader, std::unique_ptr<db::Store> store)
    : workspace_(std::move(workspace)),
      options_(std::move(options)),
      epoch_(made_epoch()),
      reader_(std::move(reader)),
      store_(std::move(store)),
      run_(std::move(run)),
      board_(options_) {}

Result<std::shared_ptr<LiveRun>> LiveRun::open(const std::filesystem::path& workspace, const db::Run& run) {
  VORTEX_ASSIGN(study::SearchOptions options, study::options_of(run));
  VORTEX_ASSIGN(std::unique_ptr<db::RunReader> reader, db::RunReader::open(workspace, run.id));
  VORTEX_ASSIGN(std::unique_ptr<db::Store> store, db::Store::open_read_only(workspace));
  std::shared_ptr<LiveRun> live(new LiveRun(workspace, run, std::move(options), std::move(reader), std::move(store)));
  VORTEX_TRY(live->refresh());
  return live;
}

Result<bool> LiveRun::refresh() {
  const MutexLock guard(mutex_);
  VORTEX_ASSIGN(const int64_t data_version, reader_->data_version());
  const bool held = db::lock_holder(workspace_).has_value();
  const bool all_read = last_candidate_ >= newest_candidate_;
  if (data_version == data_version_ && held == held_ && all_read) { return false; }
  held_ = held;
  const int64_t before = version_;
  ++version_;
  VORTEX_TRY(read_changes());
  VORTEX_TRY(rebuild_sections());
  data_version_ = data_version;
  const auto is_new = [&](const auto& section) { return section.second.version > before; };
  const bool changed =
      std::any_of(sections_.begin(), sections_.end(), is_new) || (!moves_.empty() && moves_.back().first > before);
  if (!changed) { version_ = before; }
  return changed;
}

bool LiveRun::all_read() const {
  const MutexLock guard(mutex_);
  return last_candidate_ >= newest_candidate_;
}

Status LiveRun::read_changes() {
  VORTEX_ASSIGN(run_, reader_->run());
  const bool first = last_stage_ < 0;
  const int64_t known_stage = last_stage_;
  VORTEX_ASSIGN(last_stage_, reader_->newest_stage());
  VORTEX_ASSIGN(const db::RunReader::Range range, reader_->candidate_range(newest_candidate_));
  if (range.first <= range.last) {
    last_candidate_ = newest_candidate_ == 0 ? range.first - 1 : last_candidate_;
    newest_candidate_ = range.last;
  }
  const double began = monotonic_seconds();
  while (last_candidate_ < newest_candidate_) {
    const int64_t last = std::min(newest_candidate_, last_candidate_ + kChunk);
    VORTEX_TRY(take_in({last_candidate_ + 1, last}));
    last_candidate_ = last;
    if (monotonic_seconds() - began > kPatience) { break; }
  }
  if (!first) { VORTEX_TRY(read_touched(known_stage)); }
  VORTEX_ASSIGN(std::vector<db::Event> events, reader_->events_since(last_event_));
  for (db::Event& event : events) {
    if (event.kind == "resumed") {
      VORTEX_ASSIGN(const double stage, reader_->last_stage_before(event.created));
      const double stopped = std::max(stage, events_.empty() ? run_.started : events_.back().created);
      gaps_.emplace_back(stopped, event.created - stopped);
    }
    last_event_ = event.id;
    events_.push_back(std::move(event));
  }
  // Searches of earlier versions kept no beginning of their own.
  if (run_.started <= 0 && !events_.empty()) { run_.started = events_.front().created; }
  return ok_status();
}

Status LiveRun::take_in(db::RunReader::Range range) {
  VORTEX_ASSIGN(std::vector<study::CandidateHistory> histories, study::read_range(*reader_, range));
  for (study::CandidateHistory& history : histories) {
    board_.update(history);
    if (!history.parents.empty()) { parents_[history.row.id] = std::move(history.parents); }
  }
  return ok_status();
}

// Candidates that have new rows, and those that had not ended: their state may have changed without one.
Status LiveRun::read_touched(int64_t since) {
  VORTEX_ASSIGN(const std::vector<int64_t> touched, reader_->touched_since(since));
  std::set<int64_t> again = board_.unfinished();
  again.insert(touched.begin(), touched.end());
  for (int64_t candidate : again) {
    if (candidate <= last_candidate_) { VORTEX_TRY(take_in({candidate, candidate})); }
  }
  return ok_status();
}

double LiveRun::search_seconds(double time) const {
  double seconds = time - run_.started;
  for (const auto& [begin, length] : gaps_) { seconds -= time > begin ? std::min(length, time - begin) : 0; }
  return std::max(0.0, seconds);
}

void LiveRun::set_section(const std::string& name, json value) {
  Section& section = sections_[name];
  std::string text = dumped(value);
  if (section.version > 0 && text == section.text) { return; }
  section.text = std::move(text);
  section.version = version_;
}

Status LiveRun::rebuild_sections() {
  for (int64_t candidate : board_.settle()) { moves_.emplace_back(version_, candidate); }
  set_section("reading", {{"done", board_.lines().size()}, {"all", last_candidate_ >= newest_candidate_}});
  set_section("run", run_json(run_, options_, held_));
  json stages = json::array();
  for (const job::StageInfo& info : job::kLadder) { stages.push_back(info.name); }
  set_section("stages", std::move(stages));
  json funnel = json::array();
  for (size_t rung = 0; rung < study::kRungs; ++rung) {
    json verdicts = json::object();
    for (const job::Verdict verdict : job::kVerdicts) {
      const int count = board_.rung_count(rung, verdict);
      if (count > 0) { verdicts[std::string(name_of(verdict))] = count; }
    }
    if (!verdicts.empty()) { funnel.push_back({{"stage", study::rung_name(rung)}, {"verdicts", verdicts}}); }
  }
  set_section("funnel", std::move(funnel));

  json now = json::array();
  for (int64_t candidate : board_.unfinished()) {
    const study::BoardLine* line = board_.find(candidate);
    const bool running = line != nullptr && line->state == db::CandidateState::kRunning;
    if (!running || run_.state != db::RunState::kRunning || !held_) { continue; }
    now.push_back({{"candidate", candidate},
                   {"origin", line->origin},
                   {"stage", next_stage(line->stage, options_)},
                   {"since", line->known}});
  }
  set_section("now", std::move(now));

  json events = json::array();
  for (size_t i = events_.size() > kEventsKept ? events_.size() - kEventsKept : 0; i < events_.size(); ++i) {
    events.push_back({{"id", events_[i].id},
                      {"created", events_[i].created},
                      {"kind", events_[i].kind},
                      {"detail", parsed(events_[i].detail)}});
  }
  set_section("events", std::move(events));
  VORTEX_TRY(rebuild_front());
  return rebuild_marks();
}

// The members' rows are read anew only when the front changed, or what is known of a member. From the members and dense
// attention alone: they give the same front as all points do.
Status LiveRun::rebuild_front() {
  std::string key = "front";
  for (size_t i : board_.standing().archive().front()) {
    const study::Point& point = board_.standing().archive().points()[i];
    const study::BoardLine* line = board_.find(point.candidate);
    key += " " + std::to_string(point.candidate) + ":" + std::to_string(point.outcomes.size());
    key += line != nullptr && line->confirmed ? "c" : "";
  }
  if (key != front_key_) {
    VORTEX_ASSIGN(FrontSection front, read_front({run_, options_, board_, *store_, *reader_}));
    for (json& member : front.members) {
      const study::BoardLine* line = board_.find(member["candidate"].get<int64_t>());
      if (line == nullptr || line->is_dense()) { continue; }
      member["found_seconds"] = rounded(search_seconds(line->known), 10);
    }
    set_section("front", std::move(front.members));
    set_section("best", std::move(front.best));
    set_section("doubts", std::move(front.doubts));
    set_section("hypervolume", std::move(front.hypervolume));
    front_key_ = key;
  }
  set_section("progress", progress_json());
  set_counts();
  return ok_status();
}

// The front over time, as the search announced its members, by what is known of them now.
json LiveRun::progress_json() const {
  json progress = json::array();
  std::vector<double> accuracy;
  std::vector<double> speed;
  double best = 1;
  const auto add = [&](int64_t candidate, double time, int evaluated) VORTEX_REQUIRES(mutex_) {
    const study::Point* point = board_.point(candidate);
    if (point == nullptr) { return; }
    accuracy.push_back(point->accuracy.value);
    speed.push_back(point->speed.ratio.value);
    best = std::max(best, point->speed.ratio.value);
    progress.push_back({{"seconds", rounded(search_seconds(time), 10)},
                        {"evaluated", evaluated},
                        {"candidate", candidate},
                        {"best_speed", rounded(best)},
                        {"hypervolume", rounded(study::hypervolume(accuracy, speed))}});
  };
  if (const study::BoardLine* dense = board_.find(board_.dense())) { add(dense->candidate, dense->known, 0); }
  for (const db::Event& event : events_) {
    if (event.kind != "front") { continue; }
    const json detail = parsed(event.detail);
    const auto candidate = detail.is_object() ? detail.value("candidate", int64_t{0}) : int64_t{0};
    const study::BoardLine* line = board_.find(candidate);
    if (line != nullptr) { add(candidate, event.created, line->evaluated_before); }
  }
  return progress;
}

void LiveRun::set_counts() {
  int confirmed = 0;
  std::map<std::string, int> on_front;
  for (size_t i : board_.standing().archive().front()) {
    const study::BoardLine* line = board_.find(board_.standing().archive().points()[i].candidate);
    if (line == nullptr || line->is_dense()) { continue; }
    confirmed += line->confirmed ? 1 : 0;
    ++on_front[study::origin_name(line->origin, line->arm)];
  }
  int passed = 0;
  json origins = json::array();
  for (const auto& [name, origin] : board_.origins()) {
    passed += origin.passed;
    origins.push_back(
        {{"origin", name}, {"proposed", origin.proposed}, {"passed", origin.passed}, {"on_front", on_front[name]}});
  }
  set_section("origins", std::move(origins));
  set_section("counts", {{"candidates", board_.candidates()},
                         {"evaluated", board_.evaluated()},
                         {"passed", passed},
                         {"confirmed", confirmed},
                         {"retests", board_.retests()}});
}

Status LiveRun::rebuild_marks() {
  VORTEX_ASSIGN(const std::vector<db::Request> requests, store_->requests(run_.id));
  json asked = json::array();
  for (const db::Request& request : requests) { asked.push_back(request_json(request)); }
  set_section("requests", std::move(asked));
  VORTEX_ASSIGN(const std::vector<db::Mark> marks, store_->marks(run_.id));
  json marked = json::array();
  for (const db::Mark& mark : marks) {
    marked.push_back({{"candidate", mark.candidate}, {"starred", mark.starred}, {"hidden", mark.hidden}});
  }
  set_section("marks", std::move(marked));

  VORTEX_ASSIGN(const std::vector<db::Spend> spends, store_->spends(run_.id));
  double tokens = 0;
  double dollars = 0;
  for (const db::Spend& spend : spends) {
    tokens += spend.tokens;
    dollars += spend.dollars;
  }
  set_section("spent", spent_json(run_, options_, board_.evaluated(), tokens, dollars));
  return ok_status();
}

int64_t LiveRun::version() const {
  const MutexLock guard(mutex_);
  return version_;
}

std::string LiveRun::cursor() const {
  const MutexLock guard(mutex_);
  return epoch_ + "-" + std::to_string(version_);
}

int64_t LiveRun::version_of(const std::string& cursor) const {
  const size_t dash = cursor.find('-');
  if (dash == std::string::npos || cursor.substr(0, dash) != epoch_) { return 0; }
  const std::string number = cursor.substr(dash + 1);
  if (number.empty() || number.size() > 15 || number.find_first_not_of("0123456789") != std::string::npos) { return 0; }
  return std::stoll(number);
}

std::string LiveRun::since(int64_t version) const {
  const MutexLock guard(mutex_);
  if (version >= version_) { return {}; }
  std::string text = "{\"cursor\":\"" + epoch_ + "-" + std::to_string(version_) + "\"";
  for (const auto& [name, section] : sections_) {
    if (section.version > version) { text += ",\"" + name + "\":" + section.text; }
  }
  auto move =
      std::upper_bound(moves_.begin(), moves_.end(), version, [](int64_t v, const auto& one) { return v < one.first; });
  std::unordered_set<int64_t> told;
  json points = {{"candidate", json::array()}, {"speed", json::array()}, {"accuracy", json::array()}};
  json gone = json::array();
  for (; move != moves_.end(); ++move) {
    if (!told.insert(move->second).second) { continue; }
    const study::Point* point = board_.point(move->second);
    if (point == nullptr) {
      gone.push_back(move->second);
      continue;
    }
    points["candidate"].push_back(point->candidate);
    points["speed"].push_back(rounded(point->speed.ratio.value, 1e4));
    points["accuracy"].push_back(rounded(point->accuracy.value, 1e4));
  }
  if (version == 0 || !points["candidate"].empty()) { text += ",\"points\":" + points.dump(); }
  if (!gone.empty()) { text += ",\"gone\":" + gone.dump(); }
  return text + "}";
}

json LiveRun::section(const std::string& name) const {
  const MutexLock guard(mutex_);
  const auto found = sections_.find(name);
  return found == sections_.end() ? json() : parsed(found->second.text);
}

db::Run LiveRun::run() const {
  const MutexLock guard(mutex_);
  return run_;
}

}  // namespace vortex::web
