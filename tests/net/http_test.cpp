#include "net/http.h"

#include <chrono>
#include <thread>

#include "tests/net/bad_server.h"
#include "tests/net/stuck_names.h"

namespace vortex::net {
namespace {

class HttpTest : public ::testing::Test {
 protected:
  HttpRequest get(const std::string& path) const {
    HttpRequest request;
    request.url = server_.url() + path;
    return request;
  }
  vortex::testing::BadServer server_;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST_F(HttpTest, SendsWhatItIsGiven) {
  HttpRequest request = get("/echo");
  request.method = "POST";
  request.headers = {"Authorization: Bearer sesame", "Content-Type: application/json"};
  request.body = std::string(5000, 'a') + "\n";  // long enough for libcurl to want an Expect
  const HttpReply reply = http_send(request);
  ASSERT_TRUE(reply.succeeded()) << describe(request, reply);
  const auto echo = nlohmann::json::parse(reply.body);
  EXPECT_EQ(echo.at("method"), "POST");
  EXPECT_EQ(echo.at("body"), request.body);
  EXPECT_EQ(echo.at("headers").at("authorization"), "Bearer sesame");
  EXPECT_FALSE(echo.at("headers").contains("expect"));
  EXPECT_FALSE(reply.header("content-length").empty());
  request.method = "DELETE";
  request.body.clear();
  EXPECT_EQ(nlohmann::json::parse(http_send(request).body).at("method"), "DELETE");
  request.method = "HEAD";
  EXPECT_TRUE(http_send(request).succeeded());
}

TEST_F(HttpTest, AnErrorStatusIsAnAnswer) {
  const HttpReply reply = http_send(get("/nowhere"));
  EXPECT_EQ(reply.failure, HttpFailure::kNone);
  EXPECT_EQ(reply.status, 404);
  EXPECT_FALSE(reply.succeeded());
  EXPECT_FALSE(worth_retrying(reply));
  EXPECT_NE(describe(get("/nowhere?key=secret"), reply).find("/nowhere answered 404: nothing here"), std::string::npos);
  EXPECT_EQ(describe(get("/nowhere?key=secret"), reply).find("secret"), std::string::npos);
}

TEST_F(HttpTest, TellsTemporaryFromPermanentFailures) {
  server_.behave("/long", {"drop:0", "drop:1000"});
  for (int i = 0; i < 2; ++i) {
    const HttpReply reply = http_send(get("/long"));
    EXPECT_EQ(reply.failure, HttpFailure::kTemporary) << i;
    EXPECT_FALSE(reply.message.empty());
    EXPECT_TRUE(worth_retrying(reply));
  }
  EXPECT_EQ(http_send(get("/long")).body.size(), 1'000'000U);
  HttpRequest request = get("/long");
  request.max_body_bytes = 999'999;
  EXPECT_EQ(http_send(request).failure, HttpFailure::kPermanent);
  for (const char* url : {"file:///etc/passwd", "gopher://127.0.0.1/", "not a url", "http://"}) {
    request.url = url;
    EXPECT_EQ(http_send(request).failure, HttpFailure::kPermanent) << url;
  }
  request.url = "http://127.0.0.1:1/";
  EXPECT_EQ(http_send(request).failure, HttpFailure::kTemporary) << "nobody listens: may come up";
}

TEST_F(HttpTest, GivesUpOnSilence) {
  server_.behave("/echo", {"hang", "hang"});
  HttpRequest request = get("/echo");
  request.idle_seconds = 1;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(http_send(request).failure, HttpFailure::kTemporary);
  request.idle_seconds = 0;
  request.total_seconds = 0.2;
  EXPECT_EQ(http_send(request).failure, HttpFailure::kTemporary);
  EXPECT_LT(seconds_since(start), 5.0) << "before the server itself hangs up, twice";
}

TEST_F(HttpTest, FollowsRedirectsWhenAsked) {
  server_.behave("/a", {"redirect:/echo", "redirect:/echo", "loop", "redirect:file:///etc/passwd"});
  HttpRequest request = get("/a");
  EXPECT_EQ(http_send(request).status, 302) << "an answer like any other";
  request.max_redirects = 3;
  const HttpReply followed = http_send(request);
  EXPECT_EQ(followed.status, 200);
  EXPECT_EQ(followed.url, server_.url() + "/echo");
  server_.behave("/a", std::vector<std::string>(10, "loop"));
  EXPECT_EQ(http_send(request).failure, HttpFailure::kPermanent);
  server_.behave("/a", {"redirect:file:///etc/passwd"});
  const HttpReply file = http_send(request);
  EXPECT_EQ(file.failure, HttpFailure::kPermanent);
  EXPECT_EQ(file.body, "");
}

TEST_F(HttpTest, KeepsAuthorizationFromOtherHosts) {
  const vortex::testing::BadServer other;
  server_.behave("/a", {"redirect:" + other.url() + "/echo"});
  HttpRequest request = get("/a");
  request.max_redirects = 3;
  request.headers = {"Authorization: Bearer sesame"};
  const HttpReply reply = http_send(request);
  ASSERT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body.find("sesame"), std::string::npos) << reply.body;
}

TEST_F(HttpTest, StreamsABody) {
  server_.behave("/events", {"slow:5"});
  std::string body;
  int pieces = 0;
  HttpHooks hooks;
  hooks.on_body = [&](const HttpReply& reply, std::string_view bytes) {
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.header("content-type"), "text/event-stream");
    body += bytes;
    ++pieces;
    return true;
  };
  const HttpReply reply = http_send(get("/events"), hooks);
  EXPECT_TRUE(reply.succeeded());
  EXPECT_EQ(reply.body, "");
  EXPECT_GT(pieces, 1);
  EXPECT_TRUE(body.ends_with("data: 49\n\n"));
  // The body of an error is not the stream.
  server_.behave("/events", {"status:429"});
  body.clear();
  const HttpReply refused = http_send(get("/events"), hooks);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.body, "not now\n");
  EXPECT_EQ(body, "");
}

TEST_F(HttpTest, StopsWhenTold) {
  HttpHooks sink;
  sink.on_body = [](const HttpReply&, std::string_view) { return false; };
  EXPECT_EQ(http_send(get("/events"), sink).failure, HttpFailure::kAborted);
  server_.behave("/echo", {"hang"});
  const auto start = std::chrono::steady_clock::now();
  HttpHooks clock;
  clock.should_stop = [&] { return seconds_since(start) > 0.1; };
  EXPECT_EQ(http_send(get("/echo"), clock).failure, HttpFailure::kAborted);
  EXPECT_FALSE(worth_retrying(http_send(get("/echo"), clock)));
  EXPECT_FALSE(pause_for(1000, clock.should_stop));
  EXPECT_TRUE(pause_for(0, {}));
}

// The name is looked up in a thread of libcurl's, which the end of the request must not wait for.
TEST(HttpNames, ARequestEndsWhileItsNameIsLookedUp) {
  const vortex::testing::StuckNames names;
  HttpRequest request;
  request.url = std::string("http://") + vortex::testing::StuckNames::kStuckName + "/";
  const auto start = std::chrono::steady_clock::now();
  HttpHooks clock;
  clock.should_stop = [&] { return seconds_since(start) > 0.1; };
  EXPECT_EQ(http_send(request, clock).failure, HttpFailure::kAborted);
  request.total_seconds = 0.2;
  EXPECT_EQ(http_send(request).failure, HttpFailure::kTemporary);
  EXPECT_LT(seconds_since(start), 100.0) << "the name is stuck for five minutes";
}

TEST_F(HttpTest, Retries) {
  server_.behave("/echo", {"status:503", "drop:0", "status:429:0", "ok"});
  RetryPolicy policy;
  policy.first_pause = 0.01;
  EXPECT_TRUE(http_send_retrying(get("/echo"), policy).succeeded());
  server_.behave("/echo", {"status:400", "ok"});
  EXPECT_EQ(http_send_retrying(get("/echo"), policy).status, 400);
  server_.behave("/echo", std::vector<std::string>(5, "status:500"));
  EXPECT_EQ(http_send_retrying(get("/echo"), policy).status, 500);
  server_.behave("/echo", {"status:429:3600", "ok"});
  EXPECT_EQ(http_send_retrying(get("/echo"), policy).status, 429) << "an hour is too long to wait";
  server_.behave("/echo", {"status:503:100", "ok"});
  int asked = 0;
  EXPECT_EQ(http_send_retrying(get("/echo"), policy, [&] { return ++asked > 5; }).failure, HttpFailure::kAborted);
}

HttpReply with_retry_after(const std::string& value) {
  HttpReply reply;
  reply.headers = {{"retry-after", value}};
  return reply;
}

TEST(RetryAfter, IsANumberOrADate) {
  EXPECT_EQ(retry_after_seconds(with_retry_after("17")), 17.0);
  EXPECT_EQ(retry_after_seconds(with_retry_after("0")), 0.0);
  EXPECT_EQ(retry_after_seconds(with_retry_after("Wed, 21 Oct 2015 07:28:00 GMT")), 0.0);
  EXPECT_GT(retry_after_seconds(with_retry_after("Wed, 21 Oct 2065 07:28:00 GMT")).value_or(0), 3600.0);
  for (const char* bad : {"", "-3", "soon", "nan", "3 apples"}) {
    EXPECT_FALSE(retry_after_seconds(with_retry_after(bad)).has_value()) << bad;
  }
  EXPECT_FALSE(retry_after_seconds(HttpReply{}).has_value());
}

TEST(Backoff, DoublesWithJitterUpToALimit) {
  Backoff backoff(1, 1.0, 4.0);
  for (const double full : {1.0, 2.0, 4.0, 4.0, 4.0}) {
    const double pause = backoff.next();
    EXPECT_GE(pause, full / 2);
    EXPECT_LE(pause, full);
  }
  EXPECT_GE(backoff.next(60), 60.0);
  EXPECT_NE(Backoff(1).next(), Backoff(2).next());
  EXPECT_EQ(Backoff(3).next(), Backoff(3).next());
}

TEST(WorthRetrying, DependsOnTheStatus) {
  HttpReply reply;
  for (const int status : {408, 425, 429, 500, 502, 503, 504, 529}) {
    reply.status = status;
    EXPECT_TRUE(worth_retrying(reply)) << status;
  }
  for (const int status : {200, 204, 301, 400, 401, 403, 404, 501, 505}) {
    reply.status = status;
    EXPECT_FALSE(worth_retrying(reply)) << status;
  }
}

}  // namespace
}  // namespace vortex::net
