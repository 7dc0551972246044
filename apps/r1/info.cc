// r1 info: what a model is and what it costs to run.
#include <cstdio>

#include "base/error.h"
#include "model/batch.h"
#include "session.h"

namespace r1 {
namespace {

OrderedJson describe(const std::string& name) {
  const std::filesystem::path folder = resolve_model(name);
  const ModelConfig c = read_model_config(folder);
  const Tokenizer tokenizer = parse_tokenizer(tokenizer_files(folder.string()), folder.string());
  const int64_t kv_bytes =
      KvCache::page_bytes(c, c.num_hidden_layers) / static_cast<int64_t>(kPageSize);
  return {{"folder", folder.string()},
          {"architecture", c.architecture},
          {"parameters", c.parameters()},
          {"active_parameters", c.active_parameters()},
          {"hidden_size", c.hidden_size},
          {"num_hidden_layers", c.num_hidden_layers},
          {"num_attention_heads", c.num_attention_heads},
          {"num_key_value_heads", c.num_key_value_heads},
          {"head_dim", c.head_dim},
          {"intermediate_size", c.intermediate_size},
          {"vocab_size", c.vocab_size},
          {"tokenizer_vocab_size", tokenizer.vocab_size()},
          {"max_position_embeddings", c.max_position_embeddings},
          {"rope_theta", c.rope_theta},
          {"tie_word_embeddings", c.tie_word_embeddings},
          {"eos_token_ids", c.eos_token_ids},
          {"flops_per_token", c.forward_flops(0)},
          {"kv_cache_bytes_per_token", kv_bytes}};
}

}  // namespace

void add_info(CLI::App& app) {
  auto model = std::make_shared<std::string>();
  auto common = std::make_shared<CommonOptions>();
  CLI::App* c = app.add_subcommand("info", "what a model is");
  c->add_option("MODEL", *model, kModelHelp);
  common->add_to(*c);
  c->callback([model, common] {
    const OrderedJson facts = describe(*model);
    if (common->json) {
      std::printf("%s\n", facts.dump().c_str());
      return;
    }
    for (const auto& [key, value] : facts.items()) {
      const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
      std::printf("%-26s %s\n", key.c_str(), text.c_str());
    }
  });
}

}  // namespace r1
