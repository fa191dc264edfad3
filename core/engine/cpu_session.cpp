#include "core/engine/cpu_session.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "base/processor_clock.h"
#include "base/rng.h"
#include "core/engine/prefix.h"
#include "core/engine/requests.h"
#include "kernels/cpu/sampler.h"

namespace vortex::engine {
namespace {

// Does the indexer keep something in a request's pages that others must not see?
bool keeps_state(const ActivePolicy& policy) {
  const auto& nodes = policy.policy.program.indexer.nodes;
  return policy.executable != nullptr &&
         std::any_of(nodes.begin(), nodes.end(), [](const vflow::Node& node) { return node.op == vflow::Op::kSave; });
}

}  // namespace

CpuSession::CpuSession(const CpuParts& parts, const SessionOptions& options, RunStats& stats)
    : parts_(parts),
      options_(options),
      stats_(stats),
      decoder_(parts.model, parts.pool, parts.policy, &parts.threads),
      order_(static_cast<size_t>(config().vocab_size)),
      weights_(order_.size()) {
  parts_.pool.free_all();
  if (options_.keep_prefixes && !keeps_state(parts_.policy)) { cache_.emplace(parts_.pool); }
}

Status CpuSession::submit(LiveRequest request) {
  VORTEX_TRY(check_request(parts_.model.source, parts_.options, request.request, request.request.max_new_tokens));
  waiting_.push_back(std::move(request));
  return ok_status();
}

void CpuSession::cancel(int64_t id) {
  std::erase_if(waiting_, [id](const LiveRequest& live) { return live.id == id; });
  if (reading_ && reading_->live.id == id) {
    give_back(*reading_);
    reading_.reset();
  }
  std::erase_if(active_, [this, id](const Active& active) {
    if (active.live.id != id) { return false; }
    give_back(active);
    return true;
  });
}

Result<bool> CpuSession::round() {
  return guarded([&]() -> Result<bool> {
    if (waiting_.empty() && !reading_ && active_.empty()) { return false; }
    read_prompts();
    if (!active_.empty()) { step(); }
    return true;
  });
}

SessionUse CpuSession::use() const {
  SessionUse use;
  use.waiting = static_cast<int>(waiting_.size());
  use.running = static_cast<int>(active_.size()) + (reading_ ? 1 : 0);
  use.pages = parts_.pool.pages();
  use.free_pages = available();
  use.kept_pages = cache_ ? cache_->unused() : 0;
  return use;
}

bool CpuSession::ended(const Active& active) const {
  return active.stopped || active.produced >= active.live.request.max_new_tokens;
}

// Pages that can be had: those of the cache that nobody refers to are as good as free.
int CpuSession::available() const { return parts_.pool.free_pages() + (cache_ ? cache_->unused() : 0); }

int32_t CpuSession::take_page() {
  if (parts_.pool.free_pages() == 0) { cache_->evict(); }
  return parts_.pool.take();
}

void CpuSession::give_back(const Active& active) {
  const std::span<const int32_t> pages = active.sequence.pages;
  const auto cached = static_cast<size_t>(active.cached);
  if (cached > 0) { cache_->release(pages.first(cached)); }
  parts_.pool.give_back(pages.subspan(cached));
}

// What it holds is what can be had at its end: not what others refer to as well.
PageNeed CpuSession::need_of(const Active& active) const {
  const std::span<const int32_t> pages = active.sequence.pages;
  const auto held = static_cast<int>(pages.size());
  const int own = held - (active.cached == 0 ? 0 : cache_->shared(pages.first(static_cast<size_t>(active.cached))));
  return {own, own + active.longest - held};
}

// Would every request still be able to end if `growing`, one of them or the next one, took so many more pages?
bool CpuSession::safe_with(const Active* growing, int taken) const {
  std::vector<PageNeed> needs;
  const auto add = [&](const Active& active) {
    PageNeed need = need_of(active);
    if (&active == growing) { need.held += taken; }
    needs.push_back(need);
  };
  for (const Active& active : active_) { add(active); }
  if (reading_) { add(*reading_); }
  return taken <= available() && is_safe(std::move(needs), available() - taken);
}

// Prompts are read in their order, one after the other: who comes later may find the pages of who came before. Chunks
// are not cut by the clock on the wall: while others use the machine it goes on, and chunks that shrink for it only
// cost more of the time that is left.
void CpuSession::read_prompts() {
  const Stopwatch watch(stats_.prefill_seconds);
  const double end = thread_seconds() + options_.chunk_seconds;
  int left = options_.chunk_tokens > 0 ? options_.chunk_tokens : std::numeric_limits<int>::max();
  do {
    if (!reading_ && !begin_next()) { return; }
    left -= read_chunk(chunk_size(left, end - thread_seconds()));
    if (reading_->sequence.length == static_cast<int>(reading_->live.request.prompt.size())) { end_prompt(); }
  } while (left > 0 && (options_.chunk_seconds == 0 || thread_seconds() < end));
}

// Gives the next request that waits the pages of its prompt, if it is sure to come to its end.
bool CpuSession::begin_next() {
  if (waiting_.empty() || static_cast<int>(active_.size()) >= parts_.options.max_batch) { return false; }
  const Request& request = waiting_.front().request;
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  reading_.emplace();
  // The last token that is sampled is never fed.
  reading_->longest = parts_.pool.blocks_for(prompt + request.max_new_tokens - 1);
  take_kept_pages(waiting_.front());
  const int more = parts_.pool.blocks_for(prompt) - reading_->cached;
  if (!safe_with(&*reading_, more)) {
    give_back(*reading_);
    reading_.reset();
    return false;
  }
  Sequence& sequence = reading_->sequence;
  for (int i = 0; i < more; ++i) { sequence.pages.push_back(take_page()); }
  reading_->live = std::move(waiting_.front());
  waiting_.pop_front();
  if (reading_->live.on_start) { reading_->live.on_start({prompt, sequence.length}); }
  return true;
}

// What the cache has of the prompt that is begun, but for its last token, whose logits are wanted. A prompt that tells
// the log-probabilities of its own tokens is read whole.
void CpuSession::take_kept_pages(const LiveRequest& live) {
  if (!cache_ || live.prompt_probs || live.request.prefix != nullptr) { return; }
  const int block = parts_.pool.block_size();
  reading_->sequence.pages =
      cache_->take(live.request.prompt, (static_cast<int>(live.request.prompt.size()) - 1) / block);
  reading_->cached = static_cast<int>(reading_->sequence.pages.size());
  reading_->sequence.length = reading_->cached * block;
}

// Tokens of the next chunk: at most `tokens`, and about what `seconds` suffice for where time is limited.
int CpuSession::chunk_size(int tokens, double seconds) const {
  return options_.chunk_seconds == 0 ? tokens : pace_.piece(tokens, seconds);
}

// Takes the prompt's K and V from the request's own snapshot.
void CpuSession::copy_prefix() {
  const Prefix& prefix = *reading_->live.request.prefix;
  parts_.pool.fill(prefix, reading_->sequence.pages, &parts_.threads);
  reading_->sequence.length = prefix.tokens;
  logits_.assign(prefix.logits(), prefix.logits() + order_.size());
}

// Reads the next tokens of the prompt, at most `most`. Gives how many.
int CpuSession::read_chunk(int most) {
  Active& active = *reading_;
  Sequence& sequence = active.sequence;
  const Request& request = active.live.request;
  const bool tells = active.live.prompt_probs && active.live.top_log_probs >= 0;
  const int first = sequence.length;
  int count = 0;
  if (request.prefix != nullptr && !tells) {
    copy_prefix();
  } else {
    count = std::min(most, static_cast<int>(request.prompt.size()) - first);
    const PromptReader reader = [&](int position, std::span<const float> logits) {
      const size_t next = static_cast<size_t>(position) + 1;
      if (next == request.prompt.size()) { return; }
      auto [log_prob, top] = token_probs(logits, request.prompt[next], active.live.top_log_probs);
      active.prompt_probs.push_back({log_prob, std::move(top)});
    };
    const double begin = thread_seconds();
    prefill_chunk(parts_.model, {request.prompt, sequence.pages, {first, count}}, parts_.pool, &parts_.threads, logits_,
                  tells ? reader : PromptReader());
    pace_.took(count, thread_seconds() - begin);
    sequence.length += count;
    stats_.prefill_tokens += count;
  }
  decoder_.update_completed(sequence, first / parts_.pool.block_size());
  return count;
}

// The prompt was read: its pages are shared from now on, and its first token is sampled.
void CpuSession::end_prompt() {
  Active active = std::move(*reading_);
  reading_.reset();
  const LiveRequest& live = active.live;
  if (cache_) { active.cached = cache_->insert(live.request.prompt, active.sequence.pages, active.cached); }
  if (live.prompt_probs && live.top_log_probs >= 0 && live.on_prompt) {
    live.on_prompt(std::move(active.prompt_probs));
  }
  accept(active, logits_.data());
  if (ended(active)) {
    give_back(active);
  } else {
    active_.push_back(std::move(active));
  }
}

// Gives every active request whose pages are full another one, if that is safe; the others wait, pages kept.
std::vector<Sequence*> CpuSession::runnable(std::vector<size_t>& who) {
  std::vector<Sequence*> batch;
  for (size_t i = 0; i < active_.size(); ++i) {
    Active& active = active_[i];
    Sequence& sequence = active.sequence;
    const int needed = parts_.pool.blocks_for(sequence.length + 1) - static_cast<int>(sequence.pages.size());
    if (needed > 0 && !safe_with(&active, needed)) { continue; }
    if (needed > 0) { sequence.pages.push_back(take_page()); }
    batch.push_back(&sequence);
    who.push_back(i);
  }
  return batch;
}

void CpuSession::step() {
  const Stopwatch watch(stats_.decode_seconds);
  std::vector<size_t> who;
  const std::vector<Sequence*> batch = runnable(who);
  if (batch.empty()) { return; }  // all wait for the pages of the prompt that is being read
  const float* logits = decoder_.step(batch, nullptr, stats_);
  for (size_t i = 0; i < batch.size(); ++i) { accept(active_[who[i]], logits + i * order_.size()); }
  for (const Active& active : active_) {
    if (ended(active)) { give_back(active); }
  }
  std::erase_if(active_, [this](const Active& active) { return ended(active); });
}

// Samples the token that follows the sequence's last one.
void CpuSession::accept(Active& active, const float* logits) {
  const Request& request = active.live.request;
  const auto vocab = static_cast<int>(order_.size());
  int32_t token = 0;
  if (request.sampling.temperature == 0) {
    token = cpu::argmax(logits, vocab);
  } else {
    const auto position = static_cast<uint64_t>(active.sequence.length);
    token = cpu::sample(logits, vocab, request.sampling.temperature, request.sampling.top_k, request.sampling.top_p,
                        Rng(stream_key(request.seed, position)).uniform(), order_.data(), weights_.data());
  }
  active.sequence.next_token = token;
  active.produced += 1;
  const std::vector<int>& eos = config().eos_token_ids;
  active.stopped = !request.ignore_eos && std::find(eos.begin(), eos.end(), token) != eos.end();
  if (!active.live.on_token) { return; }
  LiveToken told{token, ended(active), active.stopped, 0, {}};
  if (active.live.top_log_probs >= 0) {
    std::tie(told.log_prob, told.top) = token_probs({logits, order_.size()}, token, active.live.top_log_probs);
  }
  active.live.on_token(std::move(told));
}

}  // namespace vortex::engine
