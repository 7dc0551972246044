#include "tasks/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "base/files.h"

namespace r1 {
namespace {

constexpr const char* kBwrap = "/usr/bin/bwrap";
constexpr uid_t kNobody = 65534;

// A file without a name, in memory.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text = {}) : fd_(::memfd_create("r1", MFD_CLOEXEC)) {
    if (fd_ < 0) throw JobError(std::string("memfd_create: ") + std::strerror(errno));
    while (!text.empty()) {
      const ssize_t n = ::write(fd_, text.data(), text.size());
      if (n <= 0) throw JobError(std::string("a program's input: ") + std::strerror(errno));
      text.remove_prefix(static_cast<size_t>(n));
    }
    ::lseek(fd_, 0, SEEK_SET);
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  int fd() const { return fd_; }

  std::string text(int64_t most) const {
    std::string out(static_cast<size_t>(most), '\0');
    const ssize_t n = ::pread(fd_, out.data(), out.size(), 0);
    out.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return out;
  }

 private:
  int fd_;
};

std::vector<std::string> bwrap_arguments(const std::vector<std::string>& command,
                                         const std::filesystem::path& box, bool writable,
                                         const SandboxLimits& limits) {
  std::vector<std::string> a = {kBwrap,          "--unshare-all", "--die-with-parent",
                                "--new-session", "--cap-drop",    "ALL",
                                "--clearenv",    "--setenv",      "PATH",
                                "/usr/bin:/bin", "--setenv",      "HOME",
                                "/tmp",          "--setenv",      "LANG",
                                "C.UTF-8",       "--ro-bind",     "/usr",
                                "/usr"};
  for (const char* folder : {"bin", "sbin", "lib", "lib64"}) {
    a.insert(a.end(), {"--symlink", std::string("usr/") + folder, std::string("/") + folder});
  }
  a.insert(a.end(), {"--ro-bind-try",
                     "/etc/alternatives",
                     "/etc/alternatives",
                     "--ro-bind-try",
                     "/etc/ld.so.cache",
                     "/etc/ld.so.cache",
                     "--proc",
                     "/proc",
                     "--dev",
                     "/dev",
                     "--tmpfs",
                     "/tmp",
                     writable ? "--bind" : "--ro-bind",
                     box.string(),
                     "/box",
                     "--remount-ro",
                     "/",
                     "--chdir",
                     "/tmp",
                     "--",
                     "/usr/bin/prlimit",
                     "--nproc=" + std::to_string(limits.processes),
                     "--"});
  a.insert(a.end(), command.begin(), command.end());
  return a;
}

void limit(int resource, int64_t value) {
  const rlimit both = {static_cast<rlim_t>(value), static_cast<rlim_t>(value)};
  ::setrlimit(static_cast<__rlimit_resource>(resource), &both);
}

// In the child, between fork and exec: system calls alone.
[[noreturn]] void become(char* const* argv, int in, int out, int err, const SandboxLimits& limits) {
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::syscall(SYS_close_range, 3U, ~0U, 0U);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, static_cast<int64_t>(std::ceil(limits.seconds)));
  limit(RLIMIT_AS, limits.memory_bytes);
  limit(RLIMIT_FSIZE, limits.output_bytes);
  limit(RLIMIT_NOFILE, 256);
  if (::geteuid() == 0 &&
      (::setgroups(0, nullptr) != 0 || ::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) {
    ::_exit(126);
  }
  ::execv(kBwrap, argv);
  ::_exit(127);
}

// Waits for the child, at most `seconds`; then kills it. Whether it ended by itself.
bool wait_for(pid_t child, double seconds, int& status) {
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  pollfd ended = {fd, POLLIN, 0};
  const bool in_time =
      fd >= 0 && ::poll(&ended, 1, static_cast<int>(std::ceil(seconds * 1000))) == 1;
  if (fd >= 0) ::close(fd);
  if (!in_time) ::kill(child, SIGKILL);  // and with bwrap all that it holds
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return in_time;
}

SandboxRun run(const std::vector<std::string>& command, const SandboxFolder& box, bool writable,
               const std::string& input, const SandboxLimits& limits, std::string* errors) {
  const std::vector<std::string> arguments = bwrap_arguments(command, box.path(), writable, limits);
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  const MemoryFile in(input), out, err;
  const pid_t child = ::fork();
  if (child < 0) throw JobError(std::string("fork: ") + std::strerror(errno));
  if (child == 0) become(argv.data(), in.fd(), out.fd(), err.fd(), limits);
  int status = 0;
  const bool ended = wait_for(child, limits.seconds, status);
  SandboxRun result;
  result.output = out.text(limits.output_bytes);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (!ended || result.code == 128 + SIGXCPU) result.end = SandboxRun::End::kTimeLimit;
  const bool full = static_cast<int64_t>(result.output.size()) >= limits.output_bytes;
  if (full || result.code == 128 + SIGXFSZ) result.end = SandboxRun::End::kOutputLimit;
  if (errors != nullptr) *errors = err.text(300);
  return result;
}

}  // namespace

SandboxFolder::SandboxFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "r1-box-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw JobError(name + ": cannot be created: " + std::strerror(errno));
  }
  path_ = name;
  // Without root the programs run as this user; with root as nobody.
  if (::geteuid() == 0 && ::chown(name.c_str(), kNobody, kNobody) != 0) {
    throw JobError(name + ": cannot be given to nobody");
  }
}

SandboxFolder::~SandboxFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void SandboxFolder::write(const std::string& name, const std::string& text) {
  write_file_atomic(path_ / name, text);
  ::chmod((path_ / name).c_str(), 0644);
}

std::string sandbox_obstacle() {
  if (::access(kBwrap, X_OK) != 0) {
    return "running programs needs bubblewrap: install the package bubblewrap";
  }
  const SandboxFolder box;
  std::string errors;
  const SandboxRun tried = run({"/usr/bin/true"}, box, false, "", {}, &errors);
  if (tried.end == SandboxRun::End::kExit && tried.code == 0) return "";
  std::replace(errors.begin(), errors.end(), '\n', ' ');
  return "running programs needs bubblewrap, which cannot work here (are user namespaces "
         "forbidden?): " +
         errors;
}

SandboxRun run_sandboxed(const std::vector<std::string>& command, const SandboxFolder& box,
                         bool writable, const std::string& input, const SandboxLimits& limits) {
  return run(command, box, writable, input, limits, nullptr);
}

}  // namespace r1
