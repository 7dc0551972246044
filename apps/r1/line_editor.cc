#include "line_editor.h"

#include <histedit.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstring>
#include <iostream>

#include "base/error.h"
#include "console.h"

namespace r1 {
namespace {

volatile std::sig_atomic_t interrupted = 0;

void note_interrupt(int) {
  interrupted = 1;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  struct sigaction action {};
  action.sa_handler = note_interrupt;  // without SA_RESTART: a read of the terminal returns
  ::sigaction(SIGINT, &action, &before_);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &before_, nullptr);
}

bool InterruptGuard::take() {
  const bool was = interrupted != 0;
  interrupted = 0;
  return was;
}

struct LineEditor::Terminal {
  explicit Terminal(std::string text) : prompt(std::move(text)) {
    // Characters are UTF-8, also where no locale is set.
    std::setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
    edit = ::el_init("r1", stdin, stderr, stderr);
    past = ::history_init();
    if (!edit || !past) throw JobError("the terminal's line editor cannot be started");
    HistEvent event;
    ::history(past, &event, H_SETSIZE, 1000);
    ::history(past, &event, H_SETUNIQUE, 1);
    ::el_set(edit, EL_CLIENTDATA, this);
    ::el_set(edit, EL_PROMPT_ESC, &Terminal::prompt_of, '\1');
    ::el_set(edit, EL_EDITOR, "emacs");
    ::el_set(edit, EL_HIST, ::history, past);
    ::el_source(edit, nullptr);  // ~/.editrc
  }
  ~Terminal() {
    if (past) ::history_end(past);
    if (edit) ::el_end(edit);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  static char* prompt_of(EditLine* e) {
    void* self = nullptr;
    ::el_get(e, EL_CLIENTDATA, &self);
    return static_cast<Terminal*>(self)->prompt.data();
  }

  std::string prompt;
  EditLine* edit = nullptr;
  History* past = nullptr;
};

LineEditor::LineEditor(std::string prompt) {
  if (::isatty(STDIN_FILENO) != 1) return;
  // '\1' encloses what takes no room on the line.
  auto unseen = [](const char* style) {
    return *style ? std::string("\1") + style + "\1" : std::string();
  };
  terminal_ = std::make_unique<Terminal>(unseen(Style::bold()) + prompt + unseen(Style::reset()));
}

LineEditor::~LineEditor() = default;

std::optional<std::string> LineEditor::read() {
  std::string line;
  if (!terminal_) {
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
  }
  int count = 0;
  const char* text = ::el_gets(terminal_->edit, &count);
  if (!text || count <= 0) {
    std::fprintf(stderr, "\n");
    if (!InterruptGuard::take()) return std::nullopt;
    ::el_reset(terminal_->edit);
    return "";
  }
  line.assign(text, static_cast<size_t>(count));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  if (!line.empty()) {
    HistEvent event;
    ::history(terminal_->past, &event, H_ENTER, line.c_str());
  }
  return line;
}

}  // namespace r1
