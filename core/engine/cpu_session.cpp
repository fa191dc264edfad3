#include "core/engine/cpu_session.h"

#include <algorithm>
#include <tuple>

#include "base/rng.h"
#include "core/engine/prefix.h"
#include "core/engine/requests.h"
#include "kernels/cpu/sampler.h"

namespace vortex::engine {

CpuSession::CpuSession(const CpuParts& parts, RunStats& stats)
    : parts_(parts),
      stats_(stats),
      decoder_(parts.model, parts.pool, parts.policy, &parts.threads),
      order_(static_cast<size_t>(config().vocab_size)),
      weights_(order_.size()) {
  parts_.pool.free_all();
}

Status CpuSession::submit(LiveRequest request) {
  VORTEX_TRY(check_request(parts_.model.source, parts_.options, request.request, request.request.max_new_tokens));
  waiting_.push_back(std::move(request));
  return ok_status();
}

void CpuSession::cancel(int64_t id) {
  std::erase_if(waiting_, [id](const LiveRequest& live) { return live.id == id; });
  std::erase_if(active_, [this, id](const Active& active) {
    if (active.live.id != id) { return false; }
    parts_.pool.give_back(active.sequence.pages);
    return true;
  });
}

Result<bool> CpuSession::round() {
  return guarded([&]() -> Result<bool> {
    if (waiting_.empty() && active_.empty()) { return false; }
    admit();
    if (!active_.empty()) { step(); }
    return true;
  });
}

SessionUse CpuSession::use() const {
  return {static_cast<int>(waiting_.size()), static_cast<int>(active_.size()), parts_.pool.pages(),
          parts_.pool.free_pages()};
}

bool CpuSession::ended(const Active& active) const {
  return active.stopped || active.produced >= active.live.request.max_new_tokens;
}

// Would every active request still be able to end, if `extra` (of which `taken` pages come from the free ones) were one
// of them?
bool CpuSession::safe_with(const Active* growing, int taken, const PageNeed* extra) const {
  std::vector<PageNeed> needs;
  for (const Active& active : active_) {
    needs.push_back(
        {static_cast<int>(active.sequence.pages.size()) + (&active == growing ? taken : 0), active.longest});
  }
  if (extra != nullptr) { needs.push_back(*extra); }
  const int free = parts_.pool.free_pages();
  return taken <= free && is_safe(std::move(needs), free - taken);
}

void CpuSession::admit() {
  const Stopwatch watch(stats_.prefill_seconds);
  while (!waiting_.empty() && static_cast<int>(active_.size()) < parts_.options.max_batch) {
    const Request& request = waiting_.front().request;
    const auto prompt = static_cast<int64_t>(request.prompt.size());
    const int held = parts_.pool.blocks_for(prompt);
    // The last token that is sampled is never fed.
    const PageNeed need{held, parts_.pool.blocks_for(prompt + request.max_new_tokens - 1)};
    if (!safe_with(nullptr, held, &need)) { return; }
    LiveRequest live = std::move(waiting_.front());
    waiting_.pop_front();
    start(std::move(live), need.longest);
  }
}

// The prompt's K and V: the request's own prefix, or a fresh prefill.
PrefixPtr CpuSession::prompt_kv(const LiveRequest& live) {
  const Request& request = live.request;
  const bool tells = live.prompt_probs && live.top_log_probs >= 0 && live.on_prompt;
  if (request.prefix != nullptr && !tells) { return request.prefix; }
  stats_.prefill_tokens += static_cast<int64_t>(request.prompt.size());
  if (!tells) { return std::make_shared<const Prefix>(prefill(parts_.model, request.prompt, &parts_.threads)); }
  std::vector<PromptProb> probs;
  const auto read = [&](int position, std::span<const float> logits) {
    const size_t next = static_cast<size_t>(position) + 1;
    if (next == request.prompt.size()) { return; }
    auto [log_prob, top] = token_probs(logits, request.prompt[next], live.top_log_probs);
    probs.push_back({log_prob, std::move(top)});
  };
  auto prefix = std::make_shared<const Prefix>(prefill(parts_.model, request.prompt, &parts_.threads, read));
  live.on_prompt(std::move(probs));
  return prefix;
}

void CpuSession::start(LiveRequest live, int longest) {
  if (live.on_start) { live.on_start({static_cast<int64_t>(live.request.prompt.size()), 0}); }
  const PrefixPtr prefix = prompt_kv(live);
  Active active{std::move(live), longest, 0, false, {}};
  Sequence& sequence = active.sequence;
  for (int block = parts_.pool.blocks_for(prefix->tokens); block > 0; --block) {
    sequence.pages.push_back(parts_.pool.take());
  }
  sequence.length = prefix->tokens;
  parts_.pool.fill(*prefix, sequence.pages, &parts_.threads);
  decoder_.update_completed(sequence);
  accept(active, prefix->logits());
  if (ended(active)) {
    parts_.pool.give_back(sequence.pages);
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
    if (needed > 0 && !safe_with(&active, needed, nullptr)) { continue; }
    if (needed > 0) { sequence.pages.push_back(parts_.pool.take()); }
    batch.push_back(&sequence);
    who.push_back(i);
  }
  return batch;
}

void CpuSession::step() {
  const Stopwatch watch(stats_.decode_seconds);
  std::vector<size_t> who;
  const std::vector<Sequence*> batch = runnable(who);
  const float* logits = decoder_.step(batch, nullptr, stats_);
  for (size_t i = 0; i < batch.size(); ++i) { accept(active_[who[i]], logits + i * order_.size()); }
  for (const Active& active : active_) {
    if (ended(active)) { parts_.pool.give_back(active.sequence.pages); }
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
