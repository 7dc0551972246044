#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace r1 {
namespace {

// YaRN (Peng et al., 2023), section 3.4: attention's temperature for a context `factor` times as
// long.
double yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

// Llama 3.1: slow pairs (those that turn less than low_freq_factor times in the original context)
// are slowed by `factor`, fast ones (high_freq_factor times) kept, those between interpolated.
double llama3_frequency(const RopeScaling& s, double frequency) {
  const double turns =
      static_cast<double>(s.original_max_position_embeddings) * frequency / (2 * std::numbers::pi);
  const double keep =
      std::clamp((turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor), 0.0, 1.0);
  return (1 - keep) * frequency / s.factor + keep * frequency;
}

// The pair, as a real number, that turns `rotations` times in the original context.
double yarn_pair(const RopeScaling& s, double theta, int64_t dim, double rotations) {
  const double length = static_cast<double>(s.original_max_position_embeddings);
  return static_cast<double>(dim) * std::log(length / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(theta));
}

// YaRN, section 3.2: pairs before the ramp keep their frequency, those after it are slowed by
// `factor`.
void apply_yarn(const RopeScaling& s, double theta, int64_t dim, std::vector<double>& frequencies) {
  if (theta <= 1) return;  // all pairs turn alike: no ramp
  double low = yarn_pair(s, theta, dim, s.beta_fast), high = yarn_pair(s, theta, dim, s.beta_slow);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(dim - 1));
  if (low == high) high += 0.001;  // as the reference has it
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double slow = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = slow * frequencies[i] / s.factor + (1 - slow) * frequencies[i];
  }
}

// The scaling out of its object.
RopeScaling read_scaling(const ConfigReader& in, const std::string& field,
                         int64_t max_position_embeddings) {
  RopeScaling s;
  s.type = in.text("rope_type", in.text("type", ""));  // "type" is the older name
  const bool typed = !s.type.empty();
  if (!typed) s.type = "default";
  in.require("partial_rotary_factor", 1.0);
  if (s.type == "default") {
    if (!typed && in.has("factor")) in.refuse("factor", "has no rope_type beside it");
    return s;
  }
  if (s.type != "llama3" && s.type != "yarn") {
    in.refuse("rope_type", "must be \"default\", \"llama3\" or \"yarn\", not " + excerpt(s.type));
  }
  constexpr int64_t kLong = 1 << 24;
  s.original_max_position_embeddings =
      in.integer("original_max_position_embeddings", 1, kLong, max_position_embeddings);
  const double ratio = static_cast<double>(max_position_embeddings) /
                       static_cast<double>(s.original_max_position_embeddings);
  s.factor = in.number("factor", 1.0, 1e6, std::max(1.0, ratio));
  if (s.type == "llama3") {
    s.low_freq_factor = in.number("low_freq_factor", 1e-6, 1e6, 1.0);
    s.high_freq_factor = in.number("high_freq_factor", 1e-6, 1e6, 4.0);
    if (s.high_freq_factor <= s.low_freq_factor) {
      in.refuse("high_freq_factor", "must be above low_freq_factor in " + field);
    }
    return s;
  }
  s.beta_fast = in.number("beta_fast", 1e-3, 1e6, 32.0);
  s.beta_slow = in.number("beta_slow", 1e-3, 1e6, 1.0);
  s.mscale = in.number("mscale", 0.0, 1e3, 0.0);
  s.mscale_all_dim = in.number("mscale_all_dim", 0.0, 1e3, 0.0);
  s.attention_factor = in.number("attention_factor", 0.0, 1e3, 0.0);
  s.truncate = in.boolean("truncate", true);
  return s;
}

}  // namespace

double RopeScaling::magnitude() const {
  if (type != "yarn") return 1;
  if (attention_factor > 0) return attention_factor;
  if (mscale > 0 && mscale_all_dim > 0) {
    return yarn_magnitude(factor, mscale) / yarn_magnitude(factor, mscale_all_dim);
  }
  return yarn_magnitude(factor, 1);
}

double RopeScaling::softmax_magnitude() const {
  if (type != "yarn" || mscale_all_dim == 0) return 1;
  const double m = yarn_magnitude(factor, mscale_all_dim);
  return m * m;
}

RopeScaling read_rope_scaling(const ConfigReader& in, int64_t max_position_embeddings) {
  in.require("partial_rotary_factor", 1.0);
  RopeScaling result;
  for (const char* field : {"rope_scaling", "rope_parameters"}) {
    const Json* object = in.object(field);
    if (object == nullptr) continue;
    const std::string where = in.where() + ": " + field;
    const ConfigReader section(*object, where);
    for (const auto& [key, value] : object->items()) {
      if (value.is_structured()) section.refuse(key, "is not supported: expected a single RoPE");
    }
    const RopeScaling read = read_scaling(section, field, max_position_embeddings);
    if (read.type != "default") result = read;
  }
  return result;
}

Json rope_scaling_json(const RopeScaling& s) {
  if (s.type == "default") return nullptr;
  Json json = {{"rope_type", s.type},
               {"factor", s.factor},
               {"original_max_position_embeddings", s.original_max_position_embeddings}};
  if (s.type == "llama3") {
    json["low_freq_factor"] = s.low_freq_factor;
    json["high_freq_factor"] = s.high_freq_factor;
    return json;
  }
  json["beta_fast"] = s.beta_fast;
  json["beta_slow"] = s.beta_slow;
  if (s.mscale > 0) json["mscale"] = s.mscale;
  if (s.mscale_all_dim > 0) json["mscale_all_dim"] = s.mscale_all_dim;
  if (s.attention_factor > 0) json["attention_factor"] = s.attention_factor;
  if (!s.truncate) json["truncate"] = false;
  return json;
}

double read_rope_theta(const ConfigReader& in) {
  const double outer = in.number("rope_theta", 1.0, 1e12, 10000.0);
  // transformers 5 moved it into rope_parameters.
  const Json* object = in.object("rope_parameters");
  return object == nullptr
             ? outer
             : ConfigReader(*object, in.where()).number("rope_theta", 1.0, 1e12, outer);
}

std::vector<double> rope_frequencies(const RopeScaling& scaling, double theta, int64_t dim) {
  std::vector<double> frequencies(static_cast<size_t>(dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
  }
  if (scaling.type == "yarn") {
    apply_yarn(scaling, theta, dim, frequencies);
  } else if (scaling.type == "llama3") {
    for (double& f : frequencies) f = llama3_frequency(scaling, f);
  }
  return frequencies;
}

}  // namespace r1
