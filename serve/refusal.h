#pragma once

#include <string>

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

}  // namespace vortex::serve
