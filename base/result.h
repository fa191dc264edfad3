#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace vortex {

// Whose fault an error is. Only kCandidate reaches a proposer; kEnvironment pauses and retries; kInternal is our bug.
enum class Blame {
  kCandidate,    // the input is wrong: a policy, a config, a file or an argument that somebody gave us
  kEnvironment,  // the machine or a service failed: disk full, GPU lost, endpoint down
  kInternal,     // we failed
};

// "candidate", "environment" or "internal": the spelling used in JSON and in the database.
std::string_view blame_name(Blame blame);
std::optional<Blame> blame_from_name(std::string_view name);

// Process exit code of an error: 1 the user's mistake, 3 the environment, 2 our bug.
int exit_code(Blame blame);

// What happened, where and what to do about it. `hint` may be empty.
struct Error {
  Blame blame = Blame::kInternal;
  std::string message;
  std::string hint;
};

inline Error candidate_error(std::string message, std::string hint = {}) {
  return {Blame::kCandidate, std::move(message), std::move(hint)};
}
inline Error environment_error(std::string message, std::string hint = {}) {
  return {Blame::kEnvironment, std::move(message), std::move(hint)};
}
inline Error internal_error(std::string message, std::string hint = {}) {
  return {Blame::kInternal, std::move(message), std::move(hint)};
}

// A value or the Error that kept us from it. Expected failures travel as values; exceptions never leave a module.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

// Success without a value.
struct Unit {};
using Status = Result<Unit>;
inline Status ok_status() { return Unit{}; }

}  // namespace vortex

// Returns the Error of `expression` (a Result or Status) from the enclosing function, if it has one.
#define VORTEX_TRY(expression)                                                           \
  do {                                                                                   \
    if (auto vortex_try = (expression); !vortex_try.ok()) { return vortex_try.error(); } \
  } while (false)

// `VORTEX_ASSIGN(auto x, make_x());`: declares x from the value of a Result, or returns its Error.
#define VORTEX_ASSIGN(declaration, expression) VORTEX_ASSIGN_IMPL(declaration, expression, __LINE__)
#define VORTEX_ASSIGN_IMPL(declaration, expression, line) VORTEX_ASSIGN_IMPL2(declaration, expression, line)
#define VORTEX_ASSIGN_IMPL2(declaration, expression, line)                 \
  auto vortex_result_##line = (expression);                                \
  if (!vortex_result_##line.ok()) { return vortex_result_##line.error(); } \
  declaration = std::move(vortex_result_##line).value()
