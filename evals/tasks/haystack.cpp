#include "evals/tasks/haystack.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/sha256.h"
#include "base/text.h"
#include "evals/tasks/text.h"

namespace vortex::evals {
namespace {

constexpr std::array<std::string_view, 100> kAdjectives = {
    "amber",   "ample",   "ancient", "arid",    "autumn",  "bitter",  "blunt",  "bold",   "brave",   "brief",
    "bright",  "brisk",   "broad",   "calm",    "candid",  "careful", "cheap",  "civil",  "clean",   "clever",
    "coastal", "cosy",    "crimson", "crisp",   "curious", "damp",    "daring", "dense",  "distant", "dusty",
    "eager",   "early",   "earnest", "elegant", "empty",   "faint",   "famous", "fierce", "flat",    "formal",
    "frank",   "fresh",   "frosty",  "gentle",  "gifted",  "golden",  "grand",  "hasty",  "hidden",  "hollow",
    "honest",  "humble",  "idle",    "jolly",   "keen",    "kind",    "late",   "lean",   "light",   "lively",
    "lonely",  "loud",    "lucky",   "mellow",  "mild",    "modest",  "narrow", "neat",   "noble",   "odd",
    "pale",    "patient", "plain",   "proud",   "quick",   "quiet",   "rare",   "rough",  "rustic",  "scarce",
    "secret",  "serene",  "sharp",   "shy",     "silent",  "simple",  "sleepy", "smooth", "solid",   "stern",
    "sturdy",  "sunny",   "tender",  "thrifty", "tidy",    "urban",   "vivid",  "warm",   "wild",    "witty"};

constexpr std::array<std::string_view, 120> kNouns = {
    "acorn",   "anchor",  "apron",   "arch",   "attic",   "badge",   "basket", "beacon", "bench",   "blanket",
    "bottle",  "branch",  "brick",   "bridge", "brook",   "bucket",  "button", "cabin",  "camera",  "candle",
    "canyon",  "carpet",  "castle",  "cedar",  "chapel",  "cherry",  "circus", "clock",  "cloud",   "compass",
    "copper",  "cradle",  "crane",   "dagger", "desert",  "diary",   "dragon", "drum",   "engine",  "falcon",
    "feather", "ferry",   "fiddle",  "flute",  "forest",  "fossil",  "garden", "garlic", "glacier", "globe",
    "hammer",  "harbour", "harvest", "hedge",  "helmet",  "hill",    "honey",  "horn",   "island",  "jacket",
    "kettle",  "kitchen", "ladder",  "lagoon", "lantern", "leather", "lemon",  "letter", "library", "lizard",
    "magnet",  "maple",   "market",  "meadow", "mill",    "mirror",  "monkey", "museum", "needle",  "oasis",
    "orchard", "otter",   "oven",    "paddle", "palace",  "parrot",  "pearl",  "pebble", "pencil",  "pepper",
    "piano",   "pillow",  "planet",  "pocket", "prairie", "puzzle",  "rabbit", "raven",  "ribbon",  "river",
    "saddle",  "sailor",  "shadow",  "shelf",  "silver",  "spider",  "spoon",  "stable", "statue",  "summit",
    "sword",   "teapot",  "temple",  "thread", "tunnel",  "valley",  "violin", "wagon",  "walnut",  "window"};

constexpr std::array<std::string_view, 20> kSubjects = {
    "The baker",         "A neighbour",       "The old ferryman",   "Her cousin",       "The librarian",
    "A travelling band", "The night watch",   "The schoolmaster",   "A young surveyor", "The innkeeper",
    "Our postman",       "The harbour pilot", "A retired sailor",   "The gardener",     "The town council",
    "A quiet stranger",  "The miller",        "The new apprentice", "An army of ants",  "The orchestra"};
constexpr std::array<std::string_view, 20> kVerbs = {"carried",    "repaired", "described", "painted",   "remembered",
                                                     "borrowed",   "counted",  "measured",  "forgot",    "praised",
                                                     "followed",   "sketched", "admired",   "inspected", "gathered",
                                                     "rearranged", "noticed",  "polished",  "weighed",   "avoided"};
constexpr std::array<std::string_view, 12> kPlaces = {"beside the mill",  "near the station",    "behind the chapel",
                                                      "across the river", "under the bridge",    "on the north road",
                                                      "in the back room", "at the edge of town", "above the bakery",
                                                      "along the canal",  "outside the school",  "in the upper field"};
constexpr std::array<std::string_view, 12> kTimes = {
    "before breakfast",       "late in the evening", "every other week", "while it rained",
    "after the fair",         "for most of a day",   "without a word",   "as if nothing had happened",
    "to everyone's surprise", "once more",           "in good spirits",  "with some difficulty"};

template <size_t N>
std::string pick(const std::array<std::string_view, N>& words, Rng& rng) {
  return std::string(words[rng.below(N)]);
}

constexpr int kUnitsPerToken = 8;  // more units than this and no end: the tokenizer swallows text
constexpr size_t kSingles = kAdjectives.size() + kNouns.size();

// Tokens of the prompt and the answer together.
Result<int64_t> total_tokens(const job::TaskSpec& spec, const Problem& problem, const CountTokens& count) {
  VORTEX_ASSIGN(const size_t tokens, count(problem));
  return static_cast<int64_t>(tokens) + spec.max_new_tokens;
}

std::string dots_text(int dots) {
  std::string text;
  for (int i = 0; i < dots; ++i) { text += " ."; }
  return text;
}

}  // namespace

std::string random_pair(Rng& rng) {
  std::string adjective = pick(kAdjectives, rng);
  return adjective + "-" + pick(kNouns, rng);
}

size_t plain_words() { return kSingles + kNouns.size() * kNouns.size(); }

std::string plain_word(size_t number) {
  if (number < kNouns.size()) { return std::string(kNouns[number]); }
  if (number < kSingles) { return std::string(kAdjectives[number - kNouns.size()]); }
  const size_t pair = number - kSingles;
  return std::string(kNouns[pair / kNouns.size() % kNouns.size()]) + std::string(kNouns[pair % kNouns.size()]);
}

std::string random_number(Rng& rng) { return std::to_string(rng.between(1'000'000, 9'999'999)); }

std::string random_uuid(Rng& rng) {
  const uint64_t high = (rng.next() & ~uint64_t{0xf000}) | 0x4000;
  const uint64_t low = (rng.next() & ~(uint64_t{3} << 62)) | uint64_t{2} << 62;
  char text[40];
  std::snprintf(text, sizeof text, "%08x-%04x-%04x-%04x-%012llx", static_cast<unsigned>(high >> 32),
                static_cast<unsigned>(high >> 16 & 0xffff), static_cast<unsigned>(high & 0xffff),
                static_cast<unsigned>(low >> 48), static_cast<unsigned long long>(low & 0xffff'ffff'ffffULL));
  return text;
}

std::string prose_sentence(Rng& rng) {
  std::string text = pick(kSubjects, rng) + " " + pick(kVerbs, rng);
  text += " the " + pick(kAdjectives, rng);
  text += " " + pick(kNouns, rng);
  if (rng.below(3) > 0) { text += " " + pick(kPlaces, rng); }
  if (rng.below(3) > 0) { text += " " + pick(kTimes, rng); }
  return text + ".";
}

std::vector<std::string> scattered(const std::vector<std::string>& units, const std::vector<std::string>& inserted,
                                   Rng& rng) {
  std::vector<size_t> places(units.size() + 1);
  for (size_t i = 0; i < places.size(); ++i) { places[i] = i; }
  shuffle(places, rng);
  // More sentences than places: the places are used again, as evenly as possible.
  std::vector<size_t> chosen;
  for (size_t i = 0; i < inserted.size(); ++i) { chosen.push_back(places[i % places.size()]); }
  std::sort(chosen.begin(), chosen.end());
  std::vector<std::string> all;
  size_t next = 0;
  for (size_t place = 0; place <= units.size(); ++place) {
    while (next < inserted.size() && chosen[next] == place) { all.push_back(inserted[next++]); }
    if (place < units.size()) { all.push_back(units[place]); }
  }
  return all;
}

std::string synthetic_id(const job::TaskSpec& spec, int number) {
  nlohmann::json json = to_json(spec);
  for (const char* key : {"problems", "trials", "seed", "temperature", "top_p", "top_k", "thinking", "chat"}) {
    json.erase(key);
  }
  char digits[16];
  std::snprintf(digits, sizeof digits, "%03d", number);
  return spec.kind + "-" + std::to_string(spec.length) + "-" + sha256_hex(json.dump()).substr(0, 8) + "-s" +
         std::to_string(spec.seed) + "-" + digits;
}

Result<Problem> fit_to_length(const job::TaskSpec& spec, int least, const MakeSized& make, const CountTokens& count) {
  if (!count) { return internal_error("task " + spec.kind + " needs a tokenizer to fit its length"); }
  const auto fits = [&](int units) -> Result<bool> {
    VORTEX_ASSIGN(const int64_t tokens, total_tokens(spec, make(units, ""), count));
    return tokens <= spec.length;
  };
  VORTEX_ASSIGN(const int64_t smallest, total_tokens(spec, make(least, ""), count));
  if (smallest > spec.length) {
    return candidate_error("task.length is " + std::to_string(spec.length) + ", but the smallest problem has " +
                           std::to_string(smallest) + " tokens, " + std::to_string(spec.max_new_tokens) +
                           " of them for the answer");
  }
  int low = least;  // fits
  int high = 2 * least + 1;
  for (;; low = high, high *= 2) {
    VORTEX_ASSIGN(const bool more, fits(high));
    if (!more) { break; }
    if (high > kUnitsPerToken * spec.length) { return candidate_error("the tokenizer gives more text no more tokens"); }
  }
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    VORTEX_ASSIGN(const bool more, fits(middle));
    (more ? low : high) = middle;
  }
  Problem best = make(low, "");
  VORTEX_ASSIGN(int64_t tokens, total_tokens(spec, best, count));
  const auto missing = static_cast<int>(spec.length - tokens);
  // Most tokenizers have a token for a dot behind a space. Where it takes two, one of these ends may make up for it.
  for (const char* end : {"", ".", "\n"}) {
    for (int dots = missing; dots >= 0 && tokens < spec.length; --dots) {
      Problem filled_up = make(low, dots_text(dots) + end);
      VORTEX_ASSIGN(const int64_t longer, total_tokens(spec, filled_up, count));
      if (longer > spec.length || longer <= tokens) { continue; }
      best = std::move(filled_up);
      tokens = longer;
      break;  // fewer dots are no longer
    }
  }
  return best;
}

Grade grade_mention(const std::string& answer, std::string_view output) {
  const auto said = without_thinking(output);
  if (!said) { return {false, "", kThoughtWithoutEnd}; }
  if (lower_ascii(*said).find(lower_ascii(answer)) == std::string::npos) {
    return {false, "", "the answer is not mentioned"};
  }
  return {true, answer, "the answer is mentioned"};
}

int synthetic_bound(const job::TaskSpec& spec) { return spec.length; }

}  // namespace vortex::evals
