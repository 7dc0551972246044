// Runs a program that nobody trusts, by bubblewrap (bwrap): a namespace of its own without network,
// the system's files read-only, a private /tmp, and limits on time, memory, processes and output.
// A process that runs as root gives root up first. Never runs anything outside of the sandbox.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace r1 {

struct SandboxLimits {
  double seconds = 5;  // of wall-clock time; CPU time has the same limit, rounded up
  int64_t memory_bytes = int64_t{1} << 30;  // address space of each process
  int64_t output_bytes = int64_t{1} << 20;  // of the output, and of any file
  int64_t processes = 64;
};

struct SandboxRun {
  enum class End { kExit, kTimeLimit, kOutputLimit };
  End end = End::kExit;
  int code = 0;  // of kExit; 128 + the signal that ended it
  std::string output;
};

// Why no sandbox can be had here, in one line; empty where one can. Tries it.
std::string sandbox_obstacle();

// A folder that the sandbox sees as /box; removed with all that is in it at the end.
class SandboxFolder {
 public:
  SandboxFolder();  // JobError if it cannot be made
  ~SandboxFolder();
  SandboxFolder(const SandboxFolder&) = delete;
  SandboxFolder& operator=(const SandboxFolder&) = delete;
  void write(const std::string& name, const std::string& text);
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Runs `command` in /tmp with /box, which it can write to if `writable`. JobError where no sandbox
// can be had.
SandboxRun run_sandboxed(const std::vector<std::string>& command, const SandboxFolder& box,
                         bool writable, const std::string& input, const SandboxLimits& limits);

}  // namespace r1
