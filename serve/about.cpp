#include "serve/about.h"

#include <boost/asio/post.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>

namespace vortex::serve {

namespace asio = boost::asio;
using nlohmann::json;

namespace {

constexpr auto kHealthTime = std::chrono::seconds(10);  // that the engines' thread has to answer

json model_card(const About& about, const std::string& name, const std::string& policy) {
  const Served& served = about.served;
  const auto created = static_cast<int64_t>(about.started);
  return {{"id", name},
          {"object", "model"},
          {"created", created},
          {"owned_by", "vortex"},
          {"root", served.name},
          {"policy", policy},
          {"max_model_len", served.max_context}};
}

json model_cards(const About& about) {
  const Served& served = about.served;
  json cards = json::array({model_card(about, served.name, served.lanes[0])});
  for (size_t lane = 0; lane < served.lanes.size(); ++lane) {
    cards.push_back(model_card(about, served.model_name(lane), served.lanes[lane]));
  }
  return cards;
}

}  // namespace

Reply About::models(const Question& question, const std::vector<std::string>& path) const {
  const json cards = model_cards(*this);
  if (path.size() == 2) { return replies.to(question, 200, kJson, json{{"object", "list"}, {"data", cards}}.dump()); }
  std::string name = path[2];  // names may have slashes in them
  for (size_t i = 3; i < path.size(); ++i) { name += "/" + path[i]; }
  for (const json& card : cards) {
    if (card["id"] == name) { return replies.to(question, 200, kJson, card.dump()); }
  }
  return replies.refuse(question,
                        refusal(404, "there is no such model here", "invalid_request_error", "model_not_found"));
}

Reply About::counts(const Question& question) const {
  return replies.to(question, 200, "text/plain; version=0.0.4; charset=utf-8", metrics.text(dispatcher.use()));
}

asio::awaitable<Reply> About::health(const Question& question) const {
  if (draining) { co_return replies.to(question, 503, kJson, R"({"status":"draining"})"); }
  const auto channel = std::make_shared<Channel>(io);
  dispatcher.ping([&to = io, channel] {
    asio::post(to, [channel] {
      channel->pong = true;
      channel->wake.cancel();
    });
  });
  const auto deadline = std::chrono::steady_clock::now() + kHealthTime;
  while (!channel->pong && std::chrono::steady_clock::now() < deadline) { co_await wait_for_news(*channel, deadline); }
  const bool well = channel->pong;
  co_return replies.to(question, well ? 200 : 503, kJson, well ? R"({"status":"ok"})" : R"({"status":"stuck"})");
}

}  // namespace vortex::serve
