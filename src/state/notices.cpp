// Who is told of what is no error.
#include "state/open.hpp"

#include <algorithm>
#include <iostream>

namespace mmsb::state {

void Notices::add(Pointer function) {
    const std::lock_guard lock(mutex_);
    functions_.push_back(std::move(function));
}

void Notices::remove(const Pointer& function) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase(functions_, function);
}

void Notices::tell(Notice::Level level, const std::string& text) noexcept {
    const std::lock_guard lock(mutex_);
    bool told = false;
    try {
        for (std::size_t i = 0; i < functions_.size(); ++i) {  // one may add to them
            const auto function = functions_[i];
            if (!*function) continue;
            told = true;
            (*function)({level, text});
        }
        if (!told && level == Notice::Level::warning) std::cerr << "mmsb: " << text << '\n';
    } catch (...) {  // a notice is never an error
    }
}

Notices::Pointer notices_of(const OpenOptions& options) {
    if (options.on_notice) return options.on_notice;
    return std::make_shared<const Notices::Function>(options.config.on_notice);
}

}  // namespace mmsb::state
