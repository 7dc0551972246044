#include "tasks/procedural.h"

#include "base/error.h"

namespace r1 {

Problem ProceduralTask::sample(Rng& rng, Split split) const {
  for (int tries = 0; tries < 10000; ++tries) {
    std::optional<Problem> problem = make(rng, split);
    if (problem && split_of(problem->key) == split) return *std::move(problem);
  }
  throw JobError(name() + ": these knobs leave the " + (split == Split::kTrain ? "train" : "test") +
                 " split without problems");
}

}  // namespace r1
