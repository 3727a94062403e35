// Who is told of what is no error.
#include "state/open.hpp"

#include <algorithm>
#include <iostream>

namespace mmsb::state {

void Notices::add(Pointer function) {
    const std::lock_guard lock(list_);
    functions_.push_back(std::move(function));
}

void Notices::remove(const Pointer& function) noexcept {
    {
        const std::lock_guard lock(list_);
        std::erase(functions_, function);
    }
    const std::lock_guard until_it_has_run(telling_);
}

Notices::Pointer Notices::at(std::size_t i) noexcept {
    const std::lock_guard lock(list_);
    return i < functions_.size() ? functions_[i] : nullptr;
}

void Notices::tell(Notice::Level level, const std::string& text) noexcept {
    const std::lock_guard lock(telling_);
    bool told = false;
    for (std::size_t i = 0;; ++i) {
        const auto function = at(i);
        if (!function) break;
        if (!*function) continue;
        told = true;
        try {
            (*function)({level, text});
        } catch (...) {  // a notice is never an error
        }
    }
    if (!told && level == Notice::Level::warning) std::cerr << "mmsb: " << text << '\n';
}

Notices::Pointer notices_of(const OpenOptions& options) {
    if (options.on_notice) return options.on_notice;
    return std::make_shared<const Notices::Function>(options.config.on_notice);
}

}  // namespace mmsb::state
