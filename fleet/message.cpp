#include "fleet/message.h"

#include "base/escape.h"
#include "base/json.h"
#include "base/json_reader.h"
#include "job/frame.h"
#include "job/limits.h"

namespace vortex::fleet {
namespace {

using nlohmann::json;

constexpr int kMostDepth = 4;

// A message as it is written: the line, and the body behind it.
struct Parts {
  json head;
  std::string_view body;
};

struct Writer {
  Parts operator()(const Greeting& greeting) const {
    return {{{"kind", "greeting"}, {"protocol", greeting.protocol}, {"nonce", greeting.nonce}}, {}};
  }
  Parts operator()(const Refusal& refusal) const {
    return {{{"kind", "refusal"}, {"message", refusal.message}, {"hint", refusal.hint}}, {}};
  }
  Parts operator()(const Welcome& welcome) const {
    return {{{"kind", "welcome"}, {"proof", welcome.proof}}, welcome.setup};
  }
  Parts operator()(const Task& task) const { return {{{"kind", "task"}, {"lease", task.lease}}, task.request}; }
  Parts operator()(const Stop& stop) const { return {{{"kind", "stop"}, {"lease", stop.lease}}, {}}; }
  Parts operator()(const Piece& piece) const {
    return {{{"kind", "piece"}, {"file", piece.file}, {"offset", piece.offset}}, piece.bytes};
  }
  Parts operator()(const Hello& hello) const {
    return {{{"kind", "hello"},
             {"protocol", hello.protocol},
             {"nonce", hello.nonce},
             {"proof", hello.proof},
             {"build", hello.build},
             {"identity", hello.identity},
             {"name", hello.name},
             {"machine", to_json(hello.machine)}},
            {}};
  }
  Parts operator()(const Want& want) const {
    return {{{"kind", "want"}, {"file", want.file}, {"offset", want.offset}}, {}};
  }
  Parts operator()(const Ready&) const { return {{{"kind", "ready"}}, {}}; }
  Parts operator()(const Event& event) const { return {{{"kind", "event"}, {"lease", event.lease}}, event.event}; }
  Parts operator()(const Done& done) const {
    json head = {{"kind", "done"}, {"lease", done.lease}};
    if (done.failed) {
      head["error"] = {
          {"blame", blame_name(done.error.blame)}, {"message", done.error.message}, {"hint", done.error.hint}};
    }
    return {std::move(head), {}};
  }
  Parts operator()(const Drain&) const { return {{{"kind", "drain"}}, {}}; }
  Parts operator()(const Beat&) const { return {{{"kind", "beat"}}, {}}; }
  Parts operator()(const Bye& bye) const { return {{{"kind", "bye"}, {"reason", bye.reason}}, {}}; }
};

Status read_error(const json& object, Error& error) {
  JsonReader reader(object, "done.error");
  std::string blame;
  reader.required("blame", blame);
  reader.required("message", error.message);
  reader.required("hint", error.hint);
  const auto known = blame_from_name(blame);
  if (!known) { reader.refuse("blame", "names nobody: \"" + terminal_text(blame) + "\""); }
  VORTEX_TRY(reader.finish());
  error = {*known, terminal_text(error.message), terminal_text(error.hint)};
  return ok_status();
}

Result<Message> read_hello(JsonReader& reader) {
  Hello hello;
  reader.required("protocol", hello.protocol);
  reader.required("nonce", hello.nonce);
  reader.required("proof", hello.proof);
  reader.required("build", hello.build);
  reader.required("identity", hello.identity);
  reader.required("name", hello.name);
  const json* machine = reader.find("machine", true);
  VORTEX_TRY(reader.finish());
  VORTEX_ASSIGN(hello.machine, machine_from_json(*machine));
  hello.name = terminal_line(hello.name);
  return Message(std::move(hello));
}

Result<Message> read_done(JsonReader& reader) {
  Done done;
  reader.required("lease", done.lease);
  const json* error = reader.find("error", false);
  VORTEX_TRY(reader.finish());
  done.failed = error != nullptr;
  if (error != nullptr) { VORTEX_TRY(read_error(*error, done.error)); }
  return Message(std::move(done));
}

template <typename T>
Result<Message> finished(JsonReader& reader, T message) {
  VORTEX_TRY(reader.finish());
  return Message(std::move(message));
}

// Those that carry a body.
Result<Message> read_with_body(const std::string& kind, JsonReader& reader, std::string body) {
  if (kind == "welcome") {
    Welcome welcome{{}, std::move(body)};
    reader.required("proof", welcome.proof);
    return finished(reader, std::move(welcome));
  }
  if (kind == "piece") {
    Piece piece{0, 0, std::move(body)};
    reader.required("file", piece.file);
    reader.required("offset", piece.offset);
    return finished(reader, std::move(piece));
  }
  uint64_t lease = 0;
  reader.required("lease", lease);
  if (kind == "task") { return finished(reader, Task{lease, std::move(body)}); }
  return finished(reader, Event{lease, std::move(body)});
}

Result<Message> read_plain(const std::string& kind, JsonReader& reader) {
  if (kind == "hello") { return read_hello(reader); }
  if (kind == "done") { return read_done(reader); }
  if (kind == "ready") { return finished(reader, Ready{}); }
  if (kind == "drain") { return finished(reader, Drain{}); }
  if (kind == "beat") { return finished(reader, Beat{}); }
  if (kind == "greeting") {
    Greeting greeting;
    reader.required("protocol", greeting.protocol);
    reader.required("nonce", greeting.nonce);
    return finished(reader, std::move(greeting));
  }
  if (kind == "refusal") {
    Refusal refusal;
    reader.required("message", refusal.message);
    reader.required("hint", refusal.hint);
    return finished(reader, Refusal{terminal_text(refusal.message), terminal_text(refusal.hint)});
  }
  if (kind == "stop") {
    Stop stop;
    reader.required("lease", stop.lease);
    return finished(reader, stop);
  }
  if (kind == "want") {
    Want want;
    reader.required("file", want.file);
    reader.required("offset", want.offset);
    return finished(reader, want);
  }
  if (kind == "bye") {
    Bye bye;
    reader.required("reason", bye.reason);
    return finished(reader, Bye{terminal_line(bye.reason)});
  }
  reader.refuse("kind", "is unknown: \"" + terminal_text(kind.substr(0, 80)) + "\"");
  return reader.finish().error();
}

}  // namespace

json to_json(const Machine& machine) {
  return {{"node", machine.node},       {"device", machine.device},
          {"gpu", machine.gpu},         {"uuid", machine.uuid},
          {"driver", machine.driver},   {"units", machine.units},
          {"threads", machine.threads}, {"memory_bytes", machine.memory_bytes}};
}

Result<Machine> machine_from_json(const json& object) {
  Machine machine;
  JsonReader reader(object, "machine");
  reader.required("node", machine.node);
  reader.required("device", machine.device);
  reader.required("gpu", machine.gpu);
  reader.required("uuid", machine.uuid);
  reader.required("driver", machine.driver);
  reader.required("units", machine.units);
  reader.required("threads", machine.threads);
  reader.required("memory_bytes", machine.memory_bytes);
  job::check_range(reader, "threads", machine.threads, 1, job::kMaxThreads);
  VORTEX_TRY(reader.finish());
  for (std::string* text : {&machine.node, &machine.device, &machine.uuid, &machine.driver, &machine.units}) {
    *text = terminal_line(*text);
  }
  return machine;
}

std::string message_frame(const Message& message) {
  const Parts parts = std::visit(Writer{}, message);
  std::string payload = parts.head.dump(-1, ' ', false, json::error_handler_t::replace);
  if (!parts.body.empty()) { payload += '\n'; }
  payload += parts.body;
  return job::frame(payload);
}

std::string unframed(const std::string& frame) {
  const size_t begin = frame.find('\n') + 1;
  return frame.substr(begin, frame.size() - begin - 1);
}

Result<Message> parse_message(std::string payload) {
  const size_t end = payload.find('\n');
  const std::string_view head = std::string_view(payload).substr(0, end);
  if (head.size() > kHeadBytes || json_depth(head) > kMostDepth) {
    return internal_error("a message begins with more than the protocol allows");
  }
  const json parsed = parse_json(head);
  if (!parsed.is_object()) { return internal_error("no message: " + terminal_line(head.substr(0, 80))); }
  JsonReader reader(parsed, "message");
  std::string kind;
  reader.required("kind", kind);
  const bool has_body = end != std::string::npos;
  if (kind == "welcome" || kind == "task" || kind == "event" || kind == "piece") {
    if (has_body) { payload.erase(0, end + 1); }
    return read_with_body(kind, reader, has_body ? std::move(payload) : std::string());
  }
  if (has_body) { return internal_error("a message of kind " + terminal_line(kind.substr(0, 80)) + " has no body"); }
  return read_plain(kind, reader);
}

}  // namespace vortex::fleet
