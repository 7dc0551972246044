#include "package/gguf_tokenizer.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/error.h"

namespace r1 {
namespace {

// tokenizer.ggml.token_type (llama.cpp, llama_token_type).
enum TokenType {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kDeepSeek3Words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// What a pre-tokenizer's name stands for, as the tokenizer.json files of its models have it.
struct PreTokenizer {
  std::vector<const char*> names;     // tokenizer.ggml.pre; the first is written
  std::vector<const char*> patterns;  // regular expressions, each splitting further
  bool digits = false;                // each digit alone
  bool gpt2_words = false;            // GPT-2's regular expression, last
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;  // where the file does not say
};

const std::vector<PreTokenizer>& pre_tokenizers() {
  static const std::vector<PreTokenizer> kRows = {
      {.names = {"qwen2", "deepseek-r1-qwen", "megrez", "kormo"},
       .patterns = {kQwen2Pattern},
       .nfc = true},
      {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "smaug-bpe", "dbrx"},
       .patterns = {kLlama3Pattern},
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"deepseek-v3"},
       .patterns = {R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+", kDeepSeek3Words}},
      {.names = {"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4"},
       .patterns = {},
       .gpt2_words = true},
      {.names = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"},
       .patterns = {},
       .digits = true,
       .gpt2_words = true},
      {.names = {"default"},
       .patterns = {R"([\p{P}\$\+<=>\^~\|]+)",
                    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))",
                    R"(\p{N}+)", "[0-9][0-9][0-9]"}}};
  return kRows;
}

Json byte_level_step(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", false},
          {"use_regex", use_regex}};
}

Json pre_tokenizer_json(const PreTokenizer& pre) {
  Json steps = Json::array();
  for (const char* pattern : pre.patterns) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  if (pre.digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  steps.push_back(byte_level_step(pre.gpt2_words));
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

// --- reading metadata ---

class Keys {
 public:
  Keys(const GgufMetadata& metadata, const std::string& where)
      : metadata_(metadata), where_(where) {}

  [[noreturn]] void fail(const std::string& key, const std::string& what) const {
    throw InputError(where_ + ": metadata " + in_quotes(key) + ": " + what);
  }
  const Json* find(const std::string& key) const {
    const auto it = metadata_.find(key);
    return it == metadata_.end() ? nullptr : &it->second.value;
  }
  std::string text(const std::string& key, const std::string& fallback) const {
    const Json* value = find(key);
    if (!value) return fallback;
    if (!value->is_string()) fail(key, "expected a string");
    return value->get<std::string>();
  }
  bool boolean(const std::string& key, bool fallback) const {
    const Json* value = find(key);
    if (!value) return fallback;
    if (!value->is_boolean()) fail(key, "expected a bool");
    return value->get<bool>();
  }
  // An array of strings; empty if there is none.
  std::vector<std::string> strings(const std::string& key) const {
    std::vector<std::string> out;
    const Json* value = find(key);
    if (!value) return out;
    const GgufType type = metadata_.find(key)->second.type;
    if (!value->is_array() || type != GgufType::kString) fail(key, "expected an array of strings");
    for (const Json& text : *value) out.push_back(text.get<std::string>());
    return out;
  }

 private:
  const GgufMetadata& metadata_;
  const std::string& where_;
};

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTokenTypes = "tokenizer.ggml.token_type";
constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr const char* kPre = "tokenizer.ggml.pre";
constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kAddBos = "tokenizer.ggml.add_bos_token";
constexpr const char* kAddEos = "tokenizer.ggml.add_eos_token";
constexpr const char* kBosId = "tokenizer.ggml.bos_token_id";
constexpr const char* kEosId = "tokenizer.ggml.eos_token_id";
constexpr const char* kPadId = "tokenizer.ggml.padding_token_id";
constexpr const char* kTemplate = "tokenizer.chat_template";
constexpr const char* kWholeFile = "tokenizer.huggingface.json";
// Further ids that end a completion.
constexpr const char* kEndIds[] = {kEosId, "tokenizer.ggml.eot_token_id",
                                   "tokenizer.ggml.eom_token_id"};

const PreTokenizer& find_pre_tokenizer(const Keys& keys) {
  const std::string name = keys.text(kPre, "default");
  std::string known;
  for (const PreTokenizer& pre : pre_tokenizers()) {
    for (const char* candidate : pre.names) {
      if (name == candidate) return pre;
      known += (known.empty() ? "" : ", ") + std::string(candidate);
    }
  }
  keys.fail(kPre, "expected one of " + known + ", found " + in_quotes(name));
}

// The token of an id that a key gives, or nothing.
std::string token_of(const Keys& keys, const char* key, const std::vector<std::string>& tokens) {
  const Json* id = keys.find(key);
  if (!id) return "";
  if (!id->is_number_integer() || *id < 0 || *id >= tokens.size()) {
    keys.fail(key, "expected the id of one of the " + std::to_string(tokens.size()) + " tokens");
  }
  return tokens[id->get<size_t>()];
}

// BOS before, EOS after the text (tokenizers, processors/template).
Json template_processing(const std::string& bos, const std::string& eos, const Json& ids) {
  const auto piece = [](const std::string& token, int type) {
    return Json{{"SpecialToken", {{"id", token}, {"type_id", type}}}};
  };
  Json single = Json::array(), special = Json::object();
  if (!bos.empty()) single.push_back(piece(bos, 0));
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  if (!eos.empty()) single.push_back(piece(eos, 0));
  Json pair = single;
  if (!bos.empty()) pair.push_back(piece(bos, 1));
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  if (!eos.empty()) pair.push_back(piece(eos, 1));
  for (const std::string& token : {bos, eos}) {
    if (token.empty()) continue;
    special[token] = {{"id", token}, {"ids", {ids.at(token)}}, {"tokens", {token}}};
  }
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(special)}};
}

struct Vocabulary {
  Json vocab = Json::object(), added = Json::array();
  Json ids = Json::object();  // of the added tokens
};

Vocabulary read_vocabulary(const Keys& keys, const std::vector<std::string>& tokens) {
  const Json* types = keys.find(kTokenTypes);
  if (types && (!types->is_array() || types->size() != tokens.size())) {
    keys.fail(kTokenTypes, "expected an array of " + std::to_string(tokens.size()) + " types");
  }
  Vocabulary out;
  std::set<std::string_view> seen;
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string& token = tokens[id];
    const Json type = types ? (*types)[id] : Json(kNormal);
    if (!type.is_number_integer()) keys.fail(kTokenTypes, "expected integers");
    // Rows of the embedding that no token has, and the names given to them.
    if (type == kUnused || token.empty()) continue;
    if (!seen.insert(token).second) {
      keys.fail(kTokens, "the token " + in_quotes(token) + " comes twice");
    }
    if (type == kControl || type == kUserDefined || type == kUnknown) {
      out.ids[token] = id;
      out.added.push_back({{"id", id},
                           {"content", token},
                           {"single_word", false},
                           {"lstrip", false},
                           {"rstrip", false},
                           {"normalized", false},
                           {"special", type != kUserDefined}});
    } else {
      out.vocab[token] = id;
    }
  }
  return out;
}

Json rebuild_tokenizer(const GgufMetadata& metadata, const std::string& where) {
  const Keys keys(metadata, where);
  if (const std::string model = keys.text(kModel, ""); model != "gpt2") {
    keys.fail(kModel, "expected \"gpt2\" (byte-level BPE), found " + in_quotes(model));
  }
  const PreTokenizer& pre = find_pre_tokenizer(keys);
  const std::vector<std::string> tokens = keys.strings(kTokens);
  if (tokens.empty()) keys.fail(kTokens, "expected a vocabulary, found none");
  Vocabulary vocabulary = read_vocabulary(keys, tokens);
  Json post = byte_level_step(false);
  const std::string bos = keys.boolean(kAddBos, pre.add_bos) ? token_of(keys, kBosId, tokens) : "";
  const std::string eos = keys.boolean(kAddEos, false) ? token_of(keys, kEosId, tokens) : "";
  if (!bos.empty() || !eos.empty()) {
    Json ids = vocabulary.ids;
    for (const std::string& token : {bos, eos}) {
      if (vocabulary.vocab.contains(token)) ids[token] = vocabulary.vocab[token];
    }
    post = {{"type", "Sequence"},
            {"processors", Json::array({post, template_processing(bos, eos, ids)})}};
  }
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(vocabulary.added)},
          {"normalizer", pre.nfc ? Json{{"type", "NFC"}} : Json()},
          {"pre_tokenizer", pre_tokenizer_json(pre)},
          {"post_processor", std::move(post)},
          {"decoder", byte_level_step(true)},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", pre.ignore_merges},
            {"vocab", std::move(vocabulary.vocab)},
            {"merges", keys.strings(kMerges)}}}};
}

// --- what of a tokenizer.json changes ids ---

// Steps of a Sequence, nested ones too, without what only moves offsets.
void append_steps(const Json& step, const char* list, Json& out) {
  if (!step.is_object()) return;
  if (step.value("type", "") == "Sequence" && step.contains(list)) {
    for (const Json& inner : step[list]) append_steps(inner, list, out);
    return;
  }
  Json plain = step;
  plain.erase("trim_offsets");
  if (plain.value("type", "") == "ByteLevel" && !plain.contains("use_regex")) {
    plain["use_regex"] = true;
  }
  out.push_back(std::move(plain));
}

Json steps(const Json& root, const char* key, const char* list) {
  Json out = Json::array();
  if (const auto it = root.find(key); it != root.end()) append_steps(*it, list, out);
  return out;
}

// The tokens that are put around a text.
Json around_text(const Json& root) {
  Json out = Json::array();
  for (const Json& step : steps(root, "post_processor", "processors")) {
    if (step.value("type", "") != "ByteLevel") out.push_back(step.value("single", Json()));
  }
  return out;
}

std::string merge_text(const Json& merge) {
  if (!merge.is_array()) return merge.get<std::string>();
  return merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>();
}

// Two tokenizers with equal values of this give equal ids.
Json essence(const Json& root) {
  const Json& model = root.at("model");
  Json merges = Json::array(), added = Json::array();
  Json tokens = model.at("vocab");
  for (const Json& merge : model.at("merges")) merges.push_back(merge_text(merge));
  const Json normalizer = steps(root, "normalizer", "normalizers");
  for (const Json& token : root.value("added_tokens", Json::array())) {
    tokens[token.at("content").get<std::string>()] = token.at("id");
    Json item = {token.at("content"), token.value("special", false), token.value("lstrip", false),
                 token.value("rstrip", false), token.value("single_word", false)};
    // In text that no normalizer changes, both are the same.
    if (!normalizer.empty()) item.push_back(token.value("normalized", false));
    added.push_back(std::move(item));
  }
  std::sort(added.begin(), added.end());
  const auto flag = [&](const char* key) { return model.value(key, false); };
  const auto text = [&](const char* key) {
    const auto it = model.find(key);
    return it == model.end() || it->is_null() ? Json("") : *it;
  };
  return {tokens,
          merges,
          added,
          normalizer,
          steps(root, "pre_tokenizer", "pretokenizers"),
          around_text(root),
          flag("ignore_merges"),
          flag("byte_fallback"),
          text("unk_token"),
          text("continuing_subword_prefix"),
          text("end_of_word_suffix")};
}

// --- writing metadata ---

// The row that splits text as the file does; null if llama.cpp has none.
const PreTokenizer* matching_pre_tokenizer(const Json& root) {
  const Json wanted = steps(root, "pre_tokenizer", "pretokenizers");
  for (const PreTokenizer& pre : pre_tokenizers()) {
    Json candidate = Json::array();
    append_steps(pre_tokenizer_json(pre), "pretokenizers", candidate);
    if (candidate == wanted) return &pre;
  }
  return nullptr;
}

// A special token in tokenizer_config.json: its text, or an object with it.
std::string special_token(const Json& config, const char* key) {
  const auto it = config.find(key);
  if (it == config.end()) return "";
  if (it->is_string()) return it->get<std::string>();
  return it->is_object() ? it->value("content", "") : "";
}

struct Tokens {
  Json texts = Json::array(), types = Json::array();
  std::map<std::string, int64_t> ids;
};

Tokens collect_tokens(const HuggingFaceTokenizer& in, const Json& root) {
  std::map<int64_t, std::pair<std::string, int>> by_id;
  Tokens out;
  const auto place = [&](const std::string& token, const Json& id, int type) {
    if (!id.is_number_integer() || id < 0 || id >= in.vocab_size) {
      throw InputError(in.where + ": expected the id of " + in_quotes(token) +
                       " to be below the model's vocab_size " + std::to_string(in.vocab_size));
    }
    by_id[id.get<int64_t>()] = {token, type};
    out.ids[token] = id.get<int64_t>();
  };
  for (const auto& [token, id] : root.at("model").at("vocab").items()) place(token, id, kNormal);
  for (const Json& added : root.value("added_tokens", Json::array())) {
    place(added.at("content").get<std::string>(), added.at("id"),
          added.value("special", false) ? kControl : kUserDefined);
  }
  for (int64_t id = 0; id < in.vocab_size; ++id) {
    const auto it = by_id.find(id);
    const bool there = it != by_id.end();
    out.texts.push_back(there ? it->second.first : "[PAD" + std::to_string(id) + "]");
    out.types.push_back(there ? it->second.second : static_cast<int>(kUnused));
  }
  return out;
}

// The token that tokenizer.json's template puts before a text, or nothing.
std::string token_before_text(const Json& root) {
  for (const Json& single : around_text(root)) {
    if (single.is_array() && !single.empty() && single[0].contains("SpecialToken")) {
      return single[0]["SpecialToken"].at("id").get<std::string>();
    }
  }
  return "";
}

void add_special_ids(const HuggingFaceTokenizer& in, const std::string& before,
                     const Tokens& tokens, GgufMetadata& metadata) {
  const auto id_of = [&](const char* key,
                         const std::string& fallback = "") -> std::optional<int64_t> {
    const std::string token = special_token(in.config, key);
    const auto it = tokens.ids.find(token.empty() ? fallback : token);
    return it == tokens.ids.end() ? std::nullopt : std::optional(it->second);
  };
  const auto set = [&](const char* key, std::optional<int64_t> id) {
    if (id) metadata[key] = GgufValue::u32(static_cast<uint64_t>(*id));
  };
  set(kBosId, id_of("bos_token", before));
  set(kPadId, id_of("pad_token"));
  // The tokenizer's own first, then the model's others.
  std::vector<int64_t> ends;
  if (const auto id = id_of("eos_token")) ends.push_back(*id);
  for (const int64_t id : in.eos_ids) {
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  }
  for (size_t i = 0; i < std::min(ends.size(), std::size(kEndIds)); ++i) set(kEndIds[i], ends[i]);
}

}  // namespace

std::string tokenizer_json_from_gguf(const GgufMetadata& metadata, const std::string& where) {
  const Keys keys(metadata, where);
  if (std::string whole = keys.text(kWholeFile, ""); !whole.empty()) return whole;
  return rebuild_tokenizer(metadata, where).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string tokenizer_config_from_gguf(const GgufMetadata& metadata, const std::string& where) {
  const Keys keys(metadata, where);
  const std::vector<std::string> tokens = keys.strings(kTokens);
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false}};
  for (const auto& [name, key] :
       {std::pair{"bos_token", kBosId}, {"eos_token", kEosId}, {"pad_token", kPadId}}) {
    if (std::string token = token_of(keys, key, tokens); !token.empty()) config[name] = token;
  }
  if (keys.find(kAddBos)) config["add_bos_token"] = keys.boolean(kAddBos, false);
  if (keys.find(kAddEos)) config["add_eos_token"] = keys.boolean(kAddEos, false);
  if (std::string text = keys.text(kTemplate, ""); !text.empty()) config["chat_template"] = text;
  return config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::vector<int64_t> eos_ids_from_gguf(const GgufMetadata& metadata) {
  std::vector<int64_t> ids;
  for (const char* key : kEndIds) {
    const auto it = metadata.find(key);
    if (it == metadata.end() || !it->second.value.is_number_integer()) continue;
    const auto id = it->second.value.get<int64_t>();
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  return ids;
}

std::string add_gguf_tokenizer(const HuggingFaceTokenizer& in, GgufMetadata& metadata) {
  std::string warning;
  const Json root = parse_json(in.tokenizer, in.where);
  try {
    const Json& model = root.at("model");
    if (model.value("type", "BPE") != "BPE") {
      throw InputError(in.where + ": expected a model of type BPE, found " +
                       in_quotes(model.value("type", "")));
    }
    const PreTokenizer* pre = matching_pre_tokenizer(root);
    if (!pre) {
      warning = in.where +
                ": llama.cpp has no such pre-tokenizer: it will cut text as for \"gpt-2\", into "
                "other tokens than this program does";
    }
    Tokens tokens = collect_tokens(in, root);
    metadata[kModel] = GgufValue::string("gpt2");
    metadata[kPre] = GgufValue::string(pre ? pre->names[0] : "gpt-2");
    metadata[kTokens] = {GgufType::kString, std::move(tokens.texts)};
    metadata[kTokenTypes] = {GgufType::kI32, std::move(tokens.types)};
    Json merges = Json::array();
    for (const Json& merge : model.at("merges")) merges.push_back(merge_text(merge));
    metadata[kMerges] = {GgufType::kString, std::move(merges)};
    const std::string before = token_before_text(root);
    add_special_ids(in, before, tokens, metadata);
    metadata[kAddBos] = GgufValue::boolean(in.config.value("add_bos_token", !before.empty()));
    if (!in.chat_template.empty()) metadata[kTemplate] = GgufValue::string(in.chat_template);
    if (essence(rebuild_tokenizer(metadata, in.where)) != essence(root)) {
      metadata[kWholeFile] = GgufValue::string(in.tokenizer);
    }
  } catch (const Json::exception&) {
    throw InputError(in.where + ": not a tokenizer.json that transformers writes: a field of it " +
                     "is missing or of the wrong kind");
  }
  return warning;
}

}  // namespace r1
