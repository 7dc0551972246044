#include "recipe/report.h"

#include <string_view>

#include "base/error.h"
#include "base/files.h"
#include "recipe/report_data.h"

namespace r1 {

// src/recipe/page/, embedded by cmake/embed.cmake.
extern const std::string_view kPageHtml, kPageCss, kPagePlotJs, kPageJs;

std::string report_page(const std::filesystem::path& run) {
  const std::string data = report_data(run);
  std::string page;
  page.reserve(data.size() + (size_t{1} << 16));
  // The template is walked once: nothing that is put in is searched again.
  const std::string_view html = kPageHtml;
  for (size_t at = 0; at < html.size();) {
    const size_t open = html.find("{{", at);
    page += html.substr(at, open - at);
    if (open == std::string_view::npos) break;
    const size_t close = html.find("}}", open);
    R1_CHECK(close != std::string_view::npos);
    const std::string_view name = html.substr(open + 2, close - open - 2);
    if (name == "css") {
      page += kPageCss;
    } else if (name == "js") {
      (page += kPagePlotJs) += kPageJs;
    } else {
      R1_CHECK(name == "data");
      page += data;
    }
    at = close + 2;
  }
  return page;
}

std::filesystem::path write_report(const std::filesystem::path& run) {
  const std::filesystem::path path = run / "report.html";
  write_file_atomic(path, report_page(run));
  return path;
}

}  // namespace r1
