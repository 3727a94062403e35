/// api/stream: what a lazy sequence over the log is made of.
#pragma once

#include "api/bus.hpp"

namespace mmsb::detail {

template <class T>
struct Stream<T>::Impl {
    std::function<bool(T&)> next{};  ///< Of what is known to be committed.
    /// Until there may be more. False: timeout, or none can come. Empty: none can come.
    std::function<bool(const Pin&, const state::Deadline&)> wait{};
    Handle bus{};                          ///< Where `wait` is given.
    std::function<bool(const T&)> last{};  ///< None can come behind this one; may be empty.
    bool ended = false;
};

template <class T>
bool Stream<T>::advance(std::optional<Timeout> wait) {
    auto& stream = *impl_;
    std::optional<Pin> bus;  // who waits is woken by stop(), and nothing is taken from under him
    std::optional<state::Deadline> end;
    if (wait && stream.wait) bus.emplace(stream.bus);
    while (!stream.ended) {
        if (stream.next(current_)) {
            stream.ended = stream.last && stream.last(current_);
            return true;
        }
        if (!bus) return false;
        if (!end)
            end.emplace(*wait);
        else if (end->passed())
            return false;
        if (!stream.wait(*bus, *end)) return false;
    }
    return false;
}

}  // namespace mmsb::detail
