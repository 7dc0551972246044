// DeepseekV2ForCausalLM (DeepSeek-V2, 2024; V2-Lite): multi-head latent attention, and experts with
// softmax routing, the best of all or of the best groups (section 2.2.2). The published code scales
// weights by routed_scaling_factor where it does not normalize them; no published model normalizes.
#include "model/architecture.h"

namespace r1 {
namespace {

void read(const ConfigReader& in, ModelConfig& c) {
  in.require("norm_topk_prob", false);
  in.require("scoring_func", "softmax");
  read_deepseek(in, false, c);
  c.topk_method = in.text("topk_method", "greedy");
  if (c.topk_method == "group_limited_greedy") {
    read_expert_groups(in, c);
  } else if (c.topk_method != "greedy") {
    in.refuse("topk_method",
              "must be \"greedy\" or \"group_limited_greedy\", not " + excerpt(c.topk_method));
  }
}

void write(const ModelConfig& c, Json& json) {
  write_deepseek(c, json);
  json["scoring_func"] = "softmax";
}

}  // namespace

const Architecture kDeepseekV2 = {"DeepseekV2ForCausalLM", "deepseek_v2", read, write,
                                  standard_block};

}  // namespace r1
