#include "recipe/row_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/testing.h"

namespace r1 {
namespace {

std::vector<int> values(const std::filesystem::path& path) {
  std::vector<int> out;
  for_each_row(path, [&](const Json& row, int64_t) { out.push_back(row.at("i").get<int>()); });
  return out;
}

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const InputError& e) {
    return std::string("input: ") + e.what();
  } catch (const JobError& e) {
    return std::string("job: ") + e.what();
  }
  return "no error";
}

TEST(RowFile, AppendsAndReadsBack) {
  const TempFolder folder;
  const auto path = folder / "rows.jsonl";
  EXPECT_TRUE(values(path).empty());
  {
    RowFile rows(path);
    for (int i = 0; i < 3; ++i) rows.append({{"z", 0}, {"i", i}, {"text", "a\nb\xff"}});
    rows.sync();
  }
  RowFile(path).append({{"i", 3}, {"x", std::numeric_limits<double>::quiet_NaN()}, {"y", nullptr}});
  EXPECT_EQ(values(path), (std::vector<int>{0, 1, 2, 3}));
  const std::string text = read_file(path);
  EXPECT_TRUE(text.starts_with("{\"z\":0,\"i\":0,\"text\":\"a\\nb\xEF\xBF\xBD\"}\n")) << text;
  EXPECT_TRUE(text.ends_with("{\"i\":3,\"x\":null,\"y\":null}\n")) << text;
}

TEST(RowFile, TornLastLine) {
  const TempFolder folder;
  const auto path = folder / "rows.jsonl";
  const std::string whole = "{\"i\":1}\n{\"i\":2}\n";
  const std::string third = "{\"i\":3}\n";
  for (size_t cut = 0; cut < third.size(); ++cut) {
    write_file_atomic(path, whole + third.substr(0, cut));
    EXPECT_EQ(values(path), (std::vector<int>{1, 2}));
    RowFile rows(path);
    EXPECT_EQ(read_file(path), whole);
    rows.append({{"i", 4}});
    EXPECT_EQ(values(path), (std::vector<int>{1, 2, 4}));
  }
  write_file_atomic(path, std::string(200000, 'x'));  // torn, and longer than a block
  EXPECT_EQ(RowFile(path).path(), path);
  EXPECT_EQ(read_file(path), "");
}

TEST(RowFile, DamageBeforeTheEndIsAnError) {
  const TempFolder folder;
  const auto path = folder / "rows.jsonl";
  write_file_atomic(path, "{\"i\":1}\n{\"i\":\n");
  EXPECT_EQ(values(path), std::vector<int>{1});
  write_file_atomic(path, "{\"i\":1}\n{\"i\":\n{\"i\":3}\n");
  EXPECT_EQ(error_of([&] { values(path); }),
            "input: " + path.string() + ":2: not valid JSON at byte 6");
  write_file_atomic(path, "7\n{\"i\":3}\n");
  EXPECT_EQ(error_of([&] { values(path); }),
            "input: " + path.string() + ":1: expected a JSON object");
  EXPECT_NE(error_of([&] { values(folder.path()); }), "no error");
}

TEST(RowFile, Filter) {
  const TempFolder folder;
  const auto path = folder / "rows.jsonl";
  RowFile rows(path);
  for (int i = 0; i < 10; ++i) rows.append({{"i", i}});
  EXPECT_EQ(rows.filter([](const Json&) { return true; }), 0);
  EXPECT_EQ(rows.filter([](const Json& row) { return row["i"] < 4; }), 6);
  rows.append({{"i", 100}});
  EXPECT_EQ(values(path), (std::vector<int>{0, 1, 2, 3, 100}));
  EXPECT_EQ(folder.entries(), 1);
}

TEST(RowFile, FullDiskLosesNothing) {
  const TempFolder folder;
  const auto path = folder / "rows.jsonl";
  RowFile rows(path);
  rows.append({{"i", 1}});
  {
    const FileSizeLimit limit(100);
    const std::string error = error_of([&] {
      rows.append({{"i", 2}, {"text", std::string(500, 'x')}});
    });
    EXPECT_TRUE(error.starts_with("job: " + path.string() + ": cannot be written")) << error;
  }
  EXPECT_EQ(read_file(path), "{\"i\":1}\n");
  rows.append({{"i", 3}, {"text", std::string(500, 'x')}});
  {
    const FileSizeLimit limit(20);
    EXPECT_TRUE(error_of([&] {
                  rows.filter([](const Json& row) { return row["i"] == 3; });
                }).starts_with("job: "));
  }
  EXPECT_EQ(values(path), (std::vector<int>{1, 3}));
  EXPECT_EQ(folder.entries(), 1);
}

TEST(RowFile, Unwritable) {
  const TempFolder folder;
  EXPECT_TRUE(error_of([&] {
                RowFile rows(folder / "none/rows.jsonl");
              }).starts_with("job: " + (folder / "none/rows.jsonl").string()));
  EXPECT_TRUE(error_of([&] { RowFile rows(folder.path()); }).starts_with("job: "));
}

}  // namespace
}  // namespace r1
