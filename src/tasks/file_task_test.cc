#include "tasks/file_task.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"
#include "base/testing.h"

namespace r1 {
namespace {

class FileTasks : public ::testing::Test {
 protected:
  std::string write(const std::string& rows) const {
    const auto path = folder_.path() / "problems.jsonl";
    write_file_atomic(path, rows);
    return path.string();
  }
  void expect_refused(const std::string& rows, const std::string& why,
                      const FileTaskOptions& options = {}) const {
    try {
      FileTask(write(rows), options);
      FAIL() << rows;
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find(why), std::string::npos) << e.what();
    }
  }
  TempFolder folder_;
};

TEST_F(FileTasks, RowsSayHowTheyAreGraded) {
  const FileTask task(
      write("{\"problem\": \"Half of 3?\", \"answer\": \"3/2\"}\n\n"
            "{\"prompt\": \"2 + 2 =\", \"answer\": 4}\n"
            "{\"prompt\": \"p\", \"task\": \"countdown\", \"problem\": {\"numbers\": "
            "[3, 7, 8], \"target\": 53}}\n"));
  const auto all = task.all(Split::kTest);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_TRUE(all[0].question);
  EXPECT_EQ(all[0].prompt,
            "Half of 3?\nPlease reason step by step, and put your final answer within \\boxed{}.");
  EXPECT_EQ(task.verify(all[0], "\\boxed{1.5}").reason, "correct");
  EXPECT_FALSE(all[1].question);
  EXPECT_EQ(all[1].prompt, "2 + 2 =");
  EXPECT_EQ(task.verify(all[1], "<answer>4</answer>").reason, "correct");
  EXPECT_EQ(task.verify(all[2], "<answer>7 * 8 - 3</answer>").reason, "correct");
}

TEST_F(FileTasks, TakeAVerifierAndATemplate) {
  const FileTask task(write("{\"problem\": \"Which?\", \"answer\": \"B\"}\n"),
                      {"choice", "Q: {problem} A:", false});
  const Problem p = task.all(Split::kTest)[0];
  EXPECT_EQ(p.prompt, "Q: Which? A:");
  EXPECT_EQ(task.verify(p, "(B)").reason, "correct");
  EXPECT_EQ(task.vote("\\boxed{b}"), "B");
}

TEST_F(FileTasks, VoteByWhatTheVerifierFindsEqual) {
  const FileTask task(write("{\"problem\": \"Half of 3?\", \"answer\": \"3/2\"}\n"));
  EXPECT_TRUE(task.same_vote(task.vote("\\boxed{1.5}"), task.vote("so\n#### \\frac32")));
  EXPECT_FALSE(task.same_vote(task.vote("\\boxed{1.5}"), task.vote("\\boxed{2}")));
  EXPECT_EQ(task.vote("<think>1.5"), "");
}

TEST_F(FileTasks, HoldOutProblemsByTheirText) {
  std::string rows;
  for (int i = 0; i < 300; ++i) {
    rows += "{\"problem\": \"" + std::to_string(i) + "?\", \"answer\": \"1\"}\n";
  }
  const FileTask task(write(rows), {"", "", true});
  const auto train = task.all(Split::kTrain), test = task.all(Split::kTest);
  EXPECT_EQ(train.size() + test.size(), 300u);
  EXPECT_NEAR(static_cast<double>(test.size()), 50, 25);
  for (const Problem& p : test) EXPECT_EQ(split_of(p.key), Split::kTest);
  Rng rng(1);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(split_of(task.sample(rng, Split::kTrain).key), Split::kTrain);
  }
}

TEST_F(FileTasks, RefuseWhatIsNoProblem) {
  expect_refused("", "holds no problems");
  expect_refused("{\"answer\": 3}\n", "problems.jsonl:1");
  expect_refused("{\"problem\": \"x\"}\n", "\"answer\"");
  expect_refused("{\"problem\": \"x\", \"answer\": [3]}\n", "\"answer\"");
  expect_refused("{\"problem\": 3, \"answer\": \"3\"}\n", "\"problem\" or \"prompt\"");
  expect_refused("[]\n", "JSON object");
  expect_refused("\x01\xFF\n", "problems.jsonl:1");
  expect_refused("{\"problem\": \"x\", \"answer\": \"3\"}\nnull\n", "problems.jsonl:2");
  expect_refused("{\"problem\": \"x\", \"tests\": []}\n", "\"tests\"");
  expect_refused("{\"prompt\": \"x\", \"task\": \"countdwn\"}\n", "did you mean \"countdown\"");
  expect_refused("{\"prompt\": \"x\", \"task\": \"countdown\"}\n", "problems.jsonl:1");
  expect_refused("{\"problem\": \"x\", \"answer\": \"3\"}\n", "{problem}", {"", "no place", false});
  EXPECT_THROW(FileTask("/no/such.jsonl"), InputError);
  EXPECT_THROW(FileTask(folder_.path().string()), InputError);
  EXPECT_THROW(open_task("countdown", {}, {"math", "", false}), InputError);
  EXPECT_THROW(open_task(write("{\"problem\": \"x\", \"answer\": \"3\"}\n"), {{"k", 1}}, {}),
               InputError);
}

}  // namespace
}  // namespace r1
