// The server on the wire, spoken to byte by byte.
#include "serve/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/descriptor.h"
#include "tests/serve/support.h"

namespace vortex::serve {
namespace {

using nlohmann::json;

// A connection to the server.
class Client {
 public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const timeval patience = {60, 0};  // so that a server that hangs fails a test instead of stopping it
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }

  void send(const std::string& bytes) const { ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  void close() { socket_.close(); }

  // What comes until `end` was among it, or the server closes.
  std::string read_until(const std::string& end) {
    while (received_.find(end) == std::string::npos) {
      char buffer[4096];
      const ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
      if (got <= 0) { return std::exchange(received_, {}); }
      received_.append(buffer, static_cast<size_t>(got));
    }
    const size_t size = received_.find(end) + end.size();
    const std::string result = received_.substr(0, size);
    received_.erase(0, size);
    return result;
  }

  // One reply with a Content-Length: its head and its body.
  std::pair<std::string, std::string> reply() {
    std::string head = read_until("\r\n\r\n");
    const size_t at = head.find("Content-Length: ");
    const size_t size = at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
    while (received_.size() < size) {
      char buffer[4096];
      const ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
      if (got <= 0) { break; }
      received_.append(buffer, static_cast<size_t>(got));
    }
    std::string body = received_.substr(0, size);
    received_.erase(0, size);
    return {std::move(head), std::move(body)};
  }

 private:
  Descriptor socket_;
  std::string received_;
};

int status_of(const std::string& head) { return head.size() < 12 ? 0 : std::stoi(head.substr(9, 3)); }

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    tokenizer_ = testing::byte_tokenizer();
    if (tokenizer_ == nullptr) { GTEST_SKIP() << "this build has no BPE"; }
    start({});
  }

  void start(ServerOptions options, int most = 8) {
    server_.reset();
    engines_ = {testing::byte_engine(4), testing::byte_engine(4)};
    start_lanes(std::move(options), most, testing::lanes_of(engines_));
  }

  void start_lanes(ServerOptions options, int most, std::vector<Lane> lanes) {
    server_.reset();
    Served served;
    served.name = "tiny";
    served.lanes = {"sparse", "dense"};
    served.tokenizer = tokenizer_;
    served.no_chat = "none here";
    served.vocab_size = 565;
    served.max_context = 256;
    options.port = 0;
    auto server = Server::start(std::move(options), std::move(served), std::move(lanes), most);
    ASSERT_TRUE(server.ok()) << server.error().message;
    server_ = std::move(*server);
  }

  std::string host() const { return "127.0.0.1:" + std::to_string(server_->port()); }

  std::string post(const std::string& path, const json& body, const std::string& headers = "") const {
    const std::string text = body.dump();
    return "POST " + path + " HTTP/1.1\r\nHost: " + host() + "\r\nContent-Type: application/json\r\n" + headers +
           "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
  }
  std::string get(const std::string& path, const std::string& headers = "") const {
    return "GET " + path + " HTTP/1.1\r\nHost: " + host() + "\r\n" + headers + "\r\n";
  }

  static json request(int tokens, bool stream) {
    return {
        {"prompt", {5, 6, 7}}, {"max_tokens", tokens}, {"temperature", 0}, {"ignore_eos", true}, {"stream", stream}};
  }

  std::string text_of(int tokens) const {
    Client client(server_->port());
    client.send(post("/v1/completions", request(tokens, false)));
    return json::parse(client.reply().second)["choices"][0]["text"];
  }

  std::string metric(const std::string& name) const {
    Client client(server_->port());
    client.send(get("/metrics"));
    const std::string text = client.reply().second;
    const size_t at = text.find("\n" + name + " ");
    if (at == std::string::npos) { return ""; }
    const size_t begin = at + name.size() + 2;
    return text.substr(begin, text.find('\n', begin) - begin);
  }

  // Until every page is free again and no request is left; what never comes fails by the test's own limit.
  void wait_until_idle() const {
    for (int i = 0; i < 1200; ++i) {
      const std::string pages = metric("vortex:kv_pages{model_name=\"tiny:sparse\"}");
      const std::string free = metric("vortex:kv_pages_free{model_name=\"tiny:sparse\"}");
      if (server_->outstanding() == 0 && !pages.empty() && pages == free) { return; }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    ADD_FAILURE() << "pages or requests are left: " << server_->outstanding();
  }

  std::shared_ptr<const model::Tokenizer> tokenizer_;
  std::vector<std::shared_ptr<engine::CpuEngine>> engines_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AWholeAnswerAndAStreamOfIt) {
  Client client(server_->port());
  client.send(post("/v1/completions", request(12, false), "x-request-id: abc\r\n"));
  const auto [head, body] = client.reply();
  EXPECT_EQ(status_of(head), 200) << body;
  EXPECT_NE(head.find("x-request-id: abc"), std::string::npos);
  const json whole = json::parse(body);
  EXPECT_EQ(whole["usage"]["completion_tokens"], 12);
  EXPECT_EQ(whole["model"], "tiny");

  client.send(post("/v1/completions", request(12, true)));  // on the same connection
  const std::string stream = client.read_until("0\r\n\r\n");
  EXPECT_NE(stream.find("Transfer-Encoding: chunked"), std::string::npos);
  EXPECT_NE(stream.find("Content-Type: text/event-stream"), std::string::npos);
  std::string text;
  int finishes = 0;
  for (size_t at = stream.find("data: {"); at != std::string::npos; at = stream.find("data: {", at + 1)) {
    const json chunk = json::parse(stream.substr(at + 6, stream.find('\n', at) - at - 6));
    EXPECT_FALSE(chunk.contains("usage")) << "nobody asked for it";
    ASSERT_EQ(chunk["choices"].size(), 1U);
    text += chunk["choices"][0]["text"].get<std::string>();
    finishes += chunk["choices"][0]["finish_reason"].is_null() ? 0 : 1;
  }
  EXPECT_EQ(text, whole["choices"][0]["text"]);
  EXPECT_EQ(finishes, 1);
  EXPECT_NE(stream.find("data: [DONE]\n\n"), std::string::npos);
  client.send(get("/health"));  // the connection lives on
  EXPECT_EQ(status_of(client.reply().first), 200);
}

TEST_F(ServerTest, ModelsPoliciesAndWhatIsNotThere) {
  Client client(server_->port());
  client.send(get("/v1/models"));
  const json models = json::parse(client.reply().second);
  std::vector<std::string> names;
  for (const json& card : models["data"]) { names.push_back(card["id"]); }
  EXPECT_EQ(names, (std::vector<std::string>{"tiny", "tiny:sparse", "tiny:dense"}));
  EXPECT_EQ(models["data"][0]["max_model_len"], 256);
  client.send(get("/v1/models/tiny:dense"));
  EXPECT_EQ(json::parse(client.reply().second)["policy"], "dense");
  for (const char* name : {"tiny:dense", "dense", "sparse", "tiny"}) {
    json body = request(1, false);
    body["model"] = name;
    client.send(post("/v1/completions", body));
    EXPECT_EQ(status_of(client.reply().first), 200) << name;
  }
  json body = request(1, false);
  body["model"] = "other";
  client.send(post("/v1/completions", body));
  const auto [head, text] = client.reply();
  EXPECT_EQ(status_of(head), 404);
  EXPECT_EQ(json::parse(text)["error"]["code"], "model_not_found");
}

TEST_F(ServerTest, RefusalsNameWhatIsWrong) {
  Client client(server_->port());
  const std::pair<std::string, int> cases[] = {
      {get("/nothing"), 404},
      {get("/v1/completions"), 405},
      {"GET /%zz HTTP/1.1\r\nHost: " + host() + "\r\n\r\n", 400},
      {"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
      {"POST /v1/completions HTTP/1.1\r\nHost: " + host() +
           "\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
       415},
      {post("/v1/completions", {{"prompt", "q"}, {"tools", {1}}}), 400},
      {post("/v1/completions", {{"prompt", {564, 565}}}), 400},
      {post("/v1/completions", {{"prompt", "q"}, {"max_tokens", 256}}), 400},
      {post("/v1/chat/completions", {{"messages", json::array({{{"role", "user"}, {"content", "q"}}})}}), 400},
  };
  for (const auto& [bytes, status] : cases) {
    client.send(bytes);
    const auto [head, body] = client.reply();
    EXPECT_EQ(status_of(head), status) << bytes << body;
    const json error = json::parse(body)["error"];
    for (const char* member : {"message", "type", "param", "code"}) { EXPECT_TRUE(error.contains(member)) << bytes; }
  }
  client.send("not HTTP at all\r\n\r\n");
  EXPECT_EQ(status_of(client.reply().first), 400);
  Client large(server_->port());
  large.send("POST /v1/completions HTTP/1.1\r\nHost: " + host() +
             "\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n");
  EXPECT_EQ(status_of(large.reply().first), 413);
}

TEST_F(ServerTest, AFullQueueSaysWhenToTryAgain) {
  start({}, 1);
  Client client(server_->port());
  json body = request(1, false);
  body["n"] = 2;
  client.send(post("/v1/completions", body));
  const auto [head, text] = client.reply();
  EXPECT_EQ(status_of(head), 429);
  EXPECT_NE(head.find("Retry-After: 1"), std::string::npos);
  EXPECT_EQ(json::parse(text)["error"]["code"], "queue_full");
  client.send(post("/v1/completions", request(1, false)));
  EXPECT_EQ(status_of(client.reply().first), 200);
}

TEST_F(ServerTest, WhoHangsUpTakesOnlyItsOwnRequestWithIt) {
  const std::string expected = text_of(100);
  Client kept(server_->port());
  kept.send(post("/v1/completions", request(100, false)));
  for (const bool stream : {true, false}) {
    for (int i = 0; i < 3; ++i) {
      Client gone(server_->port());
      gone.send(post("/v1/completions", request(250, stream)));
      if (stream) { gone.read_until("data: "); }
      gone.close();
    }
  }
  EXPECT_EQ(json::parse(kept.reply().second)["choices"][0]["text"], expected);
  wait_until_idle();
  EXPECT_NE(metric("vllm:request_success_total{model_name=\"tiny:sparse\",finished_reason=\"abort\"}"), "0");
}

TEST_F(ServerTest, RequestsAheadOfTheirTimeAreAnsweredInOrder) {
  Client client(server_->port());
  client.send(post("/v1/completions", request(30, false)) + post("/v1/completions", request(2, false)) +
              get("/v1/models"));
  EXPECT_EQ(json::parse(client.reply().second)["usage"]["completion_tokens"], 30);
  EXPECT_EQ(json::parse(client.reply().second)["usage"]["completion_tokens"], 2);
  EXPECT_EQ(json::parse(client.reply().second)["object"], "list");
}

TEST_F(ServerTest, ARequestThatTakesTooLongIsGivenUp) {
  ServerOptions options;
  options.request_seconds = 1e-6;
  start(options);
  Client client(server_->port());
  client.send(post("/v1/completions", request(200, false)));
  EXPECT_EQ(status_of(client.reply().first), 504);
  wait_until_idle();
}

// A client that sees [DONE] would take what it got for a whole answer (tugot17/tokenomics#16).
TEST_F(ServerTest, AStreamThatFailsSaysSoAndHasNoEnd) {
  std::vector<Lane> lanes = testing::lanes_of(engines_);
  lanes[0].open = [open = lanes[0].open] { return std::make_unique<testing::FailingSession>(open(), 60); };
  start_lanes({}, 8, std::move(lanes));
  Client client(server_->port());
  client.send(post("/v1/completions", request(200, true)));
  const std::string all = client.read_until("[DONE]");  // which never comes: the server closes
  EXPECT_EQ(status_of(all), 200);
  EXPECT_NE(all.find("\"text\":"), std::string::npos) << "it had begun";
  EXPECT_NE(all.find("data: {\"error\":{"), std::string::npos);
  EXPECT_NE(all.find("out of memory"), std::string::npos);
  EXPECT_EQ(all.find("[DONE]"), std::string::npos);
  EXPECT_EQ(all.find("0\r\n\r\n"), std::string::npos) << "nor is the body complete";
}

TEST_F(ServerTest, AKeyWhereItIsAskedFor) {
  ServerOptions options;
  options.address = "0.0.0.0";
  Served none;
  EXPECT_FALSE(Server::start(options, none, testing::lanes_of(engines_), 1).ok()) << "beyond this machine without one";
  options.api_key = "secret";
  start(options);
  Client client(server_->port());
  client.send(get("/v1/models"));
  EXPECT_EQ(status_of(client.reply().first), 401);
  client.send(get("/v1/models", "Authorization: Bearer wrong!\r\n"));
  EXPECT_EQ(status_of(client.reply().first), 401);
  client.send(get("/v1/models", "Authorization: Bearer secret\r\n"));
  EXPECT_EQ(status_of(client.reply().first), 200);
  client.send(get("/health"));
  EXPECT_EQ(status_of(client.reply().first), 200) << "who only looks whether it is well needs none";
}

TEST_F(ServerTest, PagesOfOtherOriginsMayAskWhereThatIsAllowed) {
  ServerOptions options;
  options.allowed_origins = {"https://chat.example"};
  start(options);
  const std::string preflight = "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: " + host() +
                                "\r\nAccess-Control-Request-Headers: authorization\r\nOrigin: ";
  const std::pair<std::string, bool> origins[] = {
      {"https://chat.example", true},  {"http://localhost:3000", true},          {"http://127.0.0.1", true},
      {"https://evil.example", false}, {"http://localhost.evil.example", false}, {"null", false}};
  Client client(server_->port());
  for (const auto& [origin, allowed] : origins) {
    client.send(preflight + origin + "\r\n\r\n");
    const std::string head = client.read_until("\r\n\r\n");
    EXPECT_EQ(status_of(head), 204);
    EXPECT_EQ(head.find("Access-Control-Allow-Origin: " + origin) != std::string::npos, allowed) << head;
  }
}

TEST_F(ServerTest, ADrainingServerEndsWhatRunsAndTakesNoMore) {
  Client running(server_->port());
  running.send(post("/v1/completions", request(200, true)));
  running.read_until("data: ");
  Client open(server_->port());
  open.send(get("/health"));
  EXPECT_EQ(status_of(open.reply().first), 200);
  server_->drain();
  open.send(post("/v1/completions", request(1, false)));
  EXPECT_EQ(status_of(open.reply().first), 503);
  const std::string rest = running.read_until("0\r\n\r\n");
  EXPECT_NE(rest.find("\"finish_reason\":\"length\""), std::string::npos);
  EXPECT_NE(rest.find("data: [DONE]"), std::string::npos);
}

TEST_F(ServerTest, MetricsUnderTheNamesOfDashboards) {
  text_of(5);
  text_of(7);
  EXPECT_EQ(metric("vllm:generation_tokens_total{model_name=\"tiny:sparse\"}"), "12");
  EXPECT_EQ(metric("vllm:prompt_tokens_total{model_name=\"tiny:sparse\"}"), "6");
  EXPECT_EQ(metric("vllm:time_to_first_token_seconds_count{model_name=\"tiny:sparse\"}"), "2");
  EXPECT_EQ(metric("vllm:inter_token_latency_seconds_count{model_name=\"tiny:sparse\"}"), "10");
  EXPECT_EQ(metric("vllm:request_success_total{model_name=\"tiny:sparse\",finished_reason=\"length\"}"), "2");
  EXPECT_EQ(metric("vllm:num_requests_running{model_name=\"tiny:dense\"}"), "0");
}

TEST_F(ServerTest, APromptThatWasReadBeforeIsToldInTheUsageAndTheMetrics) {
  json body = request(3, false);
  body["prompt"] = testing::random_tokens(100, 500, 1);
  const auto ask = [&](int choices) {
    body["n"] = choices;
    Client client(server_->port());
    client.send(post("/v1/completions", body));
    return json::parse(client.reply().second);
  };
  const json first = ask(1);
  EXPECT_EQ(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  const json second = ask(1);
  EXPECT_EQ(second["usage"]["prompt_tokens_details"]["cached_tokens"], 96) << "whole pages";
  EXPECT_EQ(second["choices"], first["choices"]);
  EXPECT_EQ(metric("vllm:prefix_cache_queries_total{model_name=\"tiny:sparse\"}"), "200");
  EXPECT_EQ(metric("vllm:prefix_cache_hits_total{model_name=\"tiny:sparse\"}"), "96");
  EXPECT_EQ(ask(3)["usage"]["prompt_tokens_details"]["cached_tokens"], 96) << "of the prompt, not of its choices";
  wait_until_idle();
  EXPECT_EQ(metric("vortex:kv_pages_kept{model_name=\"tiny:sparse\"}"), "6");
  EXPECT_EQ(metric("vllm:kv_cache_usage_perc{model_name=\"tiny:sparse\"}"), "0");
}

}  // namespace
}  // namespace vortex::serve
