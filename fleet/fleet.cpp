#include "fleet/fleet.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <utility>

#include "base/clock.h"
#include "base/escape.h"
#include "base/secret.h"
#include "fleet/line.h"
#include "fleet/token.h"

namespace vortex::fleet {
namespace {

using nlohmann::json;

constexpr int kPollMs = 500;
constexpr auto kWait = std::chrono::milliseconds(500);
constexpr double kLookSeconds = 0.1;   // between two looks at all lines, which may be hundreds
constexpr double kOwnPause = 5;        // seconds between two looks at the clock: it was we who stood still
constexpr double kGoodbyeSeconds = 5;  // that workers get for theirs
constexpr double kRosterSeconds = 2;
constexpr double kFirstRest = 5;  // after a fault; doubled for each further one in a row
constexpr double kLongestRest = 300;
constexpr int kMostStrangers = 128;
constexpr size_t kMostEvents = 128;  // taken at once
constexpr size_t kMostRefusals = 128;

double rest_after(int faults) {
  double rest = kFirstRest;
  for (int i = 1; i < faults && rest < kLongestRest; ++i) { rest *= 2; }
  return std::min(rest, kLongestRest);
}

}  // namespace

Fleet::Fleet(FleetOptions options)
    : options_(std::move(options)),
      setup_text_(to_json(options_.setup).dump()),
      waker_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      watcher_(::epoll_create1(EPOLL_CLOEXEC)) {
  // No lease of an earlier sitting has such a number.
  const MutexLock lock(mutex_);
  next_lease_ = std::stoull(random_hex(4), nullptr, 16) << 24U;
  last_look_ = monotonic_seconds();
}

Result<std::unique_ptr<Fleet>> Fleet::open(FleetOptions options) {
  options.setup.silence_seconds = options.silence_seconds;
  options.beat_seconds = std::min(options.beat_seconds, kBeatShare * options.silence_seconds);
  std::unique_ptr<Fleet> fleet(new Fleet(std::move(options)));
  VORTEX_ASSIGN(fleet->listener_, listen_at(fleet->options_.listen));
  if (fleet->waker_.get() < 0 || fleet->watcher_.get() < 0) {
    return environment_error("cannot wait for workers: no descriptor is left");
  }
  fleet->watch(EPOLL_CTL_ADD, fleet->listener_.get(), EPOLLIN, &fleet->listener_);
  fleet->watch(EPOLL_CTL_ADD, fleet->waker_.get(), EPOLLIN, &fleet->waker_);
  std::error_code ec;
  if (!fleet->options_.roster.empty()) {
    std::filesystem::create_directories(std::filesystem::path(fleet->options_.roster).parent_path(), ec);
    // A search that goes on counts on.
    const Result<Roster> before = read_roster(fleet->options_.roster, fleet->options_.run);
    const MutexLock lock(fleet->mutex_);
    if (before.ok()) { fleet->nodes_ = before->nodes; }
  }
  fleet->thread_ = std::thread([raw = fleet.get()] { raw->serve(); });
  return fleet;
}

Fleet::~Fleet() { close(); }

void Fleet::close() {
  if (!thread_.joinable()) { return; }
  const double deadline = monotonic_seconds() + kGoodbyeSeconds;
  {
    MutexLock lock(mutex_);
    closing_ = true;
    for (Line& line : lines_) { line.say_goodbye("the search has ended"); }
    changed_.notify_all();
    wake();
    while (!lines_.empty() && monotonic_seconds() < deadline) {
      changed_.wait_for(mutex_, std::chrono::milliseconds(50));
    }
    closed_ = true;
  }
  wake();
  thread_.join();
}

int Fleet::ready() const {
  const MutexLock lock(mutex_);
  return static_cast<int>(std::count_if(lines_.begin(), lines_.end(), [](const Line& line) { return line.works(); }));
}

bool Fleet::wait_for_first(const std::function<bool()>& should_stop) const {
  while (ready() == 0) {
    if (should_stop()) { return false; }
    MutexLock lock(mutex_);
    changed_.wait_for(mutex_, kWait);
  }
  return true;
}

Roster Fleet::roster() const {
  const MutexLock lock(mutex_);
  return look(monotonic_seconds());
}

double Fleet::lent_seconds() const {
  const MutexLock lock(mutex_);
  return lent_seconds_ + lent_ * (monotonic_seconds() - lent_counted_);
}

void Fleet::count_lent(double now, int change) {
  lent_seconds_ += lent_ * (now - lent_counted_);
  lent_counted_ = now;
  lent_ += change;
}

// --- for a task

std::shared_ptr<Lease> Fleet::lend(const Machine* like, double seconds, const std::function<bool()>& should_stop) {
  const double deadline = monotonic_seconds() + seconds;
  for (;;) {
    if (should_stop && should_stop()) { return nullptr; }
    MutexLock lock(mutex_);
    const double now = monotonic_seconds();
    const auto is_free = [&](const Line& line) {
      return line.state == Line::State::kIdle && line.rest_until <= now &&
             (like == nullptr || are_alike(line.hello.machine, *like));
    };
    const auto found = std::find_if(lines_.begin(), lines_.end(), is_free);
    if (found != lines_.end()) {
      found->state = Line::State::kRunning;
      found->since = now;
      count_lent(now, 1);
      found->lease =
          std::make_shared<Lease>(next_lease_++, found->hello.name, found->hello.build, found->hello.machine);
      return found->lease;
    }
    if (closing_ || now >= deadline) { return nullptr; }
    changed_.wait_for(mutex_, kWait);
  }
}

void Fleet::give(const Lease& lease, const job::Job& job, const std::string& stage, std::string request) {
  const MutexLock lock(mutex_);
  Line* line = line_of(lease);
  if (line == nullptr) { return; }  // its loss is in the mail
  line->job = job.id;
  line->stage = stage;
  line->stage_since = monotonic_seconds();
  line->channel.send(Task{lease.number(), std::move(request)});
  wake();
}

void Fleet::stop(const Lease& lease) {
  const MutexLock lock(mutex_);
  if (Line* line = line_of(lease)) {
    line->channel.send(Stop{lease.number()});
    wake();
  }
}

void Fleet::tell_stage(const Lease& lease, const std::string& stage) {
  const MutexLock lock(mutex_);
  if (Line* line = line_of(lease)) {
    line->stage = stage;
    line->stage_since = monotonic_seconds();
  }
}

void Fleet::give_back(const Lease& lease, const std::string& fault) {
  const MutexLock lock(mutex_);
  Line* line = line_of(lease);
  if (line == nullptr) { return; }
  if (!fault.empty()) { note("worker-fault", *line, fault); }
  end_task(*line, fault);
  line->state = Line::State::kIdle;
  if (line->draining) { line->say_goodbye("as it asked to"); }
  changed_.notify_all();
  wake();
}

void Fleet::drop(const Lease& lease, const std::string& why) {
  const MutexLock lock(mutex_);
  if (Line* line = line_of(lease)) {
    lose(*line, why);
    wake();
  }
}

Fleet::Line* Fleet::line_of(const Lease& lease) {
  const auto found = std::find_if(lines_.begin(), lines_.end(), [&](const Line& line) {
    return line.lease != nullptr && line.lease->number() == lease.number();
  });
  return found == lines_.end() ? nullptr : &*found;
}

// What a task, well ended or not, means for its worker and its node.
void Fleet::end_task(Line& line, const std::string& fault) {
  NodeView& node = nodes_[line.hello.machine.node];
  const double now = monotonic_seconds();
  node.busy_seconds += now - line.since;
  count_lent(now, -1);
  line.lease = nullptr;
  line.job.clear();
  line.stage.clear();
  if (fault.empty()) {
    ++node.jobs;
    line.faults_in_row = 0;
    return;
  }
  ++node.faults;
  node.last_fault = fault;
  line.rest_until = now + rest_after(++line.faults_in_row);
}

// --- the thread of the network

void Fleet::wake() const {
  const uint64_t one = 1;
  (void)!::write(waker_.get(), &one, sizeof one);
}

// Only this thread adds and removes lines, so that they may be watched without the lock.
void Fleet::watch(int change, int descriptor, uint32_t events, void* whose) const {
  epoll_event event{};
  event.events = events;
  event.data.ptr = whose;
  (void)::epoll_ctl(watcher_.get(), change, descriptor, &event);  // these cannot fail but for want of memory
}

// With hundreds of lines, looking at each costs more than what one of them says.
std::vector<Fleet::Line*> Fleet::wait_for_traffic(bool& dialled) const {
  std::array<epoll_event, kMostEvents> events{};
  const int count = ::epoll_wait(watcher_.get(), events.data(), static_cast<int>(events.size()), kPollMs);
  std::vector<Line*> heard;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    if (event.data.ptr == &listener_) {
      dialled = true;
    } else if (event.data.ptr == &waker_) {
      uint64_t wakes = 0;
      (void)!::read(waker_.get(), &wakes, sizeof wakes);
    } else if ((event.events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) {
      heard.push_back(static_cast<Line*>(event.data.ptr));
    }
  }
  return heard;
}

// Sends what waits, takes out who is gone, and has the others watched for what matters now.
void Fleet::settle_lines() {
  int strangers = 0;
  bool any_gone = false;
  for (auto at = lines_.begin(); at != lines_.end();) {
    Line& line = *at;
    if (line.state != Line::State::kGone && line.channel.has_unsent()) {
      if (const Status sent = line.channel.flush(); !sent.ok()) { lose(line, sent.error().message); }
    }
    if (line.state == Line::State::kGone) {
      watch(EPOLL_CTL_DEL, line.channel.socket(), 0, nullptr);
      at = lines_.erase(at);
      any_gone = true;
      continue;
    }
    const uint32_t events = EPOLLIN | (line.channel.has_unsent() ? static_cast<uint32_t>(EPOLLOUT) : 0U);
    if (events != line.watched) {
      watch(line.watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, line.channel.socket(), events, &line);
      line.watched = events;
    }
    strangers += line.state == Line::State::kStranger ? 1 : 0;
    ++at;
  }
  if (any_gone) { changed_.notify_all(); }
  const bool is_full = strangers >= kMostStrangers;
  if (is_full == is_full_) { return; }
  is_full_ = is_full;
  watch(EPOLL_CTL_MOD, listener_.get(), is_full ? 0U : static_cast<uint32_t>(EPOLLIN), &listener_);
}

void Fleet::serve() {
  double roster_written = 0;
  for (bool goes_on = true; goes_on;) {
    bool dialled = false;
    const std::vector<Line*> heard = wait_for_traffic(dialled);
    const double now = monotonic_seconds();
    std::vector<std::pair<std::string, json>> news;
    std::optional<Roster> roster;
    {
      const MutexLock lock(mutex_);
      for (Line* line : heard) { hear(*line, now); }
      if (dialled) { answer_dial(now); }
      if (now - last_look_ >= kLookSeconds) { look_at_clocks(now); }
      settle_lines();
      news.swap(news_);
      goes_on = !closed_;
      if (!options_.roster.empty() && (now - roster_written > kRosterSeconds || !goes_on)) { roster = look(now); }
    }
    for (const auto& [kind, detail] : news) {
      if (options_.on_event) { options_.on_event(kind, detail); }
    }
    if (roster) {
      roster_written = now;
      write_roster(*roster, options_.roster);
    }
  }
}

void Fleet::answer_dial(double now) {
  for (int i = 0; i < kMostStrangers; ++i) {
    Descriptor socket = accept_from(listener_.get());
    if (socket.get() < 0) { return; }
    lines_.emplace_back(std::move(socket), now).greet();
  }
}

void Fleet::look_at_clocks(double now) {
  // Who stood still himself knows nothing of the silence of others.
  const double pause = now - last_look_;
  last_look_ = now;
  for (Line& line : lines_) {
    if (pause > kOwnPause) { line.heard += pause; }
    if (line.state == Line::State::kGone) { continue; }
    if (line.state == Line::State::kStranger) {
      if (now - line.opened > options_.handshake_seconds) { lose(line, "it did not show that it holds the token"); }
      continue;
    }
    nodes_[line.hello.machine.node].seconds += now - std::exchange(line.counted, now);
    if (now - line.heard > options_.silence_seconds) {
      lose(line, "nothing was heard of it for " + std::to_string(static_cast<int>(now - line.heard)) + " s");
    } else if (now - line.told > options_.beat_seconds) {
      line.told = now;
      line.channel.send(Beat{});
    }
    if (line.rest_until > 0 && line.rest_until <= now) {
      line.rest_until = 0;
      changed_.notify_all();
    }
  }
}

void Fleet::hear(Line& line, double now) {
  if (line.state == Line::State::kGone) { return; }
  const bool stranger = line.state == Line::State::kStranger;
  const Status received = stranger ? line.channel.receive(kMostStrangerBytes) : line.channel.receive();
  line.heard = now;
  while (line.state != Line::State::kGone) {
    Result<std::optional<Message>> message = line.channel.next();
    if (!message.ok()) { return lose(line, "it broke the protocol: " + message.error().message); }
    if (!*message) { break; }
    take(line, std::move(**message), now);
  }
  if (line.state == Line::State::kStranger && line.channel.received() > kMostStrangerBytes) {
    return lose(line, "a stranger who talks");
  }
  if (!received.ok()) { lose(line, received.error().message); }
}

void Fleet::take(Line& line, Message message, double now) {
  using State = Line::State;
  if (const auto* hello = std::get_if<Hello>(&message); hello != nullptr && line.state == State::kStranger) {
    line.counted = now;
    return take_hello(line, *hello);
  }
  if (line.state == State::kStranger) { return lose(line, "it did not say hello first"); }
  if (std::holds_alternative<Beat>(message)) { return; }
  if (auto* event = std::get_if<Event>(&message)) {
    return take_of_lease(line, event->lease, {Mail::Kind::kEvent, std::move(event->event), {}});
  }
  if (auto* done = std::get_if<Done>(&message)) {
    const Mail::Kind kind = done->failed ? Mail::Kind::kFault : Mail::Kind::kDone;
    return take_of_lease(line, done->lease, {kind, {}, std::move(done->error)});
  }
  if (const auto* want = std::get_if<Want>(&message); want != nullptr && line.state == State::kPreparing) {
    return send_piece(line, *want);
  }
  if (std::holds_alternative<Ready>(message) && line.state == State::kPreparing) {
    line.state = State::kIdle;
    ++nodes_[line.hello.machine.node].workers;
    note("worker-joined", line, "with " + line.hello.machine.device);
    if (line.draining) { line.say_goodbye("as it asked to"); }
    changed_.notify_all();
    return;
  }
  if (std::holds_alternative<Drain>(message)) {
    line.draining = true;
    if (line.state == State::kIdle) { line.say_goodbye("as it asked to"); }
    return;
  }
  if (const auto* bye = std::get_if<Bye>(&message)) { return take_bye(line, *bye); }
  lose(line, "it broke the protocol: it said what nobody asked for");
}

// What is said of another lease than the present one comes from a task that is over: it does not count.
void Fleet::take_of_lease(Line& line, uint64_t lease, Mail mail) {
  if (line.lease != nullptr && line.lease->number() == lease) { line.lease->put(std::move(mail)); }
}

void Fleet::take_bye(Line& line, const Bye& bye) {
  if (line.lease != nullptr || line.state == Line::State::kPreparing) { return lose(line, "it left: " + bye.reason); }
  if (!closing_) { note("worker-left", line, bye.reason); }
  line.state = Line::State::kGone;
}

std::optional<Error> Fleet::objection(const Line& line, const Hello& hello) const {
  if (hello.protocol != kProtocolVersion) {
    return environment_error("it speaks version " + std::to_string(hello.protocol) + " of the protocol, not " +
                                 std::to_string(kProtocolVersion),
                             "vortex must be of the same build everywhere");
  }
  const std::string proof = proof_of(options_.token, {"worker", line.nonce, hello.nonce, hello.identity, hello.build});
  if (!same_secret(proof, hello.proof)) {
    return environment_error("it does not hold the token of this search",
                             "give it the token file that the search names");
  }
  if (hello.build != options_.build) {
    return environment_error("its vortex-worker is of build " + terminal_line(hello.build.substr(0, 40)) +
                                 ", the search's of build " + options_.build,
                             "what different programs measure cannot be compared: install one build everywhere");
  }
  if (options_.setup.job.device == "cuda" && !hello.machine.gpu) {
    return environment_error("it sees no GPU, and the search is for --device cuda");
  }
  const bool other_bits = options_.setup.job.cpu_math == "bf16" && hello.machine.units != first_units_;
  if (!first_device_.empty() && other_bits) {
    return environment_error("its processor multiplies bfloat16 on other units than the first worker's");
  }
  if (!first_device_.empty() && options_.one_card && hello.machine.device != first_device_) {
    return environment_error("its device is " + hello.machine.device + ", the first worker's " + first_device_ +
                             ", and --one-card was asked for");
  }
  return std::nullopt;
}

void Fleet::take_hello(Line& line, const Hello& hello) {
  line.hello = hello;
  if (closing_) { return lose(line, "too late"); }
  if (const std::optional<Error> error = objection(line, hello)) {
    if (refusals_.size() < kMostRefusals && refusals_.insert(hello.machine.node + error->message).second) {
      note("worker-refused", line, error->message);
    }
    line.channel.send(Refusal{error->message, error->hint});
    (void)line.channel.flush();
    line.state = Line::State::kGone;
    return;
  }
  // One that dials again knows before we do that its old connection is broken.
  for (Line& other : lines_) {
    if (&other != &line && other.state != Line::State::kStranger && other.hello.identity == hello.identity) {
      lose(other, "it dialled again");
    }
  }
  if (first_device_.empty()) {
    first_device_ = hello.machine.device;
    first_units_ = hello.machine.units;
  }
  line.state = Line::State::kPreparing;
  line.channel.send(Welcome{proof_of(options_.token, {"search", hello.nonce, line.nonce}), setup_text_});
}

void Fleet::send_piece(Line& line, const Want& want) {
  Result<std::string> bytes = piece_of(options_.setup, want);
  if (!bytes.ok()) { return lose(line, bytes.error().message); }
  line.channel.send(Piece{want.file, want.offset, std::move(bytes).value()});
}

void Fleet::lose(Line& line, const std::string& why) {
  const Line::State state = std::exchange(line.state, Line::State::kGone);
  if (state == Line::State::kGone || state == Line::State::kStranger) { return; }
  const bool expected = closing_ || state == Line::State::kLeaving;
  if (!expected) { note("worker-lost", line, why); }
  if (line.lease == nullptr) { return; }
  line.lease->put({Mail::Kind::kLost, {}, environment_error("worker " + line.hello.name + ": " + why)});
  end_task(line, why);
}

void Fleet::note(const std::string& kind, const Line& line, const std::string& message) {
  json detail = {{"worker", line.hello.name},
                 {"node", line.hello.machine.node},
                 {"device", line.hello.machine.device},
                 {"message", "worker " + line.hello.name + " on " + line.hello.machine.node + ": " + message}};
  if (line.lease != nullptr) { detail["job"] = line.job; }
  news_.emplace_back(kind, std::move(detail));
}

Roster Fleet::look(double now) const {
  Roster roster;
  roster.run = options_.run;
  roster.updated = wall_seconds();
  roster.nodes = nodes_;
  for (const Line& line : lines_) {
    if (line.state != Line::State::kStranger && line.state != Line::State::kGone) {
      roster.workers.push_back(line.view(now));
    }
  }
  return roster;
}

}  // namespace vortex::fleet
