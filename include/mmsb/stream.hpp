/// What handles and lazy sequences are made of. Nothing to be used by its own name.
#pragma once

#include <mmsb/types.hpp>

namespace mmsb {

namespace detail {
struct Bus;
/// A slot that is never freed, and the opening it belongs to: a handle of a closed bus is known as
/// such by one load.
struct Handle {
    Bus* bus = nullptr;
    std::uint32_t generation = 0;
    std::uint32_t line = 0;  ///< A page's place in the page table; its id is checked there.
    std::uint64_t hint = 0;  ///< Where its bytes were then: looked at first, if its line agrees.
    friend bool operator==(const Handle& a, const Handle& b) noexcept {
        return a.bus == b.bus && a.generation == b.generation && a.line == b.line;
    }
};

/// A lazy sequence read from the log: constant memory however long the past is (a page's history:
/// for where its records of one segment of the log are). As a range it ends at what was committed
/// when it was made, or when next() last looked; next() goes on from there. A call after one that
/// threw tries the same again, or what follows.
template <class T>
class Stream {
public:
    class iterator {
    public:
        using value_type = T;
        using difference_type = std::ptrdiff_t;
        explicit iterator(Stream* stream) : stream_(stream) { ++*this; }
        const T& operator*() const { return stream_->current_; }
        const T* operator->() const { return &stream_->current_; }
        iterator& operator++() {
            if (!stream_->advance(std::nullopt)) stream_ = nullptr;
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& i, std::default_sentinel_t) {
            return i.stream_ == nullptr;
        }

    private:
        Stream* stream_;
    };
    struct Impl;
    explicit Stream(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
    [[nodiscard]] iterator begin() { return iterator(this); }
    [[nodiscard]] std::default_sentinel_t end() const { return {}; }
    /// The next one, waiting for it to be committed; empty after `timeout`, and at once where none
    /// can come any more (LogFilter::to or until is reached, the page of a history was deleted, or
    /// it runs newest first). BusClosed where the State is stopped meanwhile.
    [[nodiscard]] std::optional<T> next(Timeout timeout = forever) {
        if (!advance(timeout)) return std::nullopt;
        return current_;
    }

private:
    bool advance(std::optional<Timeout> wait);
    std::shared_ptr<Impl> impl_;
    T current_{};
};
}  // namespace detail

}  // namespace mmsb
