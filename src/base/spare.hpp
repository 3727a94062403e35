/// base/spare: memory that a thread keeps for its next use of it, so that hot paths allocate
/// nothing.
///
/// A thread_local object with a destructor is not enough for that: what a program's static objects
/// do as they are destroyed comes after it.
#pragma once

#include <memory>
#include <utility>

namespace mmsb::base {

/// A T: what this thread kept, as it was left, or a new one. Kept again at the end, one per T and
/// thread. It may end on another thread than it began, and several may be in use at once.
template <class T>
class Spare {
public:
    Spare() : mine_(take()) {
        if (!mine_) mine_ = std::make_unique<T>();
    }
    ~Spare() {
        if (mine_) keep(std::move(mine_));
    }
    Spare(const Spare&) = delete;
    Spare& operator=(const Spare&) = delete;

    [[nodiscard]] T& operator*() const noexcept { return *mine_; }
    [[nodiscard]] T* operator->() const noexcept { return mine_.get(); }
    /// Not to be kept: it is too large, or of no use any more. Nothing may be done with it then.
    void drop() noexcept { mine_.reset(); }

private:
    struct Slot {  // nothing destroys it
        T* kept;
        bool closed;  // the thread ends
    };
    static_assert(std::is_trivially_destructible_v<Slot>);
    struct Closer {
        ~Closer() {
            slot_.closed = true;
            delete std::exchange(slot_.kept, nullptr);
        }
        void touch() const noexcept {}
    };
    static std::unique_ptr<T> take() noexcept {
        return std::unique_ptr<T>(std::exchange(slot_.kept, nullptr));
    }
    static void keep(std::unique_ptr<T> mine) noexcept {
        if (slot_.closed || slot_.kept != nullptr) return;
        static thread_local const Closer closer;
        closer.touch();
        slot_.kept = mine.release();
    }
    static inline constinit thread_local Slot slot_{nullptr, false};

    std::unique_ptr<T> mine_;
};

}  // namespace mmsb::base
