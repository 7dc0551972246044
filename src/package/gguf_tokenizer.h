// A GGUF file's tokenizer metadata from and to Hugging Face's files (tokenizer.json,
// tokenizer_config.json).
//
// GGUF has a vocabulary, merges, token types and the name of a pre-tokenizer known to llama.cpp
// ("qwen2"); tokenizer.json spells everything out. Where the former cannot say what the latter
// does, the whole tokenizer.json is stored too, under the key that the format has for it
// (tokenizer.huggingface.json): llama.cpp does not read that, this program does.
#pragma once

#include <string>

#include "base/json.h"
#include "io/gguf.h"

namespace r1 {

// tokenizer.json for byte-level BPE (tokenizer.ggml.model "gpt2"). InputError names `where` and the
// key; another model, or a pre-tokenizer that this program does not know, is refused by its name.
std::string tokenizer_json_from_gguf(const GgufMetadata& metadata, const std::string& where);

// tokenizer_config.json: special tokens by name, add_bos_token, chat_template.
std::string tokenizer_config_from_gguf(const GgufMetadata& metadata, const std::string& where);

// The ids that end a completion, as the file lists them.
std::vector<int64_t> eos_ids_from_gguf(const GgufMetadata& metadata);

struct HuggingFaceTokenizer {
  std::string tokenizer;         // tokenizer.json's text
  Json config = Json::object();  // tokenizer_config.json
  std::string chat_template;
  int64_t vocab_size = 0;  // the model's, which may be wider than the tokenizer's
  std::vector<int32_t> eos_ids;
  std::string where;  // of tokenizer.json, for messages
};

// Adds the tokenizer.* keys. Returns a line for the user if llama.cpp will not cut text as this
// tokenizer does, else nothing.
std::string add_gguf_tokenizer(const HuggingFaceTokenizer& in, GgufMetadata& metadata);

}  // namespace r1
