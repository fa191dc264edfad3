#include "core/engine/cuda/cuda_session.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "base/clock.h"
#include "core/engine/requests.h"

namespace vortex::engine {

CudaSession::CudaSession(Runner& runner, const SessionOptions& options, RunStats& stats)
    : runner_(runner),
      options_(options),
      stats_(stats),
      failed_(runner.reset()),
      share_(options.decode_share),
      free_pages_(runner.pool().pages()),
      logits_(static_cast<size_t>(runner.model().source.config.vocab_size)) {}

Status CudaSession::submit(LiveRequest request) {
  VORTEX_TRY(check_request(runner_.model().source, runner_.options(), request.request, request.request.max_new_tokens));
  if (request.prompt_probs && request.top_log_probs >= 0) {
    return candidate_error("log-probabilities of a prompt's own tokens are not told on a GPU",
                           "ask without echo, or of a server on the CPU");
  }
  waiting_.push_back({std::move(request), monotonic_seconds()});
  return ok_status();
}

void CudaSession::cancel(int64_t id) {
  std::erase_if(waiting_, [id](const Waiting& waiting) { return waiting.live.id == id; });
  if (reading_ && reading_->live.id == id) {
    const size_t slot = active_.size();
    runner_.abandon_prompt();
    free_pages_ += held(slot);
    host().finished[slot] = 1;
    reading_.reset();
    fail_by(runner_.release_finished());
    return;
  }
  std::vector<bool> ended(active_.size(), false);
  for (size_t i = 0; i < active_.size(); ++i) { ended[i] = active_[i].live.id == id; }
  fail_by(remove(ended));
}

Result<bool> CudaSession::round() {
  VORTEX_TRY(failed_);
  if (waiting_.empty() && !reading_ && active_.empty()) { return false; }
  VORTEX_TRY(read_prompts());
  VORTEX_TRY(retire());
  VORTEX_TRY(step());
  VORTEX_TRY(retire());
  return true;
}

SessionUse CudaSession::use() const {
  SessionUse use;
  use.waiting = static_cast<int>(waiting_.size());
  use.running = static_cast<int>(active_.size()) + (reading_ ? 1 : 0);
  use.pages = runner_.pool().pages();
  use.free_pages = free_pages_;
  return use;
}

// Could every request still end, one after the other, if slot i took grown[i] more pages and the next ones came on top?
bool CudaSession::safe(const std::vector<int>& grown, std::span<const PageNeed> next) {
  std::vector<PageNeed> needs;
  for (size_t i = 0; i < active_.size(); ++i) { needs.push_back({held(i), active_[i].longest}); }
  if (reading_) { needs.push_back({held(active_.size()), reading_->longest}); }
  return is_safe_after(std::move(needs), grown, next, free_pages_);
}

// What a request holds once its prompt is read, and at its end. The last token that is sampled is never fed.
PageNeed CudaSession::need_of(const Request& request) const {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  return {blocks_for(prompt), blocks_for(prompt + request.max_new_tokens - 1)};
}

// Prompts are read in their order. The limits are for the others' sake: while nobody decodes there are none.
Status CudaSession::read_prompts() {
  if (!may_read()) { return ok_status(); }
  share_.forgive();  // who had waited too long leaves no debt behind
  const Stopwatch watch(stats_.prefill_seconds);
  const double end = monotonic_seconds() + options_.chunk_seconds;
  int left = options_.chunk_tokens > 0 ? options_.chunk_tokens : std::numeric_limits<int>::max();
  do {
    if (!reading_) {
      VORTEX_ASSIGN(const int packed, read_pack(next_piece(runner_.prompt_chunk(), left, end)));
      left -= packed;
      if (packed > 0) { continue; }
      VORTEX_ASSIGN(const bool begun, begin_next());
      if (!begun) { return ok_status(); }
      if (!reading_) { continue; }  // it came with a snapshot
    }
    VORTEX_ASSIGN(const int read, read_piece(next_piece(unread_, left, end)));
    left -= read;
  } while (left > 0 && (options_.chunk_seconds == 0 || monotonic_seconds() + pace_.seconds(kLeastPiece) < end));
  return ok_status();
}

// May another piece of a prompt hold up those who decode? Where the first that wants its prompt read has waited too
// long, it may: more would come than decoding leaves time for.
bool CudaSession::may_read() const {
  if (active_.empty() || share_.allows()) { return true; }
  if (options_.share_patience <= 0 || (!reading_ && waiting_.empty())) { return false; }
  const double since = reading_ ? reading_->since : waiting_.front().since;
  return monotonic_seconds() - since > options_.share_patience;
}

// So many tokens of prompts took so long.
void CudaSession::took(int tokens, double seconds) {
  pace_.took(tokens, seconds);
  stats_.prefill_tokens += tokens;
  if (!active_.empty()) { share_.read(seconds); }
}

// Of `tokens` tokens, how many to read next, `left` of them at most and until about `end`.
int CudaSession::next_piece(int tokens, int left, double end) const {
  if (active_.empty()) { return tokens; }
  return options_.chunk_seconds == 0 ? std::min(tokens, left)
                                     : pace_.piece(std::min(tokens, left), end - monotonic_seconds());
}

// Of the requests that wait, the first ones whose whole prompts have `tokens` tokens together: in their order, so that
// nobody is overtaken, as far as all of them are sure to come to their ends. Less than two are no pack.
std::vector<PageNeed> CudaSession::find_pack(int tokens) {
  std::vector<PageNeed> needs;
  const auto room = static_cast<size_t>(
      std::max(0, std::min(runner_.most_together(), runner_.options().max_batch - static_cast<int>(active_.size()))));
  const std::vector<int> none(active_.size(), 0);
  for (const Waiting& waiting : waiting_) {
    const Request& request = waiting.live.request;
    tokens -= static_cast<int>(request.prompt.size());
    if (needs.size() == room || tokens < 0 || request.prefix != nullptr) { break; }
    needs.push_back(need_of(request));
    if (safe(none, needs)) { continue; }
    needs.pop_back();
    break;
  }
  if (needs.size() < 2) { needs.clear(); }
  return needs;
}

// Reads several prompts that wait at once, of at most `tokens` tokens together. Gives how many these were; 0: there are
// no two that would go.
Result<int> CudaSession::read_pack(int tokens) {
  if (!options_.pack_prompts) { return 0; }
  const std::vector<PageNeed> needs = find_pack(tokens);
  if (needs.empty()) { return 0; }
  const size_t first = active_.size();
  std::vector<Active> pack;
  pack.reserve(needs.size());  // prompts stay where they are
  std::vector<std::span<const int32_t>> prompts;
  int total = 0;
  for (const PageNeed& need : needs) {
    Waiting& next = waiting_.front();
    pack.push_back({std::move(next.live), next.since, need.longest, 0});
    waiting_.pop_front();
    free_pages_ -= need.held;
    const LiveRequest& live = pack.back().live;
    runner_.slots().admit(static_cast<int>(first + prompts.size()), live.request);
    prompts.emplace_back(live.request.prompt);
    total += static_cast<int>(live.request.prompt.size());
    if (live.on_start) { live.on_start({static_cast<int64_t>(live.request.prompt.size()), 0}); }
  }
  VORTEX_TRY(runner_.prepare_prompt(total));
  const double begin = monotonic_seconds();
  VORTEX_TRY(runner_.read_together(static_cast<int>(first), prompts));
  took(total, monotonic_seconds() - begin);
  for (Active& active : pack) { active_.push_back(std::move(active)); }
  for (size_t i = 0; i < needs.size(); ++i) { VORTEX_TRY(collect(first + i, static_cast<int>(i))); }
  return total;
}

// Gives the next request that waits the pages of its prompt, if it is sure to come to its end.
Result<bool> CudaSession::begin_next() {
  if (waiting_.empty() || static_cast<int>(active_.size()) >= runner_.options().max_batch) { return false; }
  Waiting& next = waiting_.front();
  const auto prompt = static_cast<int64_t>(next.live.request.prompt.size());
  const PageNeed need = need_of(next.live.request);
  if (!safe(std::vector<int>(active_.size(), 0), {&need, 1})) { return false; }
  reading_ = Active{std::move(next.live), next.since, need.longest, 0};
  waiting_.pop_front();
  free_pages_ -= need.held;
  unread_ = static_cast<int>(prompt);
  if (reading_->live.on_start) { reading_->live.on_start({prompt, 0}); }
  VORTEX_TRY(start(reading_->live.request, static_cast<int>(active_.size())));
  if (unread_ == 0) { VORTEX_TRY(end_prompt()); }
  return true;
}

Status CudaSession::start(const Request& request, int slot) {
  runner_.slots().admit(slot, request);
  if (request.prefix == nullptr) { return runner_.begin_prompt(slot, request.prompt); }
  unread_ = 0;
  return runner_.restore(slot, *request.prefix);
}

// Reads the next tokens of the prompt, at most `most`. Gives how many.
Result<int> CudaSession::read_piece(int most) {
  VORTEX_TRY(runner_.prepare_prompt(most));
  const double begin = monotonic_seconds();
  VORTEX_ASSIGN(const int left, runner_.read_prompt(most));
  const int read = unread_ - left;
  took(read, monotonic_seconds() - begin);
  unread_ = left;
  if (left == 0) { VORTEX_TRY(end_prompt()); }
  return read;
}

// The prompt was read, and its first token sampled.
Status CudaSession::end_prompt() {
  active_.push_back(std::move(*reading_));
  reading_.reset();
  return collect(active_.size() - 1, 0);
}

// Lets every request that may go on decode; where pages are short the others wait, pages kept. False where all wait.
bool CudaSession::choose() {
  SlotArrays& slots = host();
  std::vector<int> grown(active_.size(), 0);
  bool any = false;
  for (size_t i = 0; i < active_.size(); ++i) {
    grown[i] = blocks_for(slots.lengths[i] + 1) - held(i);
    const bool may = grown[i] == 0 || safe(grown, {});
    if (!may) { grown[i] = 0; }
    slots.new_tokens[i] = may ? 1 : 0;
    any = any || may;
  }
  return any;
}

Status CudaSession::step() {
  if (active_.empty() || !choose()) {
    share_.forgive();
    return ok_status();
  }
  const int capacity = runner_.capacity_for(static_cast<int>(active_.size()));
  VORTEX_TRY(runner_.prepare(capacity));
  const Stopwatch watch(stats_.decode_seconds);
  const double begin = monotonic_seconds();
  for (size_t i = 0; i < active_.size(); ++i) { free_pages_ += held(i); }
  VORTEX_TRY(runner_.slots().upload(runner_.stream()));
  VORTEX_TRY(runner_.replay(capacity));
  VORTEX_TRY(runner_.fetch());
  share_.decoded(monotonic_seconds() - begin);
  for (size_t i = 0; i < active_.size(); ++i) { free_pages_ -= held(i); }
  stats_.decode_steps += 1;
  stats_.weight_bytes_read += runner_.model().weight_bytes;
  for (size_t i = 0; i < active_.size(); ++i) {
    stats_.decode_tokens += host().produced[i] - active_[i].seen;
    VORTEX_TRY(collect(i, static_cast<int>(i)));
  }
  return ok_status();
}

// Takes the token that a slot has produced since the last look, of which row `row` of the logits told.
Status CudaSession::collect(size_t slot, int row) {
  Active& active = active_[slot];
  if (active.seen == host().produced[slot]) { return ok_status(); }
  const auto place = slot * cuda::kTokenRing + static_cast<size_t>(active.seen++ % cuda::kTokenRing);
  if (!active.live.on_token) { return ok_status(); }
  LiveToken told{host().ring[place], has_ended(slot), host().stopped[slot] != 0, 0, {}};
  if (active.live.top_log_probs >= 0) { VORTEX_TRY(tell_probs(active, row, told)); }
  active.live.on_token(std::move(told));
  return ok_status();
}

Status CudaSession::tell_probs(const Active& active, int row, LiveToken& told) {
  VORTEX_TRY(runner_.read_logits(row, logits_.data()));
  std::tie(told.log_prob, told.top) = token_probs(logits_, told.token, active.live.top_log_probs);
  return ok_status();
}

Status CudaSession::retire() {
  std::vector<bool> ended(active_.size(), false);
  for (size_t i = 0; i < active_.size(); ++i) { ended[i] = has_ended(i); }
  return remove(ended);
}

// Gives back what these requests hold, and closes the gaps they leave.
Status CudaSession::remove(const std::vector<bool>& ended) {
  const auto left = static_cast<size_t>(std::count(ended.begin(), ended.end(), false));
  const size_t before = active_.size();
  if (left == before) { return ok_status(); }
  for (size_t i = 0; i < before; ++i) {
    if (!ended[i]) { continue; }
    host().finished[i] = 1;
    free_pages_ += held(i);
  }
  VORTEX_TRY(runner_.release_finished());
  const auto moves = moves_into_gaps(ended);
  for (const auto& [from, to] : moves) {
    active_[static_cast<size_t>(to)] = std::move(active_[static_cast<size_t>(from)]);
  }
  active_.resize(left);
  VORTEX_TRY(runner_.move(moves));
  if (!reading_) { return ok_status(); }
  const std::pair<int, int> behind[] = {{static_cast<int>(before), static_cast<int>(left)}};
  return runner_.move(behind);
}

}  // namespace vortex::engine
