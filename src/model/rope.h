// Rotary position embeddings (Su et al., 2021), and the ways that published models stretch them to
// contexts longer than they were trained on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config_reader.h"

namespace r1 {

// config.json's rope_scaling. Fields that a type has not are as they are here.
struct RopeScaling {
  std::string type = "default";  // "default", "llama3" or "yarn"
  double factor = 1;
  int64_t original_max_position_embeddings = 0;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double mscale = 0, mscale_all_dim = 0;             // yarn; 0: not given
  double attention_factor = 0;                       // yarn; 0: follows from the others
  bool truncate = true;                              // yarn: the ramp begins and ends at integers

  // What the cosines and sines are multiplied by: 1 but for yarn.
  double magnitude() const;
  // YaRN's temperature as DeepSeek has it, on the softmax: what its scale is multiplied by.
  double softmax_magnitude() const;
};

// rope_scaling, or rope_parameters that transformers 5 has in its place. A type that this program
// lacks is an InputError.
RopeScaling read_rope_scaling(const ConfigReader& in, int64_t max_position_embeddings);
Json rope_scaling_json(const RopeScaling& scaling);
double read_rope_theta(const ConfigReader& in);

// Turns per position of pair i in [0, dim / 2), in radians.
std::vector<double> rope_frequencies(const RopeScaling& scaling, double theta, int64_t dim);

}  // namespace r1
