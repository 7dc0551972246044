#include "recipe/run_folder.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "base/testing.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const InputError& e) {
    return std::string("input: ") + e.what();
  } catch (const JobError& e) {
    return std::string("job: ") + e.what();
  }
  return "no error";
}

// "grpo 1, eval 1, ...": the stages and steps of a file's rows.
std::string rows_of(const fs::path& path) {
  std::string out;
  for_each_row(path, [&](const Json& row, int64_t) {
    if (!out.empty()) out += ", ";
    out += row.value("stage", std::string("-")) + " " + row.at("step").dump();
  });
  return out;
}

fs::path event_file(const fs::path& folder) {
  fs::path found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with("events.out.tfevents.")) continue;
    EXPECT_TRUE(found.empty()) << "two event files";
    found = entry.path();
  }
  return found;
}

CompletionRow completion(int64_t step) {
  CompletionRow row;
  row.step = step;
  row.prompt = "2 3 -> 6";
  row.completion = "2 * 3";
  row.tokens = {"2", " *", " 3"};
  row.logprobs = {-0.25f, -1.0f / 3, 0.0f};
  row.rewards = {{"format", 0.1}, {"accuracy", 1.0}};
  row.reward = 1.1;
  row.advantage = 0.5;
  row.correct = true;
  row.reason = "right";
  return row;
}

void add_steps(RunFolder& run, int64_t first, int64_t last) {
  for (int64_t step = first; step <= last; ++step) {
    run.add_metrics({{"stage", "grpo"}, {"step", step}, {"reward", 0.5 * double(step)}});
    const std::vector<CompletionRow> rows(2, completion(step));
    run.add_completions("grpo", rows);
  }
}

TEST(RunFolder, WritesWhatTheFormatSays) {
  const TempFolder folder;
  RunFolder run(folder / "runs/a");
  run.write_recipe("name = \"a\"\n");
  run.add_metrics({{"stage", "eval"}, {"step", 0}, {"label", "before"}, {"accuracy", 0.125}});
  run.add_completions("grpo", std::vector<CompletionRow>{completion(1)});
  Ledger ledger;
  ledger.add("grpo", 1, 2, 3, 4);
  run.write_ledger(ledger);
  run.sync();
  EXPECT_TRUE(fs::is_directory(run.checkpoints_path()));
  EXPECT_EQ(read_file(run.recipe_path()), "name = \"a\"\n");
  EXPECT_EQ(parse_json(read_file(run.ledger_path()), "l")["total"]["tokens_trained"], 2);
  const Json row = parse_json(read_file(run.path() / "metrics.jsonl"), "m");
  EXPECT_EQ(row["accuracy"], 0.125);
  EXPECT_GT(row["time"], 1.6e9);
  EXPECT_EQ(
      read_file(run.path() / "completions/grpo.jsonl"),
      "{\"step\":1,\"correct\":true,\"reward\":1.1,\"rewards\":{\"format\":0.1,\"accuracy\":1.0}"
      ",\"advantage\":0.5,\"reason\":\"right\",\"prompt\":\"2 3 -> 6\",\"completion\":\"2 * 3\""
      ",\"tokens\":[\"2\",\" *\",\" 3\"],\"logprobs\":[-0.25,-0.3333,0.0]}\n");
}

TEST(RunFolder, PiecesOfACharacterJoinTheTokenThatEndsIt) {
  const TempFolder folder;
  RunFolder run(folder / "a");
  CompletionRow row;
  row.completion = "a\xF0\x9F\x98\x80z\xC3";
  row.tokens = {"a\xF0", "\x9F\x98", "\x80z", "\xC3"};
  row.logprobs = {0, 0, 0, 0};
  run.add_completions("s", std::vector<CompletionRow>{row});
  const Json json = parse_json(read_file(folder / "a/completions/s.jsonl"), "c");
  EXPECT_EQ(json["tokens"], Json::array({"a", "", "\xF0\x9F\x98\x80z", "\xEF\xBF\xBD"}));
}

TEST(RunFolder, ResumeDropsLaterRowsOfTheStage) {
  const TempFolder folder;
  const fs::path path = folder / "a";
  {
    RunFolder run(path);
    run.add_metrics({{"stage", "sft"}, {"step", 9}, {"loss", 1.0}});
    add_steps(run, 1, 4);
  }
  {
    std::ofstream(path / "metrics.jsonl", std::ios::app) << "{\"stage\":\"grpo\",\"st";  // kill -9
    std::ofstream(path / "completions/grpo.jsonl", std::ios::app) << "{";
  }
  RunFolder run(path);
  run.drop_after("grpo", 2);
  EXPECT_EQ(rows_of(path / "metrics.jsonl"), "sft 9, grpo 1, grpo 2");
  EXPECT_EQ(rows_of(path / "completions/grpo.jsonl"), "- 1, - 1, - 2, - 2");
  add_steps(run, 3, 3);
  EXPECT_EQ(rows_of(path / "metrics.jsonl"), "sft 9, grpo 1, grpo 2, grpo 3");
  EXPECT_EQ(rows_of(path / "completions/grpo.jsonl"), "- 1, - 1, - 2, - 2, - 3, - 3");
  run.drop_after("sft", -1);
  run.drop_after("grpo", 3);
  run.drop_after("none", 0);
  EXPECT_EQ(rows_of(path / "metrics.jsonl"), "grpo 1, grpo 2, grpo 3");
}

TEST(RunFolder, ResumeKeepsWhatWasChanged) {
  const TempFolder folder;
  RunFolder run(folder / "a");
  run.add_metrics({{"stage", "grpo"}, {"step", 3}, {"change", "grpo.max_steps"}});
  add_steps(run, 1, 1);
  run.drop_after("grpo", -1);
  EXPECT_EQ(rows_of(folder / "a" / "metrics.jsonl"), "grpo 3");
}

TEST(RunFolder, HoldsDataSets) {
  const TempFolder folder;
  RunFolder run(folder / "a");
  const std::vector<OrderedJson> rows = {{{"prompt", "1 +"}, {"completion", " 2\n"}},
                                         {{"prompt", "\xff"}, {"completion", ""}}};
  run.write_dataset("reject", rows);
  EXPECT_EQ(read_file(run.dataset_path("reject")),
            "{\"prompt\":\"1 +\",\"completion\":\" 2\\n\"}\n"
            "{\"prompt\":\"\xEF\xBF\xBD\",\"completion\":\"\"}\n");
  run.drop_after("reject", 0);
  EXPECT_TRUE(fs::exists(run.dataset_path("reject")));
  run.drop_after("reject", -1);  // it is to begin anew
  EXPECT_FALSE(fs::exists(run.dataset_path("reject")));
  EXPECT_THROW(run.write_dataset("../x", rows), InputError);
}

// The event file is metrics.jsonl over again, also after a resume that dropped rows.
TEST(RunFolder, EventsFollowTheMetrics) {
  const TempFolder folder;
  const fs::path resumed = folder / "a", straight = folder / "b";
  {
    RunFolder run(resumed);
    add_steps(run, 1, 4);
  }
  {
    RunFolder run(resumed);
    run.drop_after("grpo", 2);
    add_steps(run, 3, 3);
  }
  {
    RunFolder run(straight);
    add_steps(run, 1, 3);
  }
  const std::string events = read_file(event_file(resumed));
  EXPECT_NE(events.find("grpo/reward"), std::string::npos);
  EXPECT_EQ(events.size(), read_file(event_file(straight)).size());
  EXPECT_EQ(events.find("time"), std::string::npos);
}

TEST(RunFolder, BadFolders) {
  const TempFolder folder;
  write_file_atomic(folder / "file", "x");
  EXPECT_TRUE(error_of([&] {
                RunFolder run(folder / "file");
              }).starts_with("job: " + (folder / "file").string()));
  EXPECT_TRUE(error_of([&] { RunFolder run(folder / "file/a"); }).starts_with("job: "));
  // Somebody's files, not a run's.
  EXPECT_TRUE(error_of([&] {
                RunFolder run(folder.path());
              }).starts_with("input: " + folder.path().string()));
  EXPECT_EQ(folder.entries(), 1);
  RunFolder run(folder / "a");
  EXPECT_EQ(error_of([&] { run.add_completions("../x", {}); }),
            "input: stage name \"../x\": expected 1 to 64 letters, digits, - and _");
}

TEST(RunFolder, OneWriterAtATime) {
  const TempFolder folder;
  {
    RunFolder run(folder / "a");
    EXPECT_EQ(error_of([&] { RunFolder second(folder / "a"); }),
              "job: " + (folder / "a").string() + ": another process is writing to this run");
  }
  EXPECT_EQ(error_of([&] { RunFolder again(folder / "a"); }), "no error");
}

TEST(RunFolder, FullDiskLosesNothing) {
  const TempFolder folder;
  RunFolder run(folder / "a");
  add_steps(run, 1, 2);
  const std::string completions = read_file(folder / "a/completions/grpo.jsonl");
  {
    const FileSizeLimit limit(completions.size() + 10);
    EXPECT_TRUE(error_of([&] {
                  run.add_completions("grpo", std::vector<CompletionRow>{completion(3)});
                }).starts_with("job: " + (folder / "a/completions/grpo.jsonl").string()));
    EXPECT_EQ(error_of([&] { run.write_recipe("name = \"a\"\n"); }), "no error");
    EXPECT_TRUE(error_of([&] { run.write_recipe(std::string(10000, '#')); }).starts_with("job: "));
  }
  EXPECT_EQ(read_file(folder / "a/completions/grpo.jsonl"), completions);
  EXPECT_EQ(read_file(run.recipe_path()), "name = \"a\"\n");
}

// A process killed while it writes leaves rows that read, and a folder that opens.
TEST(RunFolder, KilledWhileWriting) {
  const TempFolder folder;
  for (int i = 0; i < 5; ++i) {
    const fs::path path = folder / ("run" + std::to_string(i));
    const pid_t child = ::fork();
    if (child == 0) {
      RunFolder run(path);
      add_steps(run, 1, 1 << 20);
      ::_exit(0);
    }
    ::usleep(20000 + 7000 * static_cast<unsigned>(i));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    RunFolder run(path);
    int64_t last = 0;
    for_each_row(path / "metrics.jsonl", [&](const Json& row, int64_t line) {
      EXPECT_EQ(row["step"], line);
      last = line;
    });
    run.drop_after("grpo", last / 2);
    add_steps(run, last / 2 + 1, last / 2 + 1);
    int64_t rows = 0;
    for_each_row(path / "completions/grpo.jsonl", [&](const Json&, int64_t) { ++rows; });
    EXPECT_EQ(rows, 2 * (last / 2 + 1));
  }
}

}  // namespace
}  // namespace r1
