/// tests/trust/scribbler: somebody who writes where he should not.
#pragma once

#include "trust/arena_words.hpp"

#include <algorithm>
#include <random>
#include <vector>

namespace mmsb::test {

/// Chooses words to write over, and what to write.
class Scribbler {
public:
    Scribbler(const ForeignMap& map, std::uint64_t ring_size, std::uint64_t seed)
        : map_(map), ring_size_(ring_size), random_(seed) {}

    /// Writes over one word, as chance has it; mostly it is put right again by undo().
    void scribble() {
        arena::Word* const word = map_.word(place());
        if (word == nullptr) return;
        const auto old = word->load(std::memory_order_relaxed);
        word->store(value(old), std::memory_order_relaxed);
        done_.emplace_back(word, old);
    }
    /// Puts the oldest one right that was not put right yet.
    void undo() {
        if (done_.empty()) return;
        done_.front().first->store(done_.front().second, std::memory_order_relaxed);
        done_.erase(done_.begin());
    }
    void forget() { done_.clear(); }
    [[nodiscard]] std::mt19937_64& random() noexcept { return random_; }
    bool locks = true;  ///< Also the words of the two locks, and who holds them.

private:
    std::uint64_t place() {
        const auto& c = map_.control();
        const auto below = [&](std::uint64_t n) {
            return random_() % std::max<std::uint64_t>(n, 8);
        };
        const auto most = [](const arena::Word& w) {
            return std::min<std::uint64_t>(w.load(), 64 * limits::mib);
        };
        for (;;) {
            std::uint64_t at = 0;
            switch (random_() % 8) {
                case 0:
                case 1:
                    at = sizeof(arena::Stamps) + below(sizeof c - sizeof(arena::Stamps));
                    break;
                case 2:
                    at = below(sizeof(arena::Stamps));
                    break;
                case 3:
                    if (!locks) continue;
                    at = (random_() % 2 == 0 ? arena::writers_lock_at : arena::files_lock_at) +
                         arena::lock_in_page + below(16);
                    break;
                case 4:
                    at = arena::ring_at + below(ring_size_);
                    break;
                case 5:
                    at = arena::used_at + below(most(c.used_backed));
                    break;
                case 6: {
                    const auto used = std::min<std::uint64_t>(c.lines_used.load() + 2, 4096);
                    at = arena::table_at + below(used * sizeof(arena::PageLine));
                    break;
                }
                default:
                    at = arena::heap_at + below(most(c.heap_end));
            }
            const auto pid = offsetof(arena::Control, writer_pid);
            if (!locks && at / 64 == pid / 64) continue;
            return at;
        }
    }

    std::uint64_t value(std::uint64_t old) {
        switch (random_() % 8) {
            case 0:
                return random_();
            case 1:
                return 0;
            case 2:
                return ~std::uint64_t{0};
            case 3:
                return old + (random_() % 129) * 8 - 512;
            case 4:
                return random_() >> (random_() % 64);
            default:
                return old ^ std::uint64_t{1} << (random_() % 64);
        }
    }

    const ForeignMap& map_;
    std::uint64_t ring_size_;
    std::mt19937_64 random_;
    std::vector<std::pair<arena::Word*, std::uint64_t>> done_{};
};

}  // namespace mmsb::test
