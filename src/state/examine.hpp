/// state/examine: every file of a bus, read from end to end, and what follows from that.
///
/// Changes nothing and takes no lock. What is safe is what Open::good_prefix opens: the files are
/// looked at beside such an attachment (state/salvage), and told apart by where its log ends.
#pragma once

#include <mmsb/diagnosis.hpp>

namespace mmsb::state {

/// As mmsb::examine.
[[nodiscard]] Diagnosis examine(const std::string& path);

}  // namespace mmsb::state
