#include "base/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "base/testing.h"

namespace r1 {
namespace {
namespace fs = std::filesystem;

// The message, after checking that it is one line.
template <class Error, class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    return e.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void put(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST(ReadFile, WholeFile) {
  const TempFolder folder;
  const std::string text("a\0\nb\xff", 5);
  put(folder / "f", text);
  EXPECT_EQ(read_file(folder / "f"), text);
  EXPECT_EQ(read_file(folder / "f", 5), text);
  put(folder / "empty", "");
  EXPECT_EQ(read_file(folder / "empty"), "");
  const std::string large(3 << 20, 'x');
  put(folder / "large", large);
  EXPECT_EQ(read_file(folder / "large"), large);
}

TEST(ReadFile, FilesWhoseSizeIsUnknown) {
  if (!fs::exists("/proc/self/stat")) GTEST_SKIP() << "no /proc here";
  EXPECT_FALSE(read_file("/proc/self/stat").empty());
  EXPECT_TRUE(contains(error_of<InputError>([] { read_file("/proc/self/stat", 3); }), "at most 3"));
}

TEST(ReadFile, Refuses) {
  const TempFolder folder;
  put(folder / "f", "12345");
  const auto message = [](const fs::path& path, uint64_t max = 100) {
    return error_of<InputError>([&] { read_file(path, max); });
  };
  const std::string missing = (folder / "none").string();
  EXPECT_EQ(message(missing), missing + ": cannot be opened: No such file or directory");
  EXPECT_TRUE(contains(message(folder.path()), "expected a regular file, found a folder"));
  EXPECT_TRUE(contains(message(folder / "f", 4), "expected at most 4 bytes"));
  EXPECT_TRUE(contains(message("/dev/zero"), "found a special file"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_TRUE(contains(message(folder / "pipe"), "found a special file"));  // and does not wait
}

TEST(WriteFileAtomic, WritesAndReplaces) {
  const TempFolder folder;
  write_file_atomic(folder / "f", "one");
  EXPECT_EQ(read_file(folder / "f"), "one");
  const MappedFile old(folder / "f");
  write_file_atomic(folder / "f", "three");
  EXPECT_EQ(read_file(folder / "f"), "three");
  EXPECT_EQ(static_cast<char>(old.bytes()[1]), 'n');  // who reads the old file still has it
  EXPECT_EQ(folder.entries(), 1);
}

TEST(WriteFileAtomic, NameOfFullLengthAndRelativePath) {
  const TempFolder folder;
  const std::string name(255, 'n');
  write_file_atomic(folder / name, "x");
  EXPECT_EQ(read_file(folder / name), "x");
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write_file_atomic("relative", "y");
  fs::current_path(before);
  EXPECT_EQ(read_file(folder / "relative"), "y");
}

TEST(WriteFileAtomic, PassesByATemporaryFileThatSomeoneLeft) {
  const TempFolder folder;
  const fs::path left = folder / (".r1-tmp-" + std::to_string(::getpid()) + "-0");
  put(left, "left");
  write_file_atomic(folder / "f", "x");
  EXPECT_EQ(read_file(folder / "f"), "x");
  EXPECT_EQ(read_file(left), "left");
}

TEST(WriteFileAtomic, RefusesWhatIsNotAFile) {
  const TempFolder folder;
  const auto message = [](const fs::path& path) {
    return error_of<JobError>([&] { write_file_atomic(path, "x"); });
  };
  EXPECT_TRUE(contains(message(folder.path()), "not a regular file"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);  // stands for /dev/null
  EXPECT_TRUE(contains(message(folder / "pipe"), "not a regular file"));
  EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
  EXPECT_TRUE(contains(message(folder / "no/such/folder"), "No such file or directory"));
  put(folder / "f", "x");
  EXPECT_TRUE(contains(message(folder / "f/g"), "Not a directory"));
}

TEST(WriteFileAtomic, LimitedDiskLeavesTheOldFile) {
  const TempFolder folder;
  write_file_atomic(folder / "f", "old");
  std::string message;
  {
    const FileSizeLimit limit(5000);
    message =
        error_of<JobError>([&] { write_file_atomic(folder / "f", std::string(100000, 'x')); });
  }
  EXPECT_EQ(message, (folder / "f").string() + ": cannot be written: File too large");
  EXPECT_EQ(read_file(folder / "f"), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(WriteFileAtomic, FullDiskLeavesTheOldFile) {
  const TempFolder folder;
  // In a mount namespace of this thread alone, so that nothing is left mounted whatever happens.
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, "") != 0 ||
      ::mount("none", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "a small file system can be mounted only as root";
  }
  write_file_atomic(folder / "f", "old");
  const auto message =
      error_of<JobError>([&] { write_file_atomic(folder / "f", std::string(1 << 20, 'x')); });
  EXPECT_EQ(message, (folder / "f").string() + ": cannot be written: No space left on device");
  EXPECT_EQ(read_file(folder / "f"), "old");
  EXPECT_EQ(folder.entries(), 1);
  EXPECT_EQ(::umount2(folder.path().c_str(), MNT_DETACH), 0);
}

// Root may write everywhere, so as root this goes on as nobody.
TEST(WriteFileAtomic, UnwritableFolder) {
  const TempFolder folder;
  fs::create_directory(folder / "locked");
  write_file_atomic(folder / "locked/f", "old");
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod((folder / "locked").c_str(), 0555), 0);
  const bool root = ::geteuid() == 0;
  if (root && ::seteuid(65534) != 0) GTEST_SKIP() << "cannot drop root's rights";
  const auto written = error_of<JobError>([&] { write_file_atomic(folder / "locked/f", "x"); });
  const auto made = error_of<JobError>([&] { make_folder(folder / "locked"); });
  const auto below = error_of<JobError>([&] { make_folder(folder / "locked/a"); });
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  EXPECT_EQ(written, (folder / "locked/f").string() + ": cannot be written: Permission denied");
  EXPECT_EQ(made, (folder / "locked").string() + ": cannot be written to: Permission denied");
  EXPECT_TRUE(contains(below, "cannot be created")) << below;
  EXPECT_EQ(read_file(folder / "locked/f"), "old");
  ::chmod((folder / "locked").c_str(), 0755);
}

TEST(AtomicFile, NothingAppearsBeforeCommit) {
  const TempFolder folder;
  {
    AtomicFile file(folder / "f");
    file.write("abc");
    EXPECT_FALSE(fs::exists(folder / "f"));
  }
  EXPECT_EQ(folder.entries(), 0);
  AtomicFile file(folder / "f");
  file.write("abc");
  file.write("");
  file.write("def");
  file.commit();
  EXPECT_EQ(read_file(folder / "f"), "abcdef");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(MakeFolder, CreatesParentsAndAcceptsAnExistingOne) {
  const TempFolder folder;
  make_folder(folder / "a/b/c");
  make_folder(folder / "a/b/c");
  EXPECT_TRUE(fs::is_directory(folder / "a/b/c"));
  put(folder / "f", "x");
  EXPECT_NE(error_of<JobError>([&] { make_folder(folder / "f"); }), "no error");
  EXPECT_NE(error_of<JobError>([&] { make_folder(folder / "f/g"); }), "no error");
}

TEST(ReplaceFolder, MovesAndReplaces) {
  const TempFolder folder;
  for (const char* text : {"one", "two"}) {
    make_folder(folder / "new/deep");
    put(folder / "new/deep/f", text);
    fs::create_symlink("nowhere", folder / "new/link");
    if (text == std::string("one")) put(folder / "new/only-in-one", "");
    replace_folder(folder / "new", folder / "final");
    EXPECT_EQ(read_file(folder / "final/deep/f"), text);
    EXPECT_EQ(folder.entries(), 1);
  }
  EXPECT_FALSE(fs::exists(folder / "final/only-in-one"));
}

TEST(ReplaceFolder, Refuses) {
  const TempFolder folder;
  make_folder(folder / "new");
  put(folder / "f", "x");
  EXPECT_NE(error_of<JobError>([&] { replace_folder(folder / "new", folder / "f"); }), "no error");
  EXPECT_NE(error_of<JobError>([&] { replace_folder(folder / "none", folder / "x"); }), "no error");
  EXPECT_NE(error_of<JobError>([&] { replace_folder(folder / "new", folder / "no/x"); }),
            "no error");
  EXPECT_TRUE(fs::is_directory(folder / "new"));
  EXPECT_EQ(read_file(folder / "f"), "x");
}

TEST(MappedFile, MapsMovesAndRefuses) {
  const TempFolder folder;
  put(folder / "f", "hello");
  put(folder / "empty", "");
  MappedFile a(folder / "f");
  const std::byte* where = a.bytes().data();
  MappedFile b(std::move(a));
  EXPECT_EQ(b.bytes().data(), where);
  EXPECT_EQ(b.bytes().size(), 5u);
  EXPECT_EQ(static_cast<char>(b.bytes()[4]), 'o');
  EXPECT_EQ(b.path(), folder / "f");
  MappedFile c(folder / "empty");
  EXPECT_TRUE(c.bytes().empty());
  c = std::move(b);
  EXPECT_EQ(c.bytes().data(), where);
  EXPECT_NE(error_of<InputError>([&] { MappedFile x(folder / "none"); }), "no error");
  EXPECT_NE(error_of<InputError>([&] { MappedFile x(folder.path()); }), "no error");
}

}  // namespace
}  // namespace r1
