// The register of speed: a fixed set of cases on this device beside what was recorded of them. Every sample is taken
// between two copies, so that a machine that is slower for a while is slower in both.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"
#include "core/engine/bench/regress/register.h"
#include "core/engine/bench/speed_cases.h"

namespace vortex::bench {
namespace {

constexpr int kRecordedRuns = 3;

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[16];
  std::strftime(text, sizeof(text), "%Y-%m-%d", &parts);
  return text;
}

// One case on its engine.
struct Course {
  Options options;
  std::optional<vflow::Policy> policy;
  engine::Batch batch;  // of a step
  engine::Plan plan;    // of a trace, made in its first turn
  std::vector<double> round_bytes;
  SpeedSamples samples;

  bool is_trace() const { return options.shapes.empty(); }
  const vflow::Policy* set() const { return policy ? &*policy : nullptr; }
};

Result<Course> course_of(const SpeedCase& one, const model::ModelConfig& model) {
  Course course;
  course.options = one.options;
  course.samples.name = one.name;
  VORTEX_ASSIGN(course.policy, find_policy(one.options, model));
  if (!course.is_trace()) {
    VORTEX_ASSIGN(const BatchShape shape, parse_shape(one.options.shapes[0]));
    course.batch = batch_of(shape);
  }
  return course;
}

// Seconds of one step, or of a trace's decoding, the fastest samples of the turn, as the copy's are; says what the
// limit model counts, too, of a trace bytes alone.
Result<double> time_course(Course& course, engine::Stepper& stepper, const model::ModelConfig& model, double copy) {
  if (!course.is_trace()) {
    const std::vector<int>& lengths = course.batch.lengths;
    course.samples.bytes = engine::limit_bytes(
        engine::step_bytes(model, course.set(), stepper.kv_dtype(), lengths, stepper.expert_dtype()),
        engine::special_results(model, course.set(), lengths), {copy, stepper.special_rate()});
    VORTEX_ASSIGN(const engine::StepTime time,
                  engine::time_steps(stepper, course.batch, step_sampling(course.options)));
    return time.fastest;
  }
  if (course.round_bytes.empty()) {
    course.plan = engine::plan_requests(trace_requests(course.options), engine::limits_of(stepper));
    course.round_bytes = engine::bytes_of_rounds(course.plan, model, course.set(), stepper.kv_dtype());
    course.samples.bytes = engine::bytes_of_steps(course.plan, course.round_bytes);
  }
  VORTEX_ASSIGN(const engine::PlanTime time,
                engine::time_plan(stepper, course.plan, course.round_bytes, {}, trace_sampling(course.options)));
  return time.decode.fastest;
}

class Regress {
 public:
  explicit Regress(const Options& options) : options_(options) {}

  Status run() {
    VORTEX_ASSIGN(const bool on_device, wants_cuda(options_));
    VORTEX_TRY(find_tree());
    VORTEX_TRY(choose(speed_cases(on_device, options_)));
    VORTEX_ASSIGN(device_, device_name(options_));
    file_ = folder() / record_file_name(device_);
    const bool anew = options_.record && options_.only.empty();
    if (!anew) { VORTEX_TRY(read()); }
    VORTEX_TRY(measure(runs()));
    if (options_.record) { return write(); }
    if (!record_) { return unknown(); }
    if (!lost().empty()) { VORTEX_TRY(look_again()); }
    return report();
  }

 private:
  int runs() const { return options_.runs > 0 ? options_.runs : options_.record ? kRecordedRuns : 1; }
  std::filesystem::path folder() const {
    return options_.speed_register.empty() ? std::filesystem::path(options_.tree) / "docs/benchmarks/register"
                                           : std::filesystem::path(options_.speed_register);
  }

  Status find_tree() const {
    if (std::filesystem::is_directory(std::filesystem::path(options_.tree) / "examples/policies")) {
      return ok_status();
    }
    return candidate_error("no source tree at " + options_.tree + ": the cases' policies are files of it",
                           "run it where examples/ and docs/ are, or name that folder with --tree");
  }

  // The cases that are asked for, all of them unless some are named.
  Status choose(std::vector<SpeedGroup> all) {
    std::vector<std::string> names;
    for (SpeedGroup& group : all) {
      SpeedGroup chosen{group.engine, {}};
      for (SpeedCase& one : group.cases) {
        names.push_back(one.name);
        const bool wanted = options_.only.empty() ||
                            std::find(options_.only.begin(), options_.only.end(), one.name) != options_.only.end();
        if (wanted) { chosen.cases.push_back(std::move(one)); }
      }
      if (!chosen.cases.empty()) { groups_.push_back(std::move(chosen)); }
    }
    for (const std::string& name : options_.only) {
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        return candidate_error("no case \"" + name + "\"", "the cases here: " + join(names, "; "));
      }
    }
    return ok_status();
  }

  Status measure(int runs) {
    for (int run = 0; run < runs; ++run) {
      for (const SpeedGroup& group : groups_) { VORTEX_TRY(measure_group(group)); }
    }
    return ok_status();
  }

  // The group's cases in turns, each between two copies; the first turn tunes and does not count.
  Status measure_group(const SpeedGroup& group) {
    VORTEX_ASSIGN(const model::ModelConfig model, find_geometry(group.engine));
    std::vector<Course> courses;
    for (const SpeedCase& one : group.cases) {
      VORTEX_ASSIGN(Course course, course_of(one, model));
      course.samples.copied.emplace_back();
      courses.push_back(std::move(course));
    }
    VORTEX_ASSIGN(const auto engine, make_engine(group.engine, model));
    copy_ = 0;
    for (int turn = 0; turn <= options_.turns; ++turn) {
      for (Course& course : courses) { VORTEX_TRY(take_turn(course, *engine, model, turn > 0)); }
    }
    for (const Course& course : courses) { keep(course.samples); }
    return ok_status();
  }

  Status take_turn(Course& course, engine::Engine& engine, const model::ModelConfig& model, bool counts) {
    VORTEX_TRY(engine.set_policy(course.policy));
    const auto stepper = engine.stepper();
    stepper->count_processor_time();
    if (copy_ == 0) { VORTEX_ASSIGN(copy_, stepper->copy_bandwidth()); }
    const double before = copy_;
    VORTEX_ASSIGN(const double seconds, time_course(course, *stepper, model, before));
    VORTEX_ASSIGN(copy_, stepper->copy_bandwidth());
    if (!counts) { return ok_status(); }
    course.samples.copied.back().push_back(seconds * (before + copy_) / 2);
    course.samples.seconds.push_back(seconds);
    return ok_status();
  }

  // Adds a run's samples to those of earlier ones.
  void keep(const SpeedSamples& run) {
    for (SpeedSamples& known : samples_) {
      if (known.name != run.name) { continue; }
      known.copied.insert(known.copied.end(), run.copied.begin(), run.copied.end());
      known.seconds.insert(known.seconds.end(), run.seconds.begin(), run.seconds.end());
      return;
    }
    samples_.push_back(run);
  }

  std::vector<SpeedEntry> entries() const {
    std::vector<SpeedEntry> entries;
    for (const SpeedSamples& samples : samples_) { entries.push_back(entry_of(samples)); }
    return entries;
  }

  Status read() {
    if (!std::filesystem::exists(file_)) { return ok_status(); }
    VORTEX_ASSIGN(const std::string text, read_file(file_));
    VORTEX_ASSIGN(record_, parse_speed_record(text, file_.string()));
    return ok_status();
  }

  std::vector<SpeedChange> changes() const { return compare_speed(*record_, entries(), options_.only.empty()); }
  std::vector<std::string> lost() const {
    std::vector<std::string> names;
    for (const SpeedChange& change : changes()) {
      if (change.standing == Standing::kLost) { names.push_back(change.name); }
    }
    return names;
  }

  // A case is lost only if a second engine loses it as well: its runs count together.
  Status look_again() {
    const std::vector<std::string> names = lost();
    std::fprintf(stderr, "looking again at %s\n", join(names, ", ").c_str());
    for (SpeedGroup& group : groups_) {
      std::erase_if(group.cases, [&](const SpeedCase& one) {
        return std::find(names.begin(), names.end(), one.name) == names.end();
      });
    }
    std::erase_if(groups_, [](const SpeedGroup& group) { return group.cases.empty(); });
    return measure(1);
  }

  Status write() {
    SpeedRecord record = record_.value_or(SpeedRecord{});
    record.device = device_;
    record.command = "vortex bench regress --record";
    record.build = options_.build.empty() ? "unnamed" : options_.build;
    record.date = today();
    record.runs = runs();
    record = updated(std::move(record), entries());
    VORTEX_TRY(write_file_atomic(file_, format_speed_record(record)));
    SpeedRecord empty;
    print(compare_speed(empty, entries(), false), "written to " + file_.string());
    return ok_status();
  }

  Status unknown() const {
    print(
        compare_speed(SpeedRecord{}, entries(), false),
        "no record of this device (" + file_.string() + "): `vortex bench regress --record --build COMMIT` makes one");
    return ok_status();
  }

  Status report() const {
    const std::vector<SpeedChange> all = changes();
    std::vector<std::string> bad;
    for (const SpeedChange& change : all) {
      if (change.standing == Standing::kLost || change.standing == Standing::kGone) { bad.push_back(change.name); }
    }
    print(all, "recorded " + record_->date + ", " + record_->build);
    if (bad.empty()) { return ok_status(); }
    return candidate_error("lost speed, or gone: " + join(bad, ", "),
                           "find the change that cost it; if it is meant, --record writes the register anew");
  }

  void print(const std::vector<SpeedChange>& all, const std::string& note) const {
    if (options_.format == "json") {
      std::printf("%s\n", json(all).dump(1).c_str());
      std::fprintf(stderr, "%s\n", note.c_str());
      return;
    }
    std::printf("%s; copy %.4g GB/s (read + write)\n\n%s\n", device_.c_str(), copy_ * 1e-9, change_table(all).c_str());
    for (const SpeedChange& change : all) {
      if (change.counted_anew) {
        std::printf("%s: the limit model counts other bytes than it did; compared by what it counted then\n",
                    change.name.c_str());
      }
    }
    std::printf("%s\n", note.c_str());
  }

  nlohmann::ordered_json json(const std::vector<SpeedChange>& all) const {
    const auto entry = [](const std::optional<SpeedEntry>& one) -> nlohmann::ordered_json {
      if (!one) { return nullptr; }
      return {{"percent", one->percent}, {"low", one->low}, {"high", one->high}, {"milliseconds", one->milliseconds}};
    };
    nlohmann::ordered_json result = {{"device", device_},
                                     {"copy_bytes_per_s", copy_},
                                     {"record", record_ ? nlohmann::ordered_json(record_->date) : nullptr},
                                     {"cases", nlohmann::ordered_json::array()}};
    for (const SpeedChange& change : all) {
      result["cases"].push_back({{"name", change.name},
                                 {"recorded", entry(change.recorded)},
                                 {"now", entry(change.now)},
                                 {"change", change.change},
                                 {"standing", std::string(standing_name(change.standing))}});
    }
    return result;
  }

  const Options& options_;
  std::vector<SpeedGroup> groups_;
  std::vector<SpeedSamples> samples_;
  std::filesystem::path file_;
  std::optional<SpeedRecord> record_;
  std::string device_;
  double copy_ = 0;  // the last one's bytes a second
};

}  // namespace

Status bench_regress(const Options& options) { return Regress(options).run(); }

}  // namespace vortex::bench
