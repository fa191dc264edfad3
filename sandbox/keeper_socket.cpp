#include "sandbox/keeper_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/clock.h"
#include "base/json_reader.h"
#include "job/protocol.h"

namespace vortex::sandbox {
namespace {

using nlohmann::json;

constexpr size_t kMostDescriptors = 4;
constexpr int kPollMs = 100;

Error socket_fault(const char* what) {
  return environment_error(std::string("cannot ") + what + " a keeper of weights: " + std::strerror(errno));
}

// Sends a line; descriptors go with its first bytes.
Status send_line(int socket, const json& object, const std::vector<Descriptor>& descriptors) {
  const std::string line = object.dump() + "\n";
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostDescriptors * sizeof(int))> control{};
  for (size_t sent = 0; sent < line.size();) {
    iovec part{const_cast<char*>(line.data()) + sent, line.size() - sent};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (sent == 0 && !descriptors.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
      std::array<int, kMostDescriptors> numbers{};
      for (size_t i = 0; i < descriptors.size(); ++i) { numbers[i] = descriptors[i].get(); }
      std::memcpy(CMSG_DATA(rights), numbers.data(), descriptors.size() * sizeof(int));
    }
    const ssize_t got = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (got < 0 && errno != EINTR) { return socket_fault("write to"); }
    if (got > 0) { sent += static_cast<size_t>(got); }
  }
  return ok_status();
}

void take_descriptors(msghdr& message, std::vector<Descriptor>& descriptors) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) { continue; }
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(header) + i * sizeof(int), sizeof number);
      descriptors.emplace_back(number);
    }
  }
}

// Reads a line and what comes with it; `wait` is called before every read and may end the reading.
Result<json> read_line(int socket, std::vector<Descriptor>& descriptors, const std::function<Status()>& wait) {
  std::string line;
  std::array<char, 65536> buffer;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostDescriptors * sizeof(int))> control{};
  while (!line.ends_with('\n')) {
    VORTEX_TRY(wait());
    iovec part{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) { continue; }
    if (got < 0) { return socket_fault("read from"); }
    if (got == 0) { return environment_error("the keeper of weights has ended"); }
    take_descriptors(message, descriptors);
    line.append(buffer.data(), static_cast<size_t>(got));
    if (line.size() > job::kMaxFrameBytes) {
      return internal_error("a keeper's line is longer than the protocol allows");
    }
  }
  json parsed = json::parse(line, nullptr, false);
  if (!parsed.is_object()) { return internal_error("a keeper's line is no JSON object"); }
  return parsed;
}

Error read_refusal(const json& refused) {
  Error error;
  std::string blame;
  JsonReader reader(refused, "refused");
  reader.required("blame", blame);
  reader.required("message", error.message);
  reader.required("hint", error.hint);
  const auto known = blame_from_name(blame);
  if (!known) { reader.refuse("blame", "names nobody"); }
  const Status read = reader.finish();
  if (!read.ok()) { return read.error(); }
  error.blame = *known;
  return error;
}

}  // namespace

Status send_keeper_request(int socket, const KeeperRequest& request) {
  json ahead = json::array();
  for (const job::TaskSpec& task : request.ahead) { ahead.push_back(job::to_json(task)); }
  return send_line(
      socket, {{"protocol", job::kProtocolVersion}, {"keep", job::to_json(request.job)}, {"ahead", std::move(ahead)}},
      {});
}

Result<KeeperRequest> receive_keeper_request(int socket) {
  std::vector<Descriptor> none;
  VORTEX_ASSIGN(const json line, read_line(socket, none, [] { return ok_status(); }));
  int version = 0;
  JsonReader reader(line, "line");
  reader.required("protocol", version);
  const json* keep = reader.find("keep", true);
  const json* ahead = reader.find("ahead", true);
  VORTEX_TRY(reader.finish());
  if (version != job::kProtocolVersion) {
    return environment_error("protocol version " + std::to_string(version) + " instead of " +
                             std::to_string(job::kProtocolVersion));
  }
  KeeperRequest request;
  VORTEX_ASSIGN(request.job, job::job_from_json(*keep));
  for (const json& task : *ahead) { VORTEX_ASSIGN(request.ahead.emplace_back(), job::task_from_json(task, "ahead")); }
  return request;
}

Status send_keeper_answer(int socket, const Result<KeeperAnswer>& answer) {
  if (answer.ok()) {
    return send_line(socket, {{"kept", answer->label}, {"process", answer->process}}, answer->descriptors);
  }
  const Error& error = answer.error();
  const json refused = {{"blame", blame_name(error.blame)}, {"message", error.message}, {"hint", error.hint}};
  return send_line(socket, {{"refused", refused}}, {});
}

Result<KeeperAnswer> receive_keeper_answer(int socket, double seconds, const std::function<bool()>& should_stop) {
  const double deadline = monotonic_seconds() + seconds;
  const auto wait = [&]() -> Status {
    pollfd watched{socket, POLLIN, 0};
    while (::poll(&watched, 1, kPollMs) <= 0) {
      if (should_stop && should_stop()) { return environment_error("stopped on request"); }
      if (monotonic_seconds() > deadline) { return environment_error("the keeper of weights did not answer in time"); }
    }
    return ok_status();
  };
  KeeperAnswer answer;
  VORTEX_ASSIGN(const json line, read_line(socket, answer.descriptors, wait));
  JsonReader reader(line, "line");
  const json* refused = reader.find("refused", false);
  const json* kept = reader.find("kept", refused == nullptr);
  if (kept != nullptr) { reader.required("process", answer.process); }
  VORTEX_TRY(reader.finish());
  if (refused != nullptr) { return read_refusal(*refused); }
  if (answer.descriptors.empty()) { return internal_error("a keeper answered without a descriptor"); }
  answer.label = *kept;
  return answer;
}

}  // namespace vortex::sandbox
