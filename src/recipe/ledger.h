// What a run cost: tokens, FLOPs, seconds and memory by stage.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace r1 {

struct StageCost {
  std::string stage;
  int64_t tokens_sampled = 0;
  int64_t tokens_trained = 0;
  double flops = 0;         // multiply-adds count as two
  double seconds = 0;       // wall clock
  int64_t peak_memory = 0;  // bytes resident, the process's highest while the stage ran
};

// Stages in the order they began. Its JSON goes into ledger.json and into checkpoints, so that the
// account goes on after a resume.
class Ledger {
 public:
  // Later costs of this stage start from the memory in use now (as far as the kernel allows).
  void begin_stage(std::string_view stage);
  // Adds to a stage, which begins if it is new; notes the peak memory.
  void add(std::string_view stage, int64_t tokens_sampled, int64_t tokens_trained, double flops,
           double seconds);

  const std::vector<StageCost>& stages() const { return stages_; }
  // Sums, and the highest peak; its name is "total".
  StageCost total() const;

  OrderedJson to_json() const;
  // InputError names `where`, the field, what was expected and what came.
  static Ledger from_json(const Json& json, const std::string& where);

 private:
  StageCost& at(std::string_view stage);

  std::vector<StageCost> stages_;
};

}  // namespace r1
