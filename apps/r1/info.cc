// r1 info: what a model is, and what of it fits on this machine.
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "package/model_facts.h"
#include "session.h"

namespace r1 {
namespace {

OrderedJson config_json(const ModelConfig& c) {
  return {{"hidden_size", c.hidden_size},
          {"num_hidden_layers", c.num_hidden_layers},
          {"num_attention_heads", c.num_attention_heads},
          {"num_key_value_heads", c.num_key_value_heads},
          {"head_dim", c.head_dim},
          {"intermediate_size", c.intermediate_size},
          {"vocab_size", c.vocab_size},
          {"max_position_embeddings", c.max_position_embeddings},
          {"rope_theta", c.rope_theta},
          {"tie_word_embeddings", c.tie_word_embeddings},
          {"eos_token_ids", c.eos_token_ids},
          {"flops_per_token", c.forward_flops(0)}};
}

OrderedJson facts_json(const ModelFacts& f, double available) {
  OrderedJson json = {{"path", f.path.string()},
                      {"architecture", f.architecture},
                      {"supported", f.config.has_value()}};
  if (!f.config) json["unsupported"] = f.unsupported;
  json.update({{"parameters", f.parameters},
               {"active_parameters", f.active_parameters},
               {"prediction_parameters", f.prediction_parameters},
               {"files", f.files},
               {"missing_files", f.missing},
               {"tensors", f.tensors},
               {"bytes", f.total_bytes()}});
  for (const auto& [dtype, size] : f.bytes) {
    json["bytes_by_dtype"][std::string(dtype_name(dtype))] = size;
  }
  if (f.other_bytes > 0) json["bytes_by_dtype"]["other"] = f.other_bytes;
  if (f.config) json.update(config_json(*f.config));
  json["tokenizer_vocab_size"] = f.tokenizer_vocab_size;
  json["kv_cache_bytes_per_token"] = f.kv_bytes_per_token;
  json["memory_available"] = available;
  for (const Fit& fit : inference_fits(f, available)) {
    json["inference"][fit.dtype] = {{"weight_bytes", fit.weights},
                                    {"fits", fit.context >= 0},
                                    {"context", std::max(0.0, std::floor(fit.context))}};
  }
  const TrainingState t = training_state(f, DType::kF32);
  json["training"] = {{"master_bytes", t.masters},
                      {"gradient_bytes", t.gradients},
                      {"moment_bytes", t.moments},
                      {"copy_bytes", t.copies},
                      {"fits", t.total() <= available}};
  return json;
}

// "671.0B", "1.2 GB": three or four digits and a unit of a thousand.
std::string short_number(double value, const char* unit) {
  const char* prefixes[] = {"", "k", "M", "G", "T"};
  const bool bytes = unit[0] != '\0';
  size_t i = 0;
  for (; value >= 1000 && i + 1 < std::size(prefixes); ++i) value /= 1000;
  char text[40];
  const std::string prefix = !bytes && i == 3 ? "B" : prefixes[i];
  std::snprintf(text, sizeof text, i == 0 ? "%.0f%s%s%s" : "%.1f%s%s%s", value, bytes ? " " : "",
                prefix.c_str(), unit);
  return text;
}

std::string count_text(double value) {
  return short_number(value, "");
}

std::string bytes_text(double value) {
  return short_number(value, "B");
}

void row(const char* name, const std::string& value) {
  std::printf("%-18s %s\n", name, value.c_str());
}

void print_model(const ModelFacts& f) {
  row("model", f.path.string());
  row("architecture", f.architecture + (f.config ? "" : " (not one that r1 runs)"));
  std::string parameters = count_text(static_cast<double>(f.parameters));
  if (f.active_parameters != f.parameters) {
    parameters += ", of which a token uses " + count_text(static_cast<double>(f.active_parameters));
  }
  if (f.prediction_parameters > 0) {
    parameters += "; " + count_text(static_cast<double>(f.prediction_parameters)) +
                  " more predict further tokens";
  }
  row("parameters", parameters);
  std::string types;
  for (const auto& [dtype, size] : f.bytes) {
    types += ", " + std::string(dtype_name(dtype)) + " " + bytes_text(static_cast<double>(size));
  }
  if (f.other_bytes > 0) {
    types += ", other types " + bytes_text(static_cast<double>(f.other_bytes));
  }
  row("files", std::to_string(f.files) + ", " + std::to_string(f.tensors) + " tensors" + types);
  if (!f.missing.empty()) {
    constexpr size_t kShown = 8;
    std::string names;
    for (size_t i = 0; i < std::min(kShown, f.missing.size()); ++i) names += " " + f.missing[i];
    if (f.missing.size() > kShown) names += " ...";
    row("missing files", std::to_string(f.missing.size()) + " of " +
                             std::to_string(f.files + f.missing.size()) + ":" + names);
  }
}

void print_config(const ModelConfig& c, int tokenizer_vocab) {
  char text[200];
  std::snprintf(text, sizeof text, "%lld layers, width %lld, %lld heads (%lld of keys and values)",
                static_cast<long long>(c.num_hidden_layers), static_cast<long long>(c.hidden_size),
                static_cast<long long>(c.num_attention_heads),
                static_cast<long long>(c.num_key_value_heads));
  row("shape", text);
  row("vocabulary", std::to_string(c.vocab_size) + ", of which the tokenizer has " +
                        std::to_string(tokenizer_vocab));
  row("longest sequence", std::to_string(c.max_position_embeddings));
}

void print_fits(const ModelFacts& f, double available) {
  std::printf("\nOn this machine, with %s of memory available:\n", bytes_text(available).c_str());
  if (f.kv_bytes_per_token > 0) {
    row("  keys and values", bytes_text(static_cast<double>(f.kv_bytes_per_token)) + " a token");
  }
  for (const Fit& fit : inference_fits(f, available)) {
    std::string verdict = bytes_text(fit.weights) + " of weights";
    if (fit.context < 0) {
      verdict += ": does not fit";
    } else if (f.kv_bytes_per_token > 0) {
      verdict += ", room for " + count_text(fit.context) + " tokens";
    }
    row(("  run in " + fit.dtype).c_str(), verdict);
  }
  const TrainingState t = training_state(f, DType::kF32);
  row("  train in f32", bytes_text(t.total()) + ": masters " + bytes_text(t.masters) +
                            ", gradients " + bytes_text(t.gradients) + ", moments " +
                            bytes_text(t.moments) + ", copies for products " +
                            bytes_text(t.copies) +
                            (t.total() > available ? ": does not fit" : ", and activations"));
}

void info(const CommonOptions& common, const std::string& model) {
  const ModelFacts facts = model_facts(resolve_model(model));
  const auto available = static_cast<double>(available_memory());
  if (common.json) {
    std::printf("%s\n", facts_json(facts, available).dump().c_str());
    return;
  }
  print_model(facts);
  if (facts.config) print_config(*facts.config, facts.tokenizer_vocab_size);
  print_fits(facts, available);
}

}  // namespace

void add_info(CLI::App& app) {
  auto model = std::make_shared<std::string>();
  auto common = std::make_shared<CommonOptions>();
  CLI::App* c = app.add_subcommand("info", "what a model is, and what of it fits on this machine");
  c->add_option("MODEL", *model, kModelHelp);
  common->add_to(*c);
  c->callback([model, common] { info(*common, *model); });
}

}  // namespace r1
