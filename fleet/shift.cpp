#include "fleet/shift.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"
#include "fleet/token.h"
#include "job/protocol.h"

namespace vortex::fleet {
namespace {

constexpr int kPollMs = 100;
constexpr double kHandshakeSeconds = 30;
constexpr double kGoodbyeSeconds = 2;  // until the last words must be on their way
constexpr double kOwnPause = 5;        // seconds between two looks at the clock: it was we who stood still

}  // namespace

Shift::Shift(const PilotOptions& options, Workshop& workshop, const std::string& identity, Descriptor socket)
    : options_(options),
      workshop_(workshop),
      identity_(identity),
      channel_(std::move(socket)),
      waker_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      beat_seconds_(options.beat_seconds),
      heard_(monotonic_seconds()),
      told_(heard_),
      looked_(heard_) {}

Shift::~Shift() {
  over_ = true;
  {
    const MutexLock lock(mutex_);
    changed_.notify_all();
  }
  if (worker_.joinable()) { worker_.join(); }
}

Result<Shift::End> Shift::work() {
  VORTEX_ASSIGN(const std::optional<End> early, shake_hands());
  if (early) { return *early; }
  welcome_ = true;
  worker_ = std::thread([this] { do_tasks(); });
  for (;;) {
    if (const std::optional<End> end = listen_once()) { return *end; }
    std::optional<Error> unprepared;
    {
      const MutexLock lock(mutex_);
      unprepared = unprepared_;
    }
    if (unprepared) {
      say_goodbye(unprepared->message);
      return *unprepared;
    }
  }
}

// The next message, waited for; nothing: none came, or the machine is wanted back.
std::optional<Message> Shift::await_message(double seconds) {
  const double deadline = monotonic_seconds() + seconds;
  while (monotonic_seconds() < deadline) {
    if (options_.wish && options_.wish() == Wish::kEnd) { return std::nullopt; }
    Status status = channel_.flush();
    pollfd watched{channel_.socket(), POLLIN, 0};
    if (status.ok() && ::poll(&watched, 1, kPollMs) > 0) { status = channel_.receive(); }
    Result<std::optional<Message>> message = channel_.next();
    if (!message.ok()) { status = message.error(); }
    if (message.ok() && *message) { return std::move(*message); }
    if (!status.ok()) {
      loss_ = status.error().message;
      return std::nullopt;
    }
  }
  loss_ = "nothing answers there";
  return std::nullopt;
}

Result<std::optional<Shift::End>> Shift::shake_hands() {
  const std::optional<Message> first = await_message(kHandshakeSeconds);
  const auto* greeting = first ? std::get_if<Greeting>(&*first) : nullptr;
  if (options_.wish && options_.wish() == Wish::kEnd) { return std::optional(End::kWished); }
  if (greeting == nullptr) { return lost(loss_.empty() ? "no search answers there" : loss_); }
  Hello hello;
  hello.nonce = random_hex(kSecretBytes);
  hello.build = options_.build;
  hello.identity = identity_;
  hello.name = options_.name;
  hello.machine = options_.machine;
  hello.proof = proof_of(options_.token, {"worker", greeting->nonce, hello.nonce, hello.identity, hello.build});
  channel_.send(hello);
  const std::optional<Message> answer = await_message(kHandshakeSeconds);
  if (options_.wish && options_.wish() == Wish::kEnd) { return std::optional(End::kWished); }
  if (!answer) { return lost(loss_); }
  if (const auto* refusal = std::get_if<Refusal>(&*answer)) {
    return environment_error("the search does not take this worker: " + refusal->message, refusal->hint);
  }
  const auto* welcome = std::get_if<Welcome>(&*answer);
  if (welcome == nullptr) { return lost("it does not answer as a search does"); }
  if (!same_secret(welcome->proof, proof_of(options_.token, {"search", hello.nonce, greeting->nonce}))) {
    return environment_error("what answers at " + to_text(options_.search) + " does not hold the token",
                             "it is not the search that this worker was started for");
  }
  VORTEX_ASSIGN(setup_, setup_from_json(parse_json(welcome->setup)));
  beat_seconds_ = std::min(beat_seconds_, setup_.silence_seconds * kBeatShare);
  return std::optional<End>();
}

// --- the listening thread

std::optional<Shift::End> Shift::lost(const std::string& why) {
  loss_ = why;
  over_ = true;
  return End::kLost;
}

void Shift::say_goodbye(const std::string& reason) {
  over_ = true;
  channel_.send(Bye{reason});
  const double deadline = monotonic_seconds() + kGoodbyeSeconds;
  while (channel_.has_unsent() && monotonic_seconds() < deadline && channel_.flush().ok()) {
    pollfd watched{channel_.socket(), POLLOUT, 0};
    ::poll(&watched, 1, kPollMs);
  }
}

void Shift::post(Message message) {
  const MutexLock lock(mutex_);
  outbox_.push_back(std::move(message));
  wake();
}

std::optional<Shift::End> Shift::listen_once() {
  std::vector<Message> outbox;
  {
    const MutexLock lock(mutex_);
    outbox.swap(outbox_);
  }
  for (const Message& message : outbox) { channel_.send(message); }
  if (const Status sent = channel_.flush(); !sent.ok()) { return lost(sent.error().message); }
  const int out = channel_.has_unsent() ? POLLOUT : 0;
  pollfd watched[2] = {{channel_.socket(), static_cast<short>(POLLIN | out), 0}, {waker_.get(), POLLIN, 0}};
  ::poll(watched, 2, kPollMs);
  uint64_t count = 0;
  if (watched[1].revents != 0) { (void)!::read(waker_.get(), &count, sizeof count); }
  const double now = monotonic_seconds();
  if (now - std::exchange(looked_, now) > kOwnPause) { heard_ = now; }
  if (const std::optional<End> end = take_wish()) { return end; }
  if ((watched[0].revents & ~POLLOUT) != 0) {
    const Status received = channel_.receive();
    heard_ = now;
    for (;;) {
      Result<std::optional<Message>> message = channel_.next();
      if (!message.ok()) { return lost("the search broke the protocol: " + message.error().message); }
      if (!*message) { break; }
      if (const std::optional<End> end = take(std::move(**message))) { return end; }
    }
    if (!received.ok()) { return lost(received.error().message); }
  }
  if (now - heard_ > setup_.silence_seconds) { return lost("the search has not been heard of for too long"); }
  if (now - told_ > beat_seconds_) {
    told_ = now;
    channel_.send(Beat{});
  }
  return std::nullopt;
}

std::optional<Shift::End> Shift::take_wish() {
  const Wish wish = options_.wish ? options_.wish() : Wish::kNone;
  if (wish == Wish::kEnd) {
    say_goodbye("its machine is wanted back");
    return End::kWished;
  }
  if (wish == Wish::kDrain && !std::exchange(told_to_drain_, true)) { channel_.send(Drain{}); }
  return std::nullopt;
}

std::optional<Shift::End> Shift::take(Message message) {
  if (std::holds_alternative<Beat>(message)) { return std::nullopt; }
  if (std::holds_alternative<Bye>(message)) {
    say_goodbye("dismissed");
    return told_to_drain_ ? End::kWished : End::kDismissed;
  }
  const MutexLock lock(mutex_);
  if (auto* task = std::get_if<Task>(&message)) {
    task_ = std::move(*task);
  } else if (const auto* stop = std::get_if<Stop>(&message)) {
    stop_lease_ = stop->lease;
  } else if (auto* piece = std::get_if<Piece>(&message)) {
    piece_ = std::move(*piece);
  } else {
    return lost("the search said what it must not say now");
  }
  changed_.notify_all();
  return std::nullopt;
}

// --- the working thread

void Shift::wake() const {
  const uint64_t one = 1;
  (void)!::write(waker_.get(), &one, sizeof one);
}

void Shift::do_tasks() {
  const Status prepared = workshop_.prepare(
      setup_, [this](int file, int64_t offset) { return fetch(file, offset); }, [this] { return over_.load(); });
  if (!prepared.ok()) {
    if (over_) { return; }
    const MutexLock lock(mutex_);
    unprepared_ = prepared.error();
    return wake();
  }
  post(Ready{});
  while (!over_) {
    std::optional<Task> task;
    {
      const MutexLock lock(mutex_);
      if (!task_) { changed_.wait_for(mutex_, std::chrono::milliseconds(200)); }
      task = std::exchange(task_, std::nullopt);
    }
    if (task) { do_task(*task); }
  }
}

void Shift::do_task(const Task& task) {
  const Result<job::Request> request = job::parse_request(task.request);
  const auto* asked = request.ok() ? std::get_if<job::Job>(&*request) : nullptr;
  if (asked == nullptr) {
    const Error error = request.ok() ? internal_error("no climb was asked for") : request.error();
    return post(Done{task.lease, true, error});
  }
  const Result<std::vector<job::StageResult>> results = workshop_.run(
      *asked, [&](const job::StageResult& result) { report(task.lease, result); },
      [&] { return over_ || stop_lease_ == task.lease; });
  post(results.ok() ? Done{task.lease, false, {}} : Done{task.lease, true, results.error()});
}

void Shift::report(uint64_t lease, const job::StageResult& result) {
  std::string event = unframed(job::event_frame(result));
  if (event.size() > job::kMaxFrameBytes - kHeadBytes) { return; }  // its stage is left without a result
  post(Event{lease, std::move(event)});
}

Result<std::string> Shift::fetch(int file, int64_t offset) {
  post(Want{file, offset});
  const MutexLock lock(mutex_);
  while (!over_) {
    if (piece_ && (piece_->file != file || piece_->offset != offset)) { piece_.reset(); }
    if (piece_) { return std::exchange(piece_, std::nullopt)->bytes; }
    changed_.wait_for(mutex_, std::chrono::milliseconds(200));
  }
  return environment_error("the connection to the search is lost");
}

}  // namespace vortex::fleet
