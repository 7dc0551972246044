// Knights and knaves: knights always tell the truth, knaves always lie; who is what? Every puzzle
// is checked against all assignments to have exactly one solution. Puzzles that differ in names or
// in the order of the people are in the same split.
#include <algorithm>
#include <numeric>

#include "tasks/builtin.h"
#include "tasks/procedural.h"

namespace r1 {
namespace {

constexpr const char* kNames[] = {"Ann", "Bob",  "Cleo",  "Dan",  "Eva",  "Finn", "Gus",  "Hana",
                                  "Ivo", "June", "Karim", "Lena", "Milo", "Nora", "Otto", "Pia"};

enum class Claim { kKnight, kKnave, kSame, kDifferent, kSomeKnave, kSomeKnight };
constexpr uint64_t kClaims = 6;

// What one person says. `first` is somebody else; `second` too, or the speaker, in the claims about
// two. Claims about two have first < second unless second is the speaker.
struct Statement {
  Claim claim;
  int first, second;
};

using Puzzle = std::vector<Statement>;  // [i] is what person i says

// `knights` has a bit for each person.
bool holds(const Statement& s, unsigned knights) {
  const bool a = knights >> s.first & 1, b = knights >> s.second & 1;
  switch (s.claim) {
    case Claim::kKnight:
      return a;
    case Claim::kKnave:
      return !a;
    case Claim::kSame:
      return a == b;
    case Claim::kDifferent:
      return a != b;
    case Claim::kSomeKnave:
      return !a || !b;
    case Claim::kSomeKnight:
      return a || b;
  }
  return false;
}

// Nothing where there is no solution, or more than one.
std::optional<unsigned> only_solution(const Puzzle& puzzle) {
  std::optional<unsigned> found;
  for (unsigned knights = 0; knights < 1u << puzzle.size(); ++knights) {
    bool consistent = true;
    for (size_t i = 0; i < puzzle.size() && consistent; ++i) {
      consistent = holds(puzzle[i], knights) == static_cast<bool>(knights >> i & 1);
    }
    if (consistent && found) return std::nullopt;
    if (consistent) found = knights;
  }
  return found;
}

int other_than(Rng& rng, int people, int person) {
  const int other = static_cast<int>(rng.below(static_cast<uint64_t>(people - 1)));
  return other + (other >= person ? 1 : 0);
}

Puzzle random_puzzle(Rng& rng, int people) {
  Puzzle puzzle;
  for (int speaker = 0; speaker < people; ++speaker) {
    Statement s{static_cast<Claim>(rng.below(kClaims)), other_than(rng, people, speaker), speaker};
    const bool about_two = s.claim != Claim::kKnight && s.claim != Claim::kKnave;
    if (about_two) s.second = other_than(rng, people, s.first);
    if (s.second != speaker && s.second < s.first) std::swap(s.first, s.second);
    puzzle.push_back(s);
  }
  return puzzle;
}

// The least of the puzzle's forms over all orders of the people.
std::string canonical_key(const Puzzle& puzzle) {
  const size_t n = puzzle.size();
  std::vector<int> place(n);
  std::iota(place.begin(), place.end(), 0);
  std::string least, form(3 * n, ' ');
  do {
    for (size_t i = 0; i < n; ++i) {
      const int a = place[static_cast<size_t>(puzzle[i].first)];
      const int b = place[static_cast<size_t>(puzzle[i].second)];
      const size_t at = 3 * static_cast<size_t>(place[i]);
      form[at] = static_cast<char>('A' + static_cast<int>(puzzle[i].claim));
      form[at + 1] = static_cast<char>('0' + std::min(a, b));
      form[at + 2] = static_cast<char>('0' + std::max(a, b));
    }
    if (least.empty() || form < least) least = form;
  } while (std::next_permutation(place.begin(), place.end()));
  return least;
}

std::string claim_text(const Statement& s, const std::vector<std::string>& names, int speaker) {
  const std::string a = names[static_cast<size_t>(s.first)];
  const bool self = s.second == speaker;
  const std::string b = names[static_cast<size_t>(s.second)];
  const std::string pair = a + " and " + (self ? "I" : b);
  const std::string of_pair = "At least one of " + a + " and " + (self ? "me" : b);
  switch (s.claim) {
    case Claim::kKnight:
      return a + " is a knight.";
    case Claim::kKnave:
      return a + " is a knave.";
    case Claim::kSame:
      return pair + " are of the same kind.";
    case Claim::kDifferent:
      return pair + " are of different kinds.";
    case Claim::kSomeKnave:
      return of_pair + " is a knave.";
    case Claim::kSomeKnight:
      return of_pair + " is a knight.";
  }
  return "";
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

using Kinds = std::map<std::string, bool>;  // lower-case name -> a knight

std::optional<bool> parse_kind(std::string_view text) {
  text = trim(text);
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.starts_with("a ")) text = trim(text.substr(2));
  if (text == "knight") return true;
  if (text == "knave") return false;
  return std::nullopt;
}

// "ann: knight", "ann = knight" or "ann is a knight" into kinds; false where it is none of these or
// names somebody twice.
bool parse_person(std::string_view text, Kinds& kinds) {
  for (const std::string_view link : {":", "=", " is "}) {
    const size_t at = text.find(link);
    if (at == text.npos) continue;
    const auto kind = parse_kind(text.substr(at + link.size()));
    return kind && kinds.emplace(trim(text.substr(0, at)), *kind).second;
  }
  return false;
}

// People with commas, semicolons, line ends or "and" between them.
std::optional<Kinds> parse_people(std::string_view answer) {
  std::string text = lower(answer);
  for (size_t at = text.find(" and "); at != text.npos; at = text.find(" and ", at)) {
    text.replace(at, 5, ",");
  }
  Kinds kinds;
  for (std::string_view left = text; !left.empty();) {
    const size_t end = left.find_first_of(",;\n");
    std::string_view person = trim(left.substr(0, end));
    left = end == left.npos ? std::string_view{} : left.substr(end + 1);
    if (person.starts_with("and ")) person = trim(person.substr(4));
    if (!person.empty() && !parse_person(person, kinds)) return std::nullopt;
  }
  return kinds;
}

Kinds right_kinds(const Json& data) {
  constexpr const char* kError =
      "a knights-knaves problem needs 'people': an object from each name to \"knight\" or "
      "\"knave\"";
  if (!data.is_object() || !data.contains("people") || !data["people"].is_object()) {
    throw InputError(kError);
  }
  Kinds kinds;
  for (const auto& [name, kind] : data["people"].items()) {
    const bool ok = kind == "knight" || kind == "knave";
    if (!ok || !kinds.emplace(lower(name), kind == "knight").second) throw InputError(kError);
  }
  return kinds;
}

class KnightsKnaves : public ProceduralTask {
 public:
  explicit KnightsKnaves(const std::map<std::string, int64_t>& values)
      : ProceduralTask("knights-knaves",
                       "find out who tells the truth and who lies from what they say of each other",
                       {{"people", "how many people speak", 2, 6, 3}}, values) {}

  Verdict verify(const Problem& problem, std::string_view completion) const override {
    const Kinds right = right_kinds(problem.data);
    return grade(completion, [&](std::string_view answer) -> std::optional<bool> {
      const auto kinds = parse_people(answer);
      const bool same_people =
          kinds && std::equal(kinds->begin(), kinds->end(), right.begin(), right.end(),
                              [](const auto& a, const auto& b) { return a.first == b.first; });
      if (!same_people) return std::nullopt;
      return *kinds == right;
    });
  }

 private:
  std::optional<Problem> make(Rng& rng, Split) const override {
    const size_t count = static_cast<size_t>(knob("people"));
    const Puzzle puzzle = random_puzzle(rng, static_cast<int>(count));
    const auto knights = only_solution(puzzle);
    if (!knights) return std::nullopt;
    std::vector<std::string> names(std::begin(kNames), std::end(kNames));
    rng.shuffle(names);
    names.resize(count);
    Problem p;
    p.key = canonical_key(puzzle);
    p.prompt = "Knights always tell the truth and knaves always lie. You meet ";
    std::string says;
    for (size_t i = 0; i < count; ++i) {
      const char* kind = *knights >> i & 1 ? "knight" : "knave";
      p.prompt += (i == 0 ? "" : i + 1 < count ? ", " : " and ") + names[i];
      says += names[i] + " says: \"" + claim_text(puzzle[i], names, static_cast<int>(i)) + "\"\n";
      p.answer += (i == 0 ? "" : ", ") + names[i] + ": " + kind;
      p.data["people"][names[i]] = kind;
    }
    p.prompt += ", each a knight or a knave.\n" + says +
                "Who is what? Put everybody in <answer>...</answer>, in the form \"name: knight, "
                "name: knave\".\n";
    return p;
  }
};

}  // namespace

std::unique_ptr<Task> make_knights_knaves(const std::map<std::string, int64_t>& knobs) {
  return std::make_unique<KnightsKnaves>(knobs);
}

}  // namespace r1
