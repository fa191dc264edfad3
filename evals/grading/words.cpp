#include "evals/grading/words.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/text.h"

namespace vortex::evals {
namespace {

struct Row {
  std::string_view name;
  std::string_view base;
  int64_t numerator = 1;
  int64_t denominator = 1;
};

constexpr std::array<Row, 116> kUnits = {{
    {"mm", "m", 1, 1000},
    {"millimeter", "m", 1, 1000},
    {"millimetre", "m", 1, 1000},
    {"cm", "m", 1, 100},
    {"centimeter", "m", 1, 100},
    {"centimetre", "m", 1, 100},
    {"dm", "m", 1, 10},
    {"decimeter", "m", 1, 10},
    {"decimetre", "m", 1, 10},
    {"meter", "m"},
    {"metre", "m"},
    {"m", "m"},
    {"km", "m", 1000},
    {"kilometer", "m", 1000},
    {"kilometre", "m", 1000},
    {"inch", "in"},
    {"inches", "in"},
    {"in", "in"},
    {"ft", "in", 12},
    {"foot", "in", 12},
    {"feet", "in", 12},
    {"yd", "in", 36},
    {"yard", "in", 36},
    {"mile", "in", 63360},
    {"mi", "in", 63360},
    {"mg", "g", 1, 1000},
    {"milligram", "g", 1, 1000},
    {"g", "g"},
    {"gram", "g"},
    {"kg", "g", 1000},
    {"kilogram", "g", 1000},
    {"ton", "ton"},
    {"tonne", "tonne"},
    {"oz", "oz"},
    {"ounce", "oz"},
    {"lb", "oz", 16},
    {"lbs", "oz", 16},
    {"pound", "oz", 16},
    {"ml", "l", 1, 1000},
    {"milliliter", "l", 1, 1000},
    {"millilitre", "l", 1, 1000},
    {"l", "l"},
    {"liter", "l"},
    {"litre", "l"},
    {"gallon", "gallon"},
    {"quart", "gallon", 1, 4},
    {"pint", "gallon", 1, 8},
    {"cup", "gallon", 1, 16},
    {"s", "s"},
    {"sec", "s"},
    {"second", "s"},
    {"min", "s", 60},
    {"minute", "s", 60},
    {"h", "s", 3600},
    {"hr", "s", 3600},
    {"hour", "s", 3600},
    {"day", "s", 86400},
    {"week", "s", 604800},
    {"month", "month"},
    {"year", "month", 12},
    {"yr", "month", 12},
    {"decade", "month", 120},
    {"century", "month", 1200},
    {"centuries", "month", 1200},
    {"degree", "degree"},
    {"deg", "degree"},
    {"radian", ""},
    {"rad", ""},
    {"celsius", "celsius"},
    {"fahrenheit", "fahrenheit"},
    {"kelvin", "kelvin"},
    {"dollar", "dollar"},
    {"usd", "dollar"},
    {"cent", "dollar", 1, 100},
    {"penny", "dollar", 1, 100},
    {"pennies", "dollar", 1, 100},
    {"buck", "dollar"},
    {"euro", "euro"},
    {"eur", "euro"},
    {"gbp", "sterling"},
    {"sterling", "sterling"},
    {"yen", "yen"},
    {"yuan", "yuan"},
    {"rmb", "yuan"},
    {"rupee", "rupee"},
    {"peso", "peso"},
    {"ruble", "ruble"},
    {"rouble", "ruble"},
    {"kopeck", "ruble", 1, 100},
    {"franc", "franc"},
    {"unit", ""},
    {"percent", "percent"},
    {"pct", "percent"},
    {"percentage", "percent"},
    {"volt", "volt"},
    {"watt", "watt"},
    {"kw", "watt", 1000},
    {"kilowatt", "watt", 1000},
    {"joule", "joule"},
    {"newton", "newton"},
    {"pascal", "pascal"},
    {"hertz", "hertz"},
    {"hz", "hertz"},
    {"ohm", "ohm"},
    {"ampere", "ampere"},
    {"amp", "ampere"},
    {"coulomb", "coulomb"},
    {"mole", "mole"},
    {"mol", "mole"},
    {"calorie", "calorie"},
    {"acre", "acre"},
    {"hectare", "hectare"},
    {"byte", "byte"},
}};

// Things that problems count, by singular and plural where that is no s.
constexpr std::array<std::string_view, 209> kCounted = {
    "apple",      "arrangement", "angle",       "animal",   "answer",       "area",          "ball",        "banana",
    "bag",        "barrel",      "basket",      "bean",     "bead",         "bicycle",       "bike",        "bird",
    "block",      "boat",        "book",        "bottle",   "box",          "boxes",         "boy",         "brick",
    "bulb",       "bus",         "buses",       "button",   "cake",         "can",           "candle",      "candy",
    "candies",    "car",         "card",        "case",     "cat",          "chair",         "chicken",     "child",
    "children",   "choice",      "chocolate",   "chord",    "circle",       "city",          "cities",      "class",
    "classes",    "coin",        "color",       "colour",   "combination",  "cookie",        "corner",      "cow",
    "crayon",     "cube",        "cupcake",     "customer", "cut",          "cyclist",       "dice",        "die",
    "digit",      "diagonal",    "dog",         "donut",    "door",         "dot",           "duck",        "edge",
    "egg",        "element",     "envelope",    "equation", "face",         "factor",        "family",      "families",
    "fish",       "floor",       "flower",      "friend",   "frog",         "fruit",         "game",        "girl",
    "glass",      "glasses",     "goal",        "goat",     "graph",        "grape",         "group",       "guest",
    "hen",        "horse",       "house",       "integer",  "intersection", "jar",           "key",         "kid",
    "lap",        "leg",         "lemon",       "letter",   "line",         "machine",       "man",         "marble",
    "match",      "matches",     "member",      "men",      "mice",         "mouse",         "move",        "multiple",
    "nickel",     "number",      "option",      "orange",   "outcome",      "page",          "pair",        "pairs",
    "paper",      "passenger",   "path",        "patient",  "pattern",      "peach",         "pear",        "pen",
    "pencil",     "people",      "permutation", "person",   "piece",        "pizza",         "place",       "plane",
    "plant",      "player",      "point",       "pole",     "polygon",      "possibilities", "possibility", "potato",
    "potatoes",   "prime",       "problem",     "question", "quarter",      "rabbit",        "rectangle",   "region",
    "revolution", "ribbon",      "room",        "root",     "rose",         "round",         "route",       "row",
    "seat",       "segment",     "set",         "sheep",    "shirt",        "shoe",          "side",        "slice",
    "sock",       "solution",    "step",        "stick",    "sticker",      "stone",         "student",     "subset",
    "teacher",    "team",        "term",        "ticket",   "tile",         "time",          "toothpick",   "train",
    "tree",       "triangle",    "trip",        "turn",     "value",        "vertex",        "vertices",    "vote",
    "voter",      "way",         "win",         "woman",    "women",        "word",          "worker",      "worm",
    "zero"};

constexpr std::array<std::pair<std::string_view, int64_t>, 6> kMultipliers = {{{"hundred", 100},
                                                                               {"thousand", 1000},
                                                                               {"million", 1000000},
                                                                               {"billion", 1000000000},
                                                                               {"trillion", 1000000000000},
                                                                               {"dozen", 12}}};

constexpr std::array<std::pair<std::string_view, int64_t>, 28> kNumerals = {
    {{"zero", 0},      {"one", 1},       {"two", 2},       {"three", 3},    {"four", 4},     {"five", 5},
     {"six", 6},       {"seven", 7},     {"eight", 8},     {"nine", 9},     {"ten", 10},     {"eleven", 11},
     {"twelve", 12},   {"thirteen", 13}, {"fourteen", 14}, {"fifteen", 15}, {"sixteen", 16}, {"seventeen", 17},
     {"eighteen", 18}, {"nineteen", 19}, {"twenty", 20},   {"thirty", 30},  {"forty", 40},   {"fifty", 50},
     {"sixty", 60},    {"seventy", 70},  {"eighty", 80},   {"ninety", 90}}};

constexpr std::array<std::string_view, 22> kHarmless = {
    "about", "approximately", "roughly", "around", "exactly", "therefore", "thus", "hence",  "then",   "simply", "just",
    "so",    "finally",       "clearly", "indeed", "now",     "equal",     "to",   "namely", "either", "a",      "the"};

constexpr std::array<std::string_view, 28> kChanging = {
    "not",    "least", "most",  "less",  "more",    "than",   "minus",   "negative", "below",   "above",
    "over",   "under", "never", "isn",   "without", "no",     "greater", "fewer",    "smaller", "larger",
    "beyond", "until", "up",    "twice", "half",    "except", "cannot",  "nearly"};

constexpr std::array<std::string_view, 25> kShort = {"yes", "no",  "odd", "even", "not", "and", "or",  "one", "two",
                                                     "six", "ten", "red", "mod",  "day", "men", "man", "way", "box",
                                                     "car", "cat", "dog", "pen",  "per", "all", "any"};

template <typename List>
bool has(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), lower_ascii(word)) != list.end();
}

template <typename Table>
std::optional<int64_t> found_in(const Table& table, std::string_view word) {
  const std::string lower = lower_ascii(word);
  for (const auto& [name, value] : table) {
    if (lower == name || lower == std::string(name) + "s") { return value; }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Unit> times(const Unit& a, const Unit& b, int power) {
  constexpr int64_t kLargest = 1'000'000'000'000'000;
  if (power < -9 || power > 9) { return std::nullopt; }
  Unit made = a;
  for (const auto& [base, exponent] : b.powers) {
    if ((made.powers[base] += exponent * power) == 0) { made.powers.erase(base); }
  }
  for (int i = 0; i < std::abs(power); ++i) {
    const int64_t by = power > 0 ? b.numerator : b.denominator;
    const int64_t below = power > 0 ? b.denominator : b.numerator;
    if (made.numerator > kLargest / by || made.denominator > kLargest / below) { return std::nullopt; }
    made.numerator *= by;
    made.denominator *= below;
    const int64_t common = std::gcd(made.numerator, made.denominator);
    made.numerator /= common;
    made.denominator /= common;
  }
  return made;
}

std::optional<Unit> unit_of(std::string_view word, bool alone) {
  std::string lower = lower_ascii(word);
  if (lower.size() == 1 && !alone) { return std::nullopt; }
  if (lower == "mph") { return Unit{{{"in", 1}, {"s", -1}}, 88, 5}; }
  for (int plural = 0; plural < 2; ++plural) {
    for (const Row& row : kUnits) {
      if (row.name != lower) { continue; }
      Unit unit = {{}, row.numerator, row.denominator};
      if (!row.base.empty()) { unit.powers[std::string(row.base)] = 1; }
      return unit;
    }
    if (has(kCounted, lower)) { return Unit{{{lower, 1}}, 1, 1}; }
    if (lower.size() < 3 || lower.back() != 's') { break; }
    lower.pop_back();
  }
  return std::nullopt;
}

std::optional<int64_t> multiplier_of(std::string_view word) { return found_in(kMultipliers, word); }
std::optional<int64_t> numeral_of(std::string_view word) { return found_in(kNumerals, word); }
bool is_and(std::string_view word) { return lower_ascii(word) == "and"; }
bool is_or(std::string_view word) { return lower_ascii(word) == "or"; }
bool is_harmless(std::string_view word) { return has(kHarmless, word); }
bool is_changing(std::string_view word) { return has(kChanging, word); }
bool is_short_word(std::string_view word) { return has(kShort, word); }

}  // namespace vortex::evals
