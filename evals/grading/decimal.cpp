#include "evals/grading/decimal.h"

namespace vortex::evals {

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

Value digits_to_base(std::string_view text, int64_t base) {
  Value value = number(0);
  for (const char c : text) { value = add(multiply(value, number(base)), number(c - '0')); }
  return value;
}

Value decimal(std::string_view text) {
  const size_t point = text.find('.');
  Value value = digits_to_base(text.substr(0, point), 10);
  if (point == std::string_view::npos) { return value; }
  std::string_view places = text.substr(point + 1);
  const size_t open = places.find('(');
  const std::string_view repeating =
      open == std::string_view::npos ? "" : places.substr(open + 1, places.size() - open - 2);
  places = places.substr(0, open);
  const Value scale = raise(number(10), number(static_cast<int64_t>(places.size())));
  value = add(value, divide(digits_to_base(places, 10), scale));
  if (repeating.empty()) { return value; }
  const Value nines = subtract(raise(number(10), number(static_cast<int64_t>(repeating.size()))), number(1));
  return add(value, divide(digits_to_base(repeating, 10), multiply(scale, nines)));
}

}  // namespace vortex::evals
