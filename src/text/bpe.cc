#include "text/bpe.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/json_node.h"
#include "text/unicode.h"

namespace r1 {
namespace {

// Up to this many symbols, scanning for the lowest rank beats a heap.
constexpr size_t kShortWord = 48;

// A vocabulary may skip ids, but not so many that the table of tokens would be mostly holes.
size_t max_id_for(size_t tokens) {
  return std::max<size_t>(65535, tokens * 8);
}

// A lookup in a table of megabytes waits for memory, unless it was announced so many lookups
// before.
constexpr size_t kAhead = 16;

bool is_version(simdjson::dom::element merge) {
  std::string_view text;
  return !merge.get(text) && text.starts_with("#version");
}

// Made for an error only: naming 150,000 places takes longer than reading them.
JsonNode merge_node(const JsonNode& merges, size_t place) {
  return {merges.array().at(place).value_unsafe(), merges.where(),
          "model.merges[" + std::to_string(place) + "]"};
}

// Two tokens that merge, as the file writes them: "left right", or ["left", "right"].
struct Pair {
  std::string_view left, right;
  size_t place;  // in the file's list

  static Pair parse(simdjson::dom::element merge, const JsonNode& merges, size_t place) {
    const auto node = [&] { return merge_node(merges, place); };
    std::string_view left, right, text;
    if (simdjson::dom::array pair; !merge.get(pair)) {
      if (pair.size() != 2) {
        node().fail("expected two tokens, came " + std::to_string(pair.size()));
      }
      if (pair.at(0).get(left) || pair.at(1).get(right)) node().fail("expected two strings");
      return {left, right, place};
    }
    if (merge.get(text)) node().string();  // throws
    const size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos) {
      node().fail("expected two tokens and one space, came " + in_quotes(text));
    }
    return {text.substr(0, space), text.substr(space + 1), place};
  }
};

}  // namespace

Bpe Bpe::parse(const JsonNode& model, bool raw_bytes) {
  Bpe bpe;
  bpe.where_ = model.where();
  bpe.raw_bytes_ = raw_bytes;
  if (const auto type = model.find("type"); type && type->string() != "BPE") {
    type->fail("unknown model " + in_quotes(type->string()) + "; only \"BPE\" is supported");
  }
  if (const auto unk = model.find("unk_token")) bpe.unk_token_ = unk->string();
  if (const auto prefix = model.find("continuing_subword_prefix")) bpe.prefix_ = prefix->string();
  if (const auto suffix = model.find("end_of_word_suffix")) bpe.suffix_ = suffix->string();
  bpe.fuse_unk_ = model.boolean("fuse_unk", false);
  bpe.byte_fallback_ = model.boolean("byte_fallback", false);
  bpe.ignore_merges_ = model.boolean("ignore_merges", false);
  bpe.parse_vocab(model.at("vocab"));
  bpe.parse_merges(model.at("merges"));
  return bpe;
}

void Bpe::parse_vocab(const JsonNode& vocab) {
  const simdjson::dom::object entries = vocab.object();
  std::vector<std::string_view> keys;
  for (const auto entry : entries) keys.push_back(entry.key);
  const size_t max_id = max_id_for(keys.size());
  vocab_ = StringTable(keys.size());
  tokens_.reserve(keys.size());
  std::vector<bool> taken;
  size_t at = 0;
  for (const auto entry : entries) {
    if (at + kAhead < keys.size()) vocab_.prefetch(keys[at + kAhead]);
    ++at;
    const auto node = [&] {
      return JsonNode(entry.value, vocab.where(), "model.vocab[" + in_quotes(entry.key) + "]");
    };
    uint64_t id = 0;
    if (entry.value.get(id) || id > max_id) {
      node().integer(0, static_cast<int64_t>(max_id));  // throws
    }
    if (id >= tokens_.size()) {
      tokens_.resize(id + 1);
      taken.resize(id + 1);
    }
    if (taken[id]) {
      node().fail("the id " + std::to_string(id) + " belongs to " + in_quotes(tokens_[id]) +
                  " already");
    }
    taken[id] = true;
    tokens_[id] = entry.key;
    if (!vocab_.insert(entry.key, static_cast<int>(id))) node().fail("the token comes twice");
  }
  whole_ = std::vector<std::atomic<bool>>(tokens_.size());
  for (int b = 0; b < 256; ++b) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(b));
    fallback_ids_[b] = vocab_.find(name);
    byte_ids_[b] = vocab_.find(byte_level_char(static_cast<unsigned char>(b)));
  }
}

void Bpe::parse_merges(const JsonNode& merges) {
  std::vector<Pair> pairs;
  size_t place = 0;
  for (const simdjson::dom::element merge : merges.array()) {
    if (!is_version(merge)) pairs.push_back(Pair::parse(merge, merges, place));
    ++place;
  }
  std::vector<std::array<int, 3>> merged;  // left, right, result
  merged.reserve(pairs.size());
  std::string result;
  for (size_t rank = 0; rank < pairs.size(); ++rank) {
    if (rank + kAhead < pairs.size()) {
      vocab_.prefetch(pairs[rank + kAhead].left);
      vocab_.prefetch(pairs[rank + kAhead].right);
    }
    const Pair& pair = pairs[rank];
    const auto fail = [&](const std::string& why) { merge_node(merges, pair.place).fail(why); };
    const auto id_of = [&](std::string_view token) {
      const int id = vocab_.find(token);
      if (id < 0) fail("the vocabulary has no token " + in_quotes(token));
      return id;
    };
    const int left = id_of(pair.left), right = id_of(pair.right);
    if (pair.right.size() < prefix_.size()) {
      fail("the token " + in_quotes(pair.right) + " is shorter than continuing_subword_prefix");
    }
    result = pair.left;
    result += pair.right.substr(prefix_.size());
    // Most vocabularies list what merges make in the order of the merges.
    const int next = merged.empty() ? 0 : merged.back()[2] + 1;
    const bool is_next = static_cast<size_t>(next) < tokens_.size() && tokens_[next] == result;
    merged.push_back({left, right, is_next ? next : id_of(result)});
  }
  merges_ = MergeTable(merged.size());
  for (size_t rank = 0; rank < merged.size(); ++rank) {
    if (rank + kAhead < merged.size()) {
      merges_.prefetch(merged[rank + kAhead][0], merged[rank + kAhead][1]);
    }
    const auto [left, right, result_id] = merged[rank];
    merges_.insert(left, right, {static_cast<uint32_t>(rank), result_id});
  }
}

void Bpe::encode(std::string_view word, Scratch& scratch, std::vector<int>& ids) const {
  if (word.empty()) return;
  const int whole = token_of(word, scratch);
  std::atomic<bool>* const known = whole < 0 ? nullptr : &whole_[static_cast<size_t>(whole)];
  if (known && (ignore_merges_ || known->load(std::memory_order_relaxed))) {
    ids.push_back(whole);
    return;
  }
  merge_word(word, scratch);
  if (known && scratch.ids.size() == 1 && scratch.ids[0] == whole) {
    known->store(true, std::memory_order_relaxed);
  }
  ids.insert(ids.end(), scratch.ids.begin(), scratch.ids.end());
}

int Bpe::token_of(std::string_view word, Scratch& scratch) const {
  if (!raw_bytes_) return vocab_.find(word);
  scratch.text.clear();
  append_byte_level(word, scratch.text);
  return vocab_.find(scratch.text);
}

void Bpe::merge_word(std::string_view word, Scratch& scratch) const {
  scratch.ids.clear();
  append_symbols(word, scratch.ids);
  if (scratch.ids.size() > kShortWord) {
    merge_long(scratch.ids);
  } else {
    merge_short(scratch);
  }
}

void Bpe::append_symbols(std::string_view word, std::vector<int>& ids) const {
  if (!raw_bytes_) return append_text_symbols(word, ids);
  if (prefix_.empty() && suffix_.empty()) {
    for (const char c : word) {
      const int id = byte_ids_[static_cast<unsigned char>(c)];
      if (id < 0) break;
      ids.push_back(id);
    }
    if (ids.size() == word.size()) return;
    ids.clear();
  }
  append_text_symbols(to_byte_level(word), ids);
}

// One symbol a character, as the reference's merge_word; what it drops is dropped here.
void Bpe::append_text_symbols(std::string_view text, std::vector<int>& ids) const {
  int pending_unknown = -1;
  auto flush = [&] {
    if (pending_unknown >= 0) ids.push_back(pending_unknown);
    pending_unknown = -1;
  };
  std::string decorated;
  for (size_t at = 0; at < text.size();) {
    const size_t size = utf8_step(text.substr(at)).size;
    std::string_view symbol = text.substr(at, size);
    const bool first = at == 0, last = at + size == text.size();
    at += size;
    if ((!first && !prefix_.empty()) || (last && !suffix_.empty())) {
      decorated = (first ? "" : prefix_) + std::string(symbol) + (last ? suffix_ : "");
      symbol = decorated;
    }
    if (const int id = vocab_.find(symbol); id >= 0) {
      flush();
      ids.push_back(id);
    } else if (!(byte_fallback_ && append_fallback(symbol, ids)) && unk_token_) {
      if (!fuse_unk_) flush();
      if (pending_unknown < 0) pending_unknown = unknown_id();
    }
  }
  flush();
}

bool Bpe::append_fallback(std::string_view symbol, std::vector<int>& ids) const {
  auto id_of = [&](char c) { return fallback_ids_[static_cast<unsigned char>(c)]; };
  if (std::any_of(symbol.begin(), symbol.end(), [&](char c) { return id_of(c) < 0; })) return false;
  for (const char c : symbol) ids.push_back(id_of(c));
  return true;
}

int Bpe::unknown_id() const {
  const int id = vocab_.find(*unk_token_);
  if (id < 0) {
    throw InputError(where_ + ": model.unk_token: the vocabulary has no token " +
                     in_quotes(*unk_token_));
  }
  return id;
}

// Merges the leftmost pair of lowest rank until none is left: O(n^2), no allocation.
void Bpe::merge_short(Scratch& scratch) const {
  std::vector<int>& ids = scratch.ids;
  std::vector<Merge>& merges = scratch.merges;  // merges[i] is that of ids[i] and ids[i + 1]
  if (ids.size() < 2) return;
  merges.resize(ids.size() - 1);
  for (size_t i = 0; i < merges.size(); ++i) merges[i] = merges_.find(ids[i], ids[i + 1]);
  while (!merges.empty()) {
    size_t best = 0;
    for (size_t i = 1; i < merges.size(); ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == kNoMerge) return;
    ids[best] = merges[best].result;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(best) + 1);
    merges.erase(merges.begin() + static_cast<ptrdiff_t>(best));
    if (best > 0) merges[best - 1] = merges_.find(ids[best - 1], ids[best]);
    if (best < merges.size()) merges[best] = merges_.find(ids[best], ids[best + 1]);
  }
}

// The same by a heap of candidates over a linked list: O(n log n). A candidate is stale, and is
// passed over, when its place no longer holds a pair with its result.
void Bpe::merge_long(std::vector<int>& ids) const {
  struct Candidate {
    uint32_t rank;
    int result;
    size_t at;
    bool operator<(const Candidate& o) const {  // std::push_heap keeps the largest in front
      return rank != o.rank ? rank > o.rank : at > o.at;
    }
  };
  constexpr size_t kNone = SIZE_MAX;
  const size_t n = ids.size();
  std::vector<size_t> next(n), prev(n);
  std::vector<Candidate> heap;
  auto candidate = [&](size_t at) -> std::optional<Candidate> {
    const Merge merge = merges_.find(ids[at], ids[next[at]]);
    if (merge.rank == kNoMerge) return std::nullopt;
    return Candidate{merge.rank, merge.result, at};
  };
  auto push = [&](size_t at) {
    if (const auto c = candidate(at)) {
      heap.push_back(*c);
      std::push_heap(heap.begin(), heap.end());
    }
  };
  for (size_t i = 0; i < n; ++i) {
    next[i] = i + 1 < n ? i + 1 : kNone;
    prev[i] = i > 0 ? i - 1 : kNone;
  }
  for (size_t i = 0; i + 1 < n; ++i) {
    if (const auto c = candidate(i)) heap.push_back(*c);
  }
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate top = heap.back();
    heap.pop_back();
    const size_t at = top.at;
    if (ids[at] < 0 || next[at] == kNone) continue;
    const size_t right = next[at];
    if (merges_.find(ids[at], ids[right]).result != top.result) continue;
    ids[at] = top.result;
    ids[right] = -1;  // gone
    next[at] = next[right];
    if (next[at] != kNone) prev[next[at]] = at;
    if (prev[at] != kNone) push(prev[at]);
    if (next[at] != kNone) push(at);
  }
  std::erase(ids, -1);
}

}  // namespace r1
