#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace r1 {
namespace {

ScheduleOptions options(const char* type, int64_t warmup = 0) {
  ScheduleOptions o;
  o.lr_scheduler_type = type;
  o.warmup_steps = warmup;
  return o;
}

constexpr const char* kTypes[] = {"constant", "linear", "cosine", "warmup_stable_decay"};

TEST(Schedule, WarmUpRisesToThePeakWithoutAStepAtZero) {
  for (const char* type : kTypes) {
    const ScheduleOptions o = options(type, 4);
    EXPECT_DOUBLE_EQ(schedule_factor(o, 0, 100), 0.25) << type;
    EXPECT_DOUBLE_EQ(schedule_factor(o, 1, 100), 0.5) << type;
    EXPECT_DOUBLE_EQ(schedule_factor(o, 3, 100), 1.0) << type;
    EXPECT_DOUBLE_EQ(schedule_factor(o, 4, 100), 1.0) << type;
  }
}

TEST(Schedule, ShapesByHand) {
  // 101 steps without warm-up: step s is at s / 100 of the way from 1 to 0.1.
  const ScheduleOptions linear = options("linear"), cosine = options("cosine");
  EXPECT_DOUBLE_EQ(schedule_factor(linear, 0, 101), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor(linear, 25, 101), 0.1 + 0.9 * 0.75);
  EXPECT_DOUBLE_EQ(schedule_factor(linear, 100, 101), 0.1);
  EXPECT_DOUBLE_EQ(schedule_factor(cosine, 25, 101), 0.1 + 0.9 * (0.5 + std::sqrt(0.125)));
  EXPECT_DOUBLE_EQ(schedule_factor(cosine, 50, 101), 0.1 + 0.9 * 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor(cosine, 100, 101), 0.1);
  for (int64_t s = 0; s < 101; ++s) EXPECT_EQ(schedule_factor(options("constant"), s, 101), 1.0);

  // The last fifth of 100 steps decays, from step 80 to step 99.
  const ScheduleOptions stable = options("warmup_stable_decay", 10);
  for (int64_t s = 9; s <= 80; ++s) EXPECT_EQ(schedule_factor(stable, s, 100), 1.0) << s;
  EXPECT_DOUBLE_EQ(schedule_factor(stable, 81, 100), 1.0 - 0.9 / 19);
  EXPECT_DOUBLE_EQ(schedule_factor(stable, 99, 100), 0.1);
}

TEST(Schedule, FallsSteadilyToTheLastRateAndStaysThere) {
  for (const char* type : {"linear", "cosine", "warmup_stable_decay"}) {
    for (const double least : {0.0, 0.3, 1.0}) {
      for (const int64_t steps : {3, 4, 10, 57}) {
        ScheduleOptions o = options(type, 1);
        o.min_lr_ratio = least;
        o.decay_ratio = 1;
        double before = 1;
        for (int64_t s = 1; s < steps; ++s) {
          const double now = schedule_factor(o, s, steps);
          EXPECT_LE(now, before) << type << " " << s << " of " << steps;
          EXPECT_GE(now, least) << type << " " << s << " of " << steps;
          before = now;
        }
        EXPECT_NEAR(before, least, 1e-15) << type << " " << steps;
        EXPECT_NEAR(schedule_factor(o, steps + 5, steps), least, 1e-15) << type << " " << steps;
      }
    }
  }
}

TEST(Schedule, OddSettingsStayInRange) {
  for (const char* type : kTypes) {
    for (const int64_t warmup : {0, 1, 3, 50}) {
      for (const double decay : {0.0, 0.5, 1.0}) {
        ScheduleOptions o = options(type, warmup);
        o.decay_ratio = decay;
        o.min_lr_ratio = 0;
        for (const int64_t steps : {1, 2, 5, 20}) {
          for (int64_t s = 0; s < steps; ++s) {
            const double factor = schedule_factor(o, s, steps);
            EXPECT_TRUE(factor >= 0 && factor <= 1) << type << " " << s << " of " << steps;
          }
          EXPECT_GT(schedule_factor(o, 0, steps), 0) << type << ": the first update moves nothing";
        }
      }
    }
  }
}

}  // namespace
}  // namespace r1
