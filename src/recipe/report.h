// A run's page: curves, the compute ledger and a browser of completions in one file that needs no
// network, no server and no other file.
#pragma once

#include <filesystem>
#include <string>

namespace r1 {

// The page of the run folder. All text of the run is inert in it: it is data in a <script> that is
// not run, and the page writes it as text only. InputError if the folder is no run or a file in it
// is damaged.
std::string report_page(const std::filesystem::path& run);

// Replaces report.html in the folder, atomically; returns its path. JobError if it cannot be
// written.
std::filesystem::path write_report(const std::filesystem::path& run);

}  // namespace r1
