#pragma once

#include <string>
#include <utility>

namespace vortex::serve {

// Why a request gets no answer, as OpenAI's API says it.
struct Refusal {
  int status = 400;  // of HTTP
  std::string message;
  std::string type = "invalid_request_error";
  std::string param;    // the member of the request that is wrong; empty: none
  std::string code;     // empty: none
  int retry_after = 0;  // seconds; 0: not said
};

inline constexpr int kRetrySeconds = 1;  // for who is refused because of the moment alone

// One that no member of the request is to blame for.
inline Refusal refusal(int status, std::string message, std::string type, std::string code = "") {
  return {status, std::move(message), std::move(type), "", std::move(code), 0};
}

}  // namespace vortex::serve
