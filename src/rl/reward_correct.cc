// The accuracy reward (DeepSeek-R1, section 2.2.2): the verifier's, 1 for a right answer. A
// verifier that knows shares of right ones gives those.
#include "rl/reward.h"

namespace r1 {

double reward_correct(const RewardInput& input) {
  return input.verdict.reward;
}

}  // namespace r1
