// A served load: Poisson arrivals of long prompts. The clock is the sum of measured times, so a run takes no longer
// than the work in it. Between two decode steps as much of one prompt is read as the budget allows; while nobody
// decodes prompts are read whole.
#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "core/engine/bench/bench.h"
#include "core/engine/schedule.h"

namespace vortex::bench {
namespace {

// A request that had its first token within the one and every further one, on average, within the other is a good one.
constexpr double kGoodFirst = 2.0;
constexpr double kGoodEach = 0.05;
constexpr int kLeastPiece = 256;    // tokens
constexpr int kLongestAnswer = 10;  // times the mean, where answers differ

struct Served {
  int prompt = 0;  // tokens
  int output = 0;
  double arrival = 0;
  double first_token = 0;
  double last_token = 0;
  int left = 0;
};

// All alike, or log-normal about the means that are asked for, and cut where they would not fit the context.
std::vector<engine::RequestLength> served_lengths(const Options& options) {
  const int count = std::max(1, static_cast<int>(std::lround(options.requests * options.scale)));
  const int longest = options.max_context / 2;  // of an answer
  std::vector<int> outputs(static_cast<size_t>(count), options.outputs);
  std::vector<int> prompts(static_cast<size_t>(count), options.prompt);
  if (options.output_sigma > 0) {
    const int cut = std::min(longest, options.outputs * kLongestAnswer);
    outputs = engine::draw_lengths({double(options.outputs), options.output_sigma, cut}, count, options.seed);
  }
  if (options.prompt_sigma > 0) {
    prompts = engine::draw_lengths({double(options.prompt), options.prompt_sigma, options.max_context}, count,
                                   options.seed + 1);
  }
  std::vector<engine::RequestLength> lengths;
  for (size_t i = 0; i < outputs.size(); ++i) {
    lengths.push_back({std::min(prompts[i], options.max_context - outputs[i]), outputs[i]});
  }
  return lengths;
}

class Server {
 public:
  Server(const Options& options, engine::Stepper& stepper)
      : options_(options), stepper_(stepper), share_(options.decode_share) {
    Rng rng(stream_key(options.seed));
    double arrival = 0;
    for (const engine::RequestLength& length : served_lengths(options)) {
      arrival += -std::log(1 - rng.uniform()) / options.rate;
      served_.push_back({length.prompt, length.answer, arrival, 0, 0, length.answer - 1});
    }
  }

  Status run() {
    while (next_ < served_.size() || !active_.empty()) {
      if (active_.empty() && left_ == 0) { clock_ = std::max(clock_, served_[next_].arrival); }
      VORTEX_TRY(read_prompts());
      VORTEX_TRY(decode());
    }
    return ok_status();
  }

  const std::vector<Served>& served() const { return served_; }
  std::vector<double>& gaps() { return gaps_; }
  double clock() const { return clock_; }
  double reading() const { return reading_; }
  int largest_batch() const { return largest_batch_; }

 private:
  // The pages of one request that waits, if there is room for it and its answer.
  Status begin() {
    if (left_ > 0 || next_ == served_.size() || served_[next_].arrival > clock_) { return ok_status(); }
    if (static_cast<int>(active_.size()) >= options_.max_batch) { return ok_status(); }
    if (held_ + pages_of(served_[next_]) > stepper_.pages()) { return ok_status(); }
    VORTEX_TRY(stepper_.begin(served_[next_].prompt));
    held_ += pages_of(served_[next_]);
    left_ = served_[next_].prompt;
    return ok_status();
  }

  // At its longest.
  int64_t pages_of(const Served& request) const {
    const int64_t block = stepper_.block_size();
    return (request.prompt + request.output + block - 1) / block;
  }

  // May another piece of a prompt hold up those who decode?
  bool may_read() const {
    if (active_.empty() || share_.allows()) { return true; }
    return options_.share_patience > 0 && next_ < served_.size() &&
           clock_ - served_[next_].arrival > options_.share_patience;
  }

  // Pieces of one prompt after the other until the budget is used up: at least one, where somebody waits. The budget is
  // for the others' sake: while nobody decodes there is none.
  Status read_prompts() {
    if (!may_read()) { return ok_status(); }
    share_.forgive();  // who had waited too long leaves no debt behind
    const double end = clock_ + options_.chunk_milliseconds * 1e-3;
    do {
      VORTEX_TRY(begin());
      if (left_ == 0) { return ok_status(); }
      const bool whole = active_.empty() || options_.chunk_milliseconds == 0;
      const int piece = whole ? left_ : pace_.piece(left_, end - clock_);
      VORTEX_ASSIGN(const engine::Stepper::Piece read, stepper_.read(piece));
      clock_ += read.seconds;
      reading_ += read.seconds;
      if (!active_.empty()) { share_.read(read.seconds); }
      pace_.took(left_ - read.left, read.seconds);
      left_ = read.left;
      if (left_ == 0) {
        served_[next_].first_token = served_[next_].last_token = clock_;
        active_.push_back(next_++);
        largest_batch_ = std::max(largest_batch_, static_cast<int>(active_.size()));
        if (options_.chunk_milliseconds == 0) { return ok_status(); }
      }
    } while (clock_ + pace_.seconds(kLeastPiece) < end);
    return ok_status();
  }

  Status decode() {
    if (active_.empty()) { return ok_status(); }
    VORTEX_ASSIGN(const double seconds, stepper_.run(1));
    clock_ += seconds;
    share_.decoded(seconds);
    for (size_t i = active_.size(); i-- > 0;) {
      Served& request = served_[active_[i]];
      gaps_.push_back(clock_ - request.last_token);
      request.last_token = clock_;
      if (--request.left > 0) { continue; }
      held_ -= pages_of(request);
      VORTEX_TRY(stepper_.retire(static_cast<int>(i)));
      active_[i] = active_.back();
      active_.pop_back();
    }
    if (active_.empty()) { share_.forgive(); }
    return ok_status();
  }

  const Options& options_;
  engine::Stepper& stepper_;
  engine::PromptPace pace_{kLeastPiece, kLeastPiece, true};
  engine::DecodeShare share_;
  std::vector<Served> served_;
  std::vector<size_t> active_;  // as the stepper numbers them
  std::vector<double> gaps_;    // between two tokens of a request
  size_t next_ = 0;
  int64_t held_ = 0;  // pages, by those that decode or are read, at their longest
  int left_ = 0;      // tokens of the next request's prompt, which was begun
  double clock_ = 0;
  double reading_ = 0;
  int largest_batch_ = 0;
};

void add_times(Report& report, const std::string& name, std::vector<double> seconds) {
  for (const int percent : {50, 95, 99}) {
    report.add_value(name + ", P" + std::to_string(percent), engine::quantile(seconds, percent / 100.0) * 1e3, "ms");
  }
}

void tell(const Options& options, Server& server, const std::string& name, Report& report) {
  std::vector<double> first;
  std::vector<double> each;
  double good = 0;
  double tokens = 0;
  for (const Served& request : server.served()) {
    first.push_back(request.first_token - request.arrival);
    each.push_back((request.last_token - request.first_token) / (request.output - 1));
    tokens += request.output;
    if (first.back() <= kGoodFirst && each.back() <= kGoodEach) { good += 1; }
  }
  const auto count = static_cast<double>(first.size());
  report.add_value(name + ": requests", count, "");
  report.add_value("arrivals", options.rate, "requests/s");
  report.add_value("output tokens", tokens / server.clock(), "tok/s");
  report.add_value("largest batch", server.largest_batch(), "requests");
  report.add_value("time spent reading prompts", 100 * server.reading() / server.clock(), "%");
  add_times(report, "time to first token", first);
  add_times(report, "time per output token", each);
  add_times(report, "gap between tokens", server.gaps());
  report.add_value("largest gap", *std::max_element(server.gaps().begin(), server.gaps().end()) * 1e3, "ms");
  report.add_value("first token in 2 s, others in 50 ms", 100 * good / count, "%");
}

}  // namespace

Status bench_serve(const Options& options) {
  VORTEX_ASSIGN(const model::ModelConfig model, find_geometry(options));
  VORTEX_ASSIGN(const std::optional<vflow::Policy> policy, find_policy(options, model));
  if (options.outputs < 2) { return candidate_error("--outputs must be at least 2"); }
  if (options.prompt_sigma == 0) { VORTEX_TRY(check_fits(options.prompt, options.outputs, options.max_context)); }
  VORTEX_ASSIGN(const Rig rig, make_rig(options, model, policy));
  engine::Stepper& stepper = *rig.stepper;
  VORTEX_TRY(stepper.place({}, {}));
  VORTEX_TRY(stepper.admit(options.prompt));  // tunes and captures
  VORTEX_TRY(stepper.run(1));
  VORTEX_TRY(stepper.place({}, {}));
  Server server(options, stepper);
  VORTEX_TRY(server.run());
  Report report(options, stepper.device(), rig.copy);
  tell(options, server, policy_name(options, policy), report);
  return report.finish();
}

}  // namespace vortex::bench
